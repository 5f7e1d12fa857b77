//! One question to one resolver outside of the tunnel. spec: data-plane 12.5

use platform::{ResolverTransport, Sockets, SystemExchange, SystemResolver};
use socket_factory::exchange;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tunnel_core::DnsTransport;

/// Length of a DNS header, in bytes. RFC 1035 section 4.1.1
const HEADER: usize = 12;

/// The means to ask. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) sockets: Sockets,
    pub(crate) system: SystemExchange,
}

impl Outside {
    /// Asks and returns the answer to this very question.
    ///
    /// [`io::ErrorKind::TimedOut`] after `limit`, however much else arrives.
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
                let is_answer = |datagram: &[u8]| answers(query, datagram);
                exchange(self.sockets.udp.as_ref(), server, query, limit, is_answer).await
            }
            (ResolverTransport::Do53, DnsTransport::Tcp) => {
                in_time(limit, over_tcp(&self.sockets, server, query)).await
            }
        }
    }
}

async fn in_time<T>(limit: Duration, asked: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let silent = |_| Err(io::ErrorKind::TimedOut.into());
    timeout(limit, asked).await.unwrap_or_else(silent)
}

/// One query over a connection of its own. RFC 1035 section 4.2.2
async fn over_tcp(sockets: &Sockets, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut stream = sockets.tcp.connect(server).await?;
    stream
        .write_all(&[&length.to_be_bytes(), query].concat())
        .await?;
    loop {
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        if answers(query, &answer) {
            return Ok(answer);
        }
    }
}

/// Whether a message answers a query: a response, the same id, the same question. A server that
/// could not read the question may leave it out.
fn answers(query: &[u8], message: &[u8]) -> bool {
    let is_response = message.get(2).is_some_and(|flags| flags & 0x80 != 0);
    if !is_response || query.get(..2) != message.get(..2) {
        return false;
    }
    match (question(query), question(message)) {
        (Some(asked), Some(answered)) => asked.eq_ignore_ascii_case(answered),
        _ => message.get(4..6) == Some(&[0, 0]),
    }
}

/// The only question: a name without compression, a type and a class.
fn question(message: &[u8]) -> Option<&[u8]> {
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1 + length;
        match length {
            0 => return message.get(HEADER..at + 4),
            1..=63 => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
