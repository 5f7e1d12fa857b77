//! One question, one answer, over a socket of its own. spec: platform 7.3

use crate::{UdpSocketFactory, sys};
use socket2::SockRef;
use std::{cell::RefCell, io, net::SocketAddr, time::Duration};
use tokio::{io::Interest, net::UdpSocket};

/// Largest answer taken, in bytes: whatever a datagram can carry.
const ANSWER: usize = 65_535;

thread_local! {
    // One for all exchanges of a thread: it is only used between two waits.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Sends a query from a fresh socket (an unpredictable port) and returns the server's answer.
///
/// Datagrams of anyone but the server, and those that `is_answer` refuses, are ignored: nobody who
/// cannot see the query can make it fail. Dropping the future closes the socket.
///
/// # Errors
///
/// [`io::ErrorKind::TimedOut`] if no answer comes in time; otherwise those of the system, such as
/// [`io::ErrorKind::ConnectionRefused`] if nobody listens.
pub async fn exchange(
    factory: &dyn UdpSocketFactory,
    server: SocketAddr,
    query: &[u8],
    timeout: Duration,
    is_answer: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let socket = factory.one_shot(server)?;
    let answered = async {
        // A fresh socket has room, only the runtime has not heard of it yet.
        if SockRef::from(&socket).send(query).is_err() {
            socket.send(query).await?;
        }
        loop {
            let ready = socket.ready(Interest::READABLE | Interest::ERROR).await?;
            if ready.is_error() {
                refused(&socket)?;
            }
            match receive(&socket, &is_answer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if sys::is_port_unreachable(&error) => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionRefused, error));
                }
                result => return result,
            }
        }
    };
    tokio::time::timeout(timeout, answered)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Fails with what the network said about the query, such as that nobody listens there.
fn refused(socket: &UdpSocket) -> io::Result<()> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    // Somebody took it already: from here on only another error counts.
    let seen = socket.try_io(Interest::ERROR, || {
        Err::<(), _>(io::ErrorKind::WouldBlock.into())
    });
    debug_assert!(seen.is_err());
    Ok(())
}

/// The first datagram that waits and is an answer.
fn receive(socket: &UdpSocket, is_answer: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(ANSWER, 0);
        loop {
            let length = socket.try_recv(buffer)?;
            if is_answer(&buffer[..length]) {
                return Ok(buffer[..length].to_vec());
            }
            tracing::debug!("A datagram that is no answer");
        }
    })
}
