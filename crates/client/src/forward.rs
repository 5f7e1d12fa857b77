//! Asks DNS servers outside the tunnel for programs on this host. spec: data-plane 12.5

use socket_factory::exchange;
use std::{io, net::SocketAddr, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tunnel_core::{DnsFailure, DnsQuery, DnsTransport, QueryId};

/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the server and returns what the tunnel is to be told.
pub(crate) async fn forward(
    sockets: platform::Sockets,
    query: DnsQuery,
) -> (QueryId, Result<Vec<u8>, DnsFailure>) {
    let answer = ask(&sockets, query.server, query.transport, &query.message).await;
    let answer = answer.map_err(|error| {
        tracing::debug!(%error, "A DNS server gave no answer");
        match error.kind() {
            io::ErrorKind::TimedOut => DnsFailure::TimedOut,
            _ => DnsFailure::Failed,
        }
    });
    (query.id, answer)
}

async fn ask(
    sockets: &platform::Sockets,
    server: SocketAddr,
    transport: DnsTransport,
    message: &[u8],
) -> io::Result<Vec<u8>> {
    match transport {
        DnsTransport::Udp => exchange(sockets.udp.as_ref(), server, message, TIMEOUT).await,
        DnsTransport::Tcp => tokio::time::timeout(TIMEOUT, over_tcp(sockets, server, message))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    }
}

/// One query over a connection of its own, RFC 1035 section 4.2.2.
async fn over_tcp(
    sockets: &platform::Sockets,
    server: SocketAddr,
    message: &[u8],
) -> io::Result<Vec<u8>> {
    let mut stream = sockets.tcp.connect(server).await?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), message].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::{Platform as _, memory::MemoryPlatform};
    use tokio::net::{TcpListener, UdpSocket};

    const QUESTION: &[u8] = b"a question";
    const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

    fn sockets() -> platform::Sockets {
        MemoryPlatform::new().0.sockets()
    }

    #[tokio::test]
    async fn answers_come_over_udp() {
        for address in LOOPBACKS {
            let server = UdpSocket::bind(address).await.unwrap();
            let (sockets, to) = (sockets(), server.local_addr().unwrap());
            let served = async {
                let mut buffer = [0; 100];
                let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                assert_eq!(&buffer[..length], QUESTION);
                server.send_to(b"an answer", from).await.unwrap();
            };
            let (answer, ()) = tokio::join!(ask(&sockets, to, DnsTransport::Udp, QUESTION), served);
            assert_eq!(answer.unwrap(), b"an answer");
        }
    }

    #[tokio::test]
    async fn answers_come_over_tcp_in_any_pieces() {
        for address in LOOPBACKS {
            let server = TcpListener::bind(address).await.unwrap();
            let (sockets, to) = (sockets(), server.local_addr().unwrap());
            let served = async {
                let (mut stream, _) = server.accept().await.unwrap();
                let mut framed = [0; 2 + QUESTION.len()];
                stream.read_exact(&mut framed).await.unwrap();
                assert_eq!(framed[..2], [0, 10]);
                assert_eq!(&framed[2..], QUESTION);
                for piece in [&[0][..], &[9, b'a'], b"n answer and more"] {
                    stream.write_all(piece).await.unwrap();
                }
            };
            let (answer, ()) = tokio::join!(ask(&sockets, to, DnsTransport::Tcp, QUESTION), served);
            assert_eq!(answer.unwrap(), b"an answer");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_after_five_seconds() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for (to, transport) in [
            (udp.local_addr().unwrap(), DnsTransport::Udp),
            (tcp.local_addr().unwrap(), DnsTransport::Tcp),
        ] {
            let start = tokio::time::Instant::now();
            let error = ask(&sockets(), to, transport, QUESTION).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{transport:?}");
            assert_eq!(start.elapsed().as_secs(), 5, "{transport:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_or_is_not_there_fails() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sockets, to) = (sockets(), server.local_addr().unwrap());
        let served = async { drop(server.accept().await.unwrap()) };
        let (answer, ()) = tokio::join!(ask(&sockets, to, DnsTransport::Tcp, QUESTION), served);
        assert_ne!(answer.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(server);
        let error = ask(&sockets, to, DnsTransport::Tcp, QUESTION)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_message_that_tcp_cannot_frame_is_not_sent() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (to, message) = (server.local_addr().unwrap(), vec![0; 65_536]);
        assert!(
            ask(&sockets(), to, DnsTransport::Tcp, &message)
                .await
                .is_err()
        );
    }
}
