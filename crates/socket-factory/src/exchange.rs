//! One question, one answer, over a socket of its own.

use crate::{Family, Outgoing, UdpSocketFactory};
use std::{io, net::SocketAddr, time::Duration};

/// Largest answer taken, in bytes. spec: platform 7.3
const ANSWER: usize = 1500;

/// Sends a query from a fresh socket (an unpredictable port) and returns the server's answer.
///
/// Datagrams of anyone but the server are ignored. Dropping the future closes the socket.
///
/// # Errors
///
/// [`io::ErrorKind::TimedOut`] if no answer comes in time; otherwise those of the system.
pub async fn exchange(
    factory: &dyn UdpSocketFactory,
    server: SocketAddr,
    query: &[u8],
    timeout: Duration,
) -> io::Result<Vec<u8>> {
    let any = Family::of(server.ip()).unspecified();
    let socket = factory.bind(SocketAddr::new(any, 0))?;
    let asked = async {
        send(&socket, server, query).await?;
        let mut buffer = vec![0; ANSWER];
        loop {
            let (length, sender) = socket.recv_one(&mut buffer).await?;
            if is_same(sender, server) {
                buffer.truncate(length);
                return Ok(buffer);
            }
            tracing::debug!("answer from a stranger");
        }
    };
    tokio::time::timeout(timeout, asked)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn send(socket: &crate::UdpSocket, server: SocketAddr, query: &[u8]) -> io::Result<()> {
    let outgoing = Outgoing {
        source: None,
        destination: server,
        ecn: 0,
        segment_size: query.len(),
        payload: query,
    };
    loop {
        match socket.try_send(&outgoing) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
            result => return result,
        }
    }
}

/// Same address and port; the scope of a link-local address may be reported differently.
fn is_same(sender: SocketAddr, server: SocketAddr) -> bool {
    sender.ip() == server.ip() && sender.port() == server.port()
}
