//! The system's own resolvers, and how each can be asked.

use socket_factory::BoxFuture;
use std::{io, net::SocketAddr, sync::Arc};

/// A resolver that the system would use without us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SystemResolver {
    /// Where it listens; a link-local address has the scope of its interface.
    pub address: SocketAddr,
    /// How it can be asked.
    pub transport: ResolverTransport,
}

/// How a resolver can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResolverTransport {
    /// By anybody, with plain DNS over UDP and TCP (RFC 1035).
    Do53,
    /// By the system alone, which keeps a protocol of its own with the resolver, such as DNS over
    /// TLS. A [`SystemExchange`] has the system ask.
    Managed {
        /// Index of the interface that the resolver belongs to.
        link: u32,
    },
}

impl SystemResolver {
    /// A resolver that anybody can ask with plain DNS.
    pub const fn do53(address: SocketAddr) -> Self {
        Self {
            address,
            transport: ResolverTransport::Do53,
        }
    }
}

/// Has the system ask the resolvers of one of its links. Takes the index of the link's interface and
/// a DNS query; gives a DNS answer with the query's id.
///
/// The question never comes back to the client's own interface. There is no time-out beyond the
/// system's. Without such a system the error is [`io::ErrorKind::Unsupported`];
/// [`io::ErrorKind::TimedOut`] means that the resolvers are silent.
pub type SystemExchange =
    Arc<dyn Fn(u32, Vec<u8>) -> BoxFuture<'static, io::Result<Vec<u8>>> + Send + Sync>;

/// The exchange of a system that asks nobody on behalf of others.
pub(crate) fn unsupported() -> SystemExchange {
    Arc::new(|_, _| Box::pin(async { Err(io::ErrorKind::Unsupported.into()) }))
}
