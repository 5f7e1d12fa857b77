//! Single exchanges with servers on the loopback addresses.

use super::*;
use crate::testing::QUERY;
use platform::{Platform as _, memory::MemoryPlatform};
use std::{net::IpAddr, sync::Arc};
use tokio::net::{TcpListener, UdpSocket};

const LIMIT: Duration = Duration::from_secs(5);
const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

fn direct() -> DirectExchange {
    let (platform, _) = MemoryPlatform::new();
    DirectExchange {
        sockets: platform.sockets(),
        system: platform.system_exchange(),
    }
}

async fn ask(to: SocketAddr, transport: DnsTransport, query: &[u8]) -> io::Result<Vec<u8>> {
    let resolver = SystemResolver::do53(to);
    direct().ask(resolver, transport, query, LIMIT).await
}

/// The query turned into a response, with a change at one byte.
fn response(at: usize, bits: u8) -> Vec<u8> {
    let mut response = QUERY.to_vec();
    response[2] |= 0x80;
    response[at] ^= bits;
    response
}

fn good() -> Vec<u8> {
    [response(0, 0), b"and records".to_vec()].concat()
}

#[tokio::test]
async fn only_the_answer_ends_the_waiting_over_udp() {
    for address in LOOPBACKS {
        let server = UdpSocket::bind(address).await.unwrap();
        let to = server.local_addr().unwrap();
        let stranger = UdpSocket::bind(address).await.unwrap();
        let served = async {
            let mut buffer = [0; 100];
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], QUERY);
            stranger.send_to(&response(4, 0), from).await.unwrap();
            for lie in [
                &b""[..],
                b"x",
                QUERY,
                &response(0, 1),
                &response(1, 0x80),
                &response(13, 3),
                &response(QUERY.len() - 3, 1),
                &response(5, 3),
                &response(0, 0)[..20],
            ] {
                server.send_to(lie, from).await.unwrap();
            }
            server.send_to(&good(), from).await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask(to, DnsTransport::Udp, QUERY), served);
        assert_eq!(answer.unwrap(), good());
    }
}

#[tokio::test]
async fn types_and_classes_are_compared_as_numbers() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = server.local_addr().unwrap();
    // Type and class 65 and 97 are the letters A and a; type 65 is HTTPS.
    for at in [QUERY.len() - 3, QUERY.len() - 1] {
        let mut query = QUERY.to_vec();
        query[at] = 65;
        let mut right = query.clone();
        right[2] |= 0x80;
        let mut wrong = right.clone();
        wrong[at] = 97;
        let served = async {
            let (_, from) = server.recv_from(&mut [0; 100]).await.unwrap();
            server.send_to(&wrong, from).await.unwrap();
            server.send_to(&right, from).await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask(to, DnsTransport::Udp, &query), served);
        assert_eq!(answer.unwrap(), right);
    }
}

#[tokio::test]
async fn answers_of_any_size_and_without_the_question_are_taken() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let mut large = response(0, 0);
    large.resize(65_507, 7);
    let unreadable = [&QUERY[..2], &[0x81, 0x01], &[0; 8]].concat();
    for answer in [large, unreadable] {
        let (server, expected) = (server.try_clone().unwrap(), answer.clone());
        let served = tokio::task::spawn_blocking(move || {
            let (_, from) = server.recv_from(&mut [0; 100]).unwrap();
            server.send_to(&answer, from).unwrap();
        });
        assert_eq!(ask(to, DnsTransport::Udp, QUERY).await.unwrap(), expected);
        served.await.unwrap();
    }
}

#[tokio::test]
async fn answers_come_over_tcp_in_any_pieces() {
    for address in LOOPBACKS {
        let server = TcpListener::bind(address).await.unwrap();
        let to = server.local_addr().unwrap();
        let served = async {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut framed = [0; 2 + QUERY.len()];
            stream.read_exact(&mut framed).await.unwrap();
            assert_eq!(usize::from(framed[1]), QUERY.len());
            assert_eq!(&framed[2..], QUERY);
            let (other, good) = (response(1, 1), good());
            let length = |message: &[u8]| u16::try_from(message.len()).unwrap().to_be_bytes();
            let stream_of_two =
                [&length(&other)[..], &other, &length(&good), &good, b"more"].concat();
            for piece in stream_of_two.chunks(5) {
                stream.write_all(piece).await.unwrap();
            }
        };
        let (answer, ()) = tokio::join!(ask(to, DnsTransport::Tcp, QUERY), served);
        assert_eq!(answer.unwrap(), good());
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_the_limit() {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (to, transport) in [
        (udp.local_addr().unwrap(), DnsTransport::Udp),
        (tcp.local_addr().unwrap(), DnsTransport::Tcp),
    ] {
        let start = tokio::time::Instant::now();
        let error = ask(to, transport, QUERY).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{transport:?}");
        assert_eq!(start.elapsed().as_secs(), 5, "{transport:?}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_or_is_not_there_fails_at_once() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = server.local_addr().unwrap();
    let served = async { drop(server.accept().await.unwrap()) };
    let (answer, ()) = tokio::join!(ask(to, DnsTransport::Tcp, QUERY), served);
    assert_ne!(answer.unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop(server);
    for transport in [DnsTransport::Tcp, DnsTransport::Udp] {
        let error = ask(to, transport, QUERY).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[tokio::test]
async fn a_message_that_tcp_cannot_frame_is_not_sent() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = server.local_addr().unwrap();
    assert!(ask(to, DnsTransport::Tcp, &[0; 65_536]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_system_is_asked_where_only_it_can_ask() {
    let (platform, control) = MemoryPlatform::new();
    control.set_exchange(Arc::new(|link, query| {
        Box::pin(async move {
            match link {
                7 => Ok([&query[..], b" answered"].concat()),
                8 => std::future::pending().await,
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        })
    }));
    let direct = DirectExchange {
        sockets: platform.sockets(),
        system: platform.system_exchange(),
    };
    let address = SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 853);
    let ask = |link| {
        let transport = ResolverTransport::Managed { link };
        let resolver = SystemResolver { address, transport };
        let direct = direct.clone();
        async move { direct.ask(resolver, DnsTransport::Udp, b"?", LIMIT).await }
    };
    assert_eq!(ask(7).await.unwrap(), b"? answered");
    assert_eq!(ask(8).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(ask(9).await.unwrap_err().kind(), io::ErrorKind::NotFound);
}
