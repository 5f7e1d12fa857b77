//! One question to one resolver outside of the tunnel. spec: data-plane 12.5

use dns_message::Query;
use platform::{ResolverTransport, Sockets, SystemExchange, SystemResolver};
use socket_factory::exchange;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tunnel_core::DnsTransport;

/// The means to ask. Cheap to clone.
#[derive(Clone)]
pub(crate) struct DirectExchange {
    pub(crate) sockets: Sockets,
    pub(crate) system: SystemExchange,
}

impl DirectExchange {
    /// Asks and returns the answer to this very question. A server that could not read the
    /// question may leave it out of its answer.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] after `limit`, however much else arrives;
    /// [`io::ErrorKind::InvalidInput`] for what is no query; or the server cannot be reached.
    pub(crate) async fn ask(
        &self,
        resolver: SystemResolver,
        transport: DnsTransport,
        query: &[u8],
        limit: Duration,
    ) -> io::Result<Vec<u8>> {
        let server = resolver.address;
        match (resolver.transport, transport) {
            (ResolverTransport::Managed { link }, _) => {
                in_time(limit, (self.system)(link, query.to_vec())).await
            }
            (ResolverTransport::Do53, DnsTransport::Udp) => {
                let asked = parse(query)?;
                let is_answer = |datagram: &[u8]| asked.is_answered_by(datagram, asked.id());
                exchange(self.sockets.udp.as_ref(), server, query, limit, is_answer).await
            }
            (ResolverTransport::Do53, DnsTransport::Tcp) => {
                in_time(limit, over_tcp(&self.sockets, server, query)).await
            }
        }
    }
}

fn parse(query: &[u8]) -> io::Result<Query<'_>> {
    Query::parse(query).map_err(|fault| io::Error::new(io::ErrorKind::InvalidInput, fault))
}

async fn in_time<T>(limit: Duration, asked: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let silent = |_| Err(io::ErrorKind::TimedOut.into());
    timeout(limit, asked).await.unwrap_or_else(silent)
}

/// One query over a connection of its own. RFC 1035 section 4.2.2
async fn over_tcp(sockets: &Sockets, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let asked = parse(query)?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut stream = sockets.tcp.connect(server).await?;
    stream
        .write_all(&[&length.to_be_bytes(), query].concat())
        .await?;
    loop {
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        if asked.is_answered_by(&answer, asked.id()) {
            return Ok(answer);
        }
    }
}

#[cfg(test)]
mod tests;
