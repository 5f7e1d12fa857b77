//! Queries of programs at servers on the loopback addresses.

use super::*;
use crate::testing;
use platform::{Platform as _, memory::MemoryPlatform};
use std::sync::Arc;
use tokio::net::UdpSocket;

fn direct() -> DirectExchange {
    let (platform, control) = MemoryPlatform::new();
    control.set_exchange(Arc::new(|link, query| {
        Box::pin(async move { Ok([&query[..], &link.to_be_bytes()].concat()) })
    }));
    DirectExchange {
        sockets: platform.sockets(),
        system: platform.system_exchange(),
    }
}

fn message(number: u16) -> Vec<u8> {
    let mut message = testing::QUERY.to_vec();
    message[..2].copy_from_slice(&number.to_be_bytes());
    message
}

fn begin(forwarder: &mut Forwarder<u16>, number: u16, server: SocketAddr) -> Option<Outcome<u16>> {
    forwarder.begin(number, question(number, server, DnsAccess::Plain))
}

fn question(number: u16, server: SocketAddr, access: DnsAccess) -> Question {
    Question {
        server,
        transport: DnsTransport::Udp,
        access,
        message: message(number),
    }
}

/// A server that answers all queries.
async fn answering(address: &str) -> SocketAddr {
    let socket = UdpSocket::bind(address).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            buffer[2] |= 0x80;
            socket.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn every_query_gets_its_own_answer() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = answering(address).await;
        let mut forwarder = Forwarder::new(direct(), &[]);
        for number in 0..200 {
            assert_eq!(begin(&mut forwarder, number, server), None);
        }
        let mut seen = [false; 200];
        while let Some((number, answer)) = forwarder.next().await {
            assert_eq!(answer.unwrap()[..2], number.to_be_bytes());
            assert!(!std::mem::replace(&mut seen[usize::from(number)], true));
        }
        assert_eq!(seen, [true; 200]);
    }
}

#[tokio::test]
async fn a_silent_server_delays_nobody() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let good = answering("127.0.0.1:0").await;
    let mut forwarder = Forwarder::new(direct(), &[]);
    for number in 0..100 {
        begin(&mut forwarder, number, silent.local_addr().unwrap());
    }
    let started_at = std::time::Instant::now();
    begin(&mut forwarder, 100, good);
    let (id, answer) = forwarder.next().await.unwrap();
    assert!(id == 100 && answer.is_ok());
    assert!(started_at.elapsed() < TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn queries_are_bounded_and_those_of_a_silent_server_even_more() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = silent.local_addr().unwrap();
    let mut forwarder = Forwarder::new(direct(), &[]);
    let begin = |forwarder: &mut Forwarder<u16>, numbers: std::ops::Range<u16>| {
        let refused = numbers.filter_map(|number| begin(forwarder, number, to));
        refused
            .map(|(_, outcome)| assert_eq!(outcome, Err(DnsFailure::Failed)))
            .count()
    };
    assert_eq!(begin(&mut forwarder, 0..1100), 100);
    let mut outcomes = 0;
    while let Some((_, outcome)) = forwarder.next().await {
        assert_eq!(outcome, Err(DnsFailure::TimedOut));
        outcomes += 1;
    }
    assert_eq!(outcomes, MAX_UNDER_WAY);
    assert_eq!(begin(&mut forwarder, 0..100), 100 - 32);
    forwarder.clear();
    assert_eq!(forwarder.next().await, None, "nothing is left of them");
    assert_eq!(
        begin(&mut forwarder, 0..100),
        0,
        "another network, another chance"
    );
}

#[tokio::test]
async fn resolvers_of_the_system_alone_are_asked_by_it() {
    let address = SocketAddr::from(([192, 0, 2, 1], 853));
    let of = |link| SystemResolver {
        address,
        transport: ResolverTransport::Managed { link },
    };
    let mut forwarder = Forwarder::new(direct(), &[of(7)]);
    begin(&mut forwarder, 1, address);
    let (_, answer) = forwarder.next().await.unwrap();
    assert_eq!(answer.unwrap(), [&message(1)[..], &[0, 0, 0, 7]].concat());
    // The latest word counts.
    forwarder.use_resolvers(&[of(7), of(8)]);
    begin(&mut forwarder, 1, address);
    let (_, answer) = forwarder.next().await.unwrap();
    assert_eq!(answer.unwrap().last(), Some(&8));
    let plain = SystemResolver::do53(answering("127.0.0.1:0").await);
    forwarder.use_resolvers(&[plain]);
    begin(&mut forwarder, 1, plain.address);
    let (_, answer) = forwarder.next().await.unwrap();
    assert_eq!(answer.unwrap().len(), testing::QUERY.len());
}

/// Whether anything reached a server that nobody may ask in plain.
fn is_untouched(server: &UdpSocket) -> bool {
    let asked = server.try_recv_from(&mut [0; 512]);
    asked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn a_protected_server_gets_no_plain_query_whatever_changes_meanwhile() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let managed = SystemResolver {
        address,
        transport: ResolverTransport::Managed { link: 7 },
    };
    let by_the_system = |number| [&message(number)[..], &[0, 0, 0, 7]].concat();
    let mut forwarder = Forwarder::new(direct(), &[managed]);
    // The server is gone, or is open to all, when the query goes out.
    for (number, known) in [(1, &[][..]), (2, &[SystemResolver::do53(address)])] {
        forwarder.use_resolvers(known);
        let asked = question(number, address, DnsAccess::Managed);
        let failed = Some((number, Err(DnsFailure::Failed)));
        assert_eq!(forwarder.begin(number, asked), failed);
        assert_eq!(forwarder.next().await, None);
    }
    // It has become protected when the query goes out, or was so all the time.
    forwarder.use_resolvers(&[managed]);
    for (number, access) in [(3, DnsAccess::Plain), (4, DnsAccess::Managed)] {
        assert_eq!(
            forwarder.begin(number, question(number, address, access)),
            None
        );
        let (_, answer) = forwarder.next().await.unwrap();
        assert_eq!(answer, Ok(by_the_system(number)));
    }
    // Protected on one link is protected.
    forwarder.use_resolvers(&[managed, SystemResolver::do53(address)]);
    begin(&mut forwarder, 5, address);
    let (_, answer) = forwarder.next().await.unwrap();
    assert_eq!(answer, Ok(by_the_system(5)));
    assert!(is_untouched(&server));
}
