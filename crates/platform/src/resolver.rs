//! The system's own resolvers, and how each can be asked.

use socket_factory::BoxFuture;
use std::{io, net::SocketAddr, sync::Arc};

/// A resolver that the system would use without us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SystemResolver {
    /// Where it listens; a link-local address has the scope of its interface.
    pub address: SocketAddr,
    /// Who can ask it.
    pub access: Access,
}

/// Who can ask a resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// Anybody, with plain DNS over UDP and TCP.
    Plain,
    /// Only the system, because it keeps a protocol of its own with the resolver, such as DNS over
    /// TLS. A [`SystemAsker`] has it asked.
    System {
        /// Index of the interface that the resolver belongs to.
        link: u32,
    },
}

impl SystemResolver {
    /// A resolver that anybody can ask.
    pub const fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            access: Access::Plain,
        }
    }
}

/// Has the system ask the resolvers of one of its links. Takes the index of the link's interface and
/// a DNS query; gives a DNS answer with the query's id.
///
/// The question never comes back to the client's own interface. There is no time-out beyond the
/// system's. Without such a system the error is [`io::ErrorKind::Unsupported`];
/// [`io::ErrorKind::TimedOut`] means that the resolvers are silent.
pub type SystemAsker =
    Arc<dyn Fn(u32, Vec<u8>) -> BoxFuture<'static, io::Result<Vec<u8>>> + Send + Sync>;

/// The asker of a system that asks nobody for others.
pub(crate) fn nobody() -> SystemAsker {
    Arc::new(|_, _| Box::pin(async { Err(io::ErrorKind::Unsupported.into()) }))
}
