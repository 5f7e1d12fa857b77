//! Sockets against each other on the loopback interface.

use crate::{
    Egress, EgressResolver, Family, Options, Outgoing, RecvBatch, SendFault, SystemSockets,
    TcpSocketFactory as _, UdpSocket, UdpSocketFactory, bind_preferred, exchange,
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const LOOPBACKS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// An address of TEST-NET-1 that this machine does not own.
const FOREIGN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99));

type Seen = (SocketAddr, SocketAddr, u8, Vec<u8>);

fn plain() -> SystemSockets {
    SystemSockets::new(Options::default())
}

fn any_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}

/// A factory that counts how often its resolver is asked and hands out the given answers in turn.
fn resolving(
    answers: impl Fn(usize) -> io::Result<Option<IpAddr>> + Send + Sync + 'static,
) -> (SystemSockets, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let resolver: EgressResolver = Arc::new(move |_| {
        let source = answers(counter.fetch_add(1, Ordering::SeqCst))?;
        Ok(source.map(|source| Egress {
            source,
            interface: None,
        }))
    });
    let factory = SystemSockets::new(Options {
        egress_resolver: Some(resolver),
        ..Options::default()
    });
    (factory, calls)
}

fn datagrams(destination: SocketAddr, segment_size: usize, payload: &[u8]) -> Outgoing<'_> {
    Outgoing {
        source: None,
        destination,
        ecn: 0,
        segment_size,
        payload,
    }
}

async fn receive(socket: &UdpSocket, count: usize) -> Vec<Seen> {
    let mut batch = RecvBatch::new();
    let mut seen = Vec::new();
    while seen.len() < count {
        socket.readable().await.unwrap();
        if socket.try_recv(&mut batch).is_ok() {
            let owned = |d: crate::Incoming<'_>| (d.local, d.remote, d.ecn, d.payload.to_vec());
            seen.extend(batch.datagrams().map(owned));
        }
    }
    seen
}

#[tokio::test]
async fn batch_arrives_datagram_by_datagram() {
    for address in LOOPBACKS {
        let receiver = plain().bind(any_port(address)).unwrap();
        let sender = plain().bind(any_port(address)).unwrap();
        // Nine full segments and a short one, each filled with its number.
        let payload: Vec<u8> = (0..9500_usize)
            .map(|i| u8::try_from(i / 1000).unwrap())
            .collect();
        sender
            .try_send(&datagrams(receiver.local_addr(), 1000, &payload))
            .unwrap();

        let seen = receive(&receiver, 10).await;
        assert_eq!(seen.len(), 10);
        for (i, (local, remote, _, payload)) in seen.into_iter().enumerate() {
            assert_eq!(
                (local, remote),
                (receiver.local_addr(), sender.local_addr())
            );
            assert_eq!(payload.len(), if i == 9 { 500 } else { 1000 });
            assert!(
                payload.iter().all(|b| usize::from(*b) == i),
                "{address} {i}"
            );
        }
    }
}

#[cfg_attr(
    target_os = "windows",
    ignore = "needs Windows: Wine 8 lacks IP_RECVECN and IPV6_RECVECN"
)]
#[tokio::test]
async fn ecn_bits_survive_in_both_families() {
    for address in LOOPBACKS {
        let receiver = plain().bind(any_port(address)).unwrap();
        let sender = plain().bind(any_port(address)).unwrap();
        for ecn in 0..4 {
            let mut outgoing = datagrams(receiver.local_addr(), 2, b"abcde");
            outgoing.ecn = ecn;
            sender.try_send(&outgoing).unwrap();
            let seen = receive(&receiver, 3).await;
            assert!(seen.iter().all(|datagram| datagram.2 == ecn), "{address}");
        }
    }
}

#[tokio::test]
async fn batch_above_the_segment_limit_is_split() {
    for address in LOOPBACKS {
        let receiver = plain().bind(any_port(address)).unwrap();
        let sender = plain().bind(any_port(address)).unwrap();
        // More than 64 datagrams, then more than 64 KiB.
        for (count, size) in [(150_usize, 20_usize), (60, 1316)] {
            let payload: Vec<u8> = (0..count)
                .flat_map(|i| vec![u8::try_from(i).unwrap(); size])
                .collect();
            sender
                .try_send(&datagrams(receiver.local_addr(), size, &payload))
                .unwrap();
            let seen = receive(&receiver, count).await;
            let numbers: Vec<_> = seen.iter().map(|s| usize::from(s.3[0])).collect();
            assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "{address}");
            assert!(seen.iter().all(|s| s.3.len() == size));
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn refused_offload_falls_back_to_single_datagrams() {
    // A socket without UDP checksums cannot segment: the kernel refuses as drivers do.
    let receiver = plain().bind(any_port(LOOPBACKS[0])).unwrap();
    let sender = plain().bind(any_port(LOOPBACKS[0])).unwrap();
    sender.forbid_checksums();
    assert!(sender.max_segments() > 1, "this kernel has no UDP_SEGMENT");
    let payload: Vec<u8> = (0..60_u8).collect();
    let outgoing = datagrams(receiver.local_addr(), 7, &payload);
    for _ in 0..2 {
        sender.try_send(&outgoing).unwrap();
        let seen = receive(&receiver, 9).await;
        let joined: Vec<u8> = seen.iter().flat_map(|s| s.3.clone()).collect();
        assert_eq!(joined, payload);
        assert_eq!(seen[8].3.len(), 4);
        assert_eq!(sender.max_segments(), 1);
    }
}

#[tokio::test]
async fn interrupted_batch_goes_on_where_it_stopped() {
    let receiver = plain().bind(any_port(LOOPBACKS[0])).unwrap();
    let sender = plain().bind(any_port(LOOPBACKS[0])).unwrap();
    let mut sent = 6;
    let outgoing = datagrams(receiver.local_addr(), 3, b"onetwosix");
    sender.try_send_from(&outgoing, &mut sent).unwrap();
    assert_eq!(sent, 9);
    assert_eq!(receive(&receiver, 1).await[0].3, b"six");
}

#[cfg_attr(
    target_os = "windows",
    ignore = "needs Windows: Wine 8 refuses batches on IPv4, and with them source addresses"
)]
#[tokio::test]
async fn explicit_source_is_honoured_and_told_to_the_receiver() {
    let receiver = plain()
        .bind(any_port(Ipv4Addr::UNSPECIFIED.into()))
        .unwrap();
    let sender = plain()
        .bind(any_port(Ipv4Addr::UNSPECIFIED.into()))
        .unwrap();
    let source = IpAddr::from([127, 0, 0, 2]);
    let destination = SocketAddr::from(([127, 0, 0, 3], receiver.local_port()));
    let mut outgoing = datagrams(destination, 0, b"hello");
    outgoing.source = Some(source);
    sender.try_send(&outgoing).unwrap();
    let (local, remote, ..) = receive(&receiver, 1).await.remove(0);
    assert_eq!(local, destination);
    assert_eq!(remote, SocketAddr::new(source, sender.local_port()));
}

#[tokio::test]
async fn socket_survives_destinations_it_cannot_reach() {
    let receiver = plain().bind(any_port(LOOPBACKS[0])).unwrap();
    let sender = plain().bind(any_port(LOOPBACKS[0])).unwrap();
    // A socket bound to loopback cannot reach the world, nor the other family.
    for bad in ["198.51.100.1:9", "[2001:db8::1]:9"] {
        let error = sender
            .try_send(&datagrams(bad.parse().unwrap(), 4, b"lostlost"))
            .unwrap_err();
        assert_ne!(SendFault::of(&error), SendFault::WouldBlock, "{bad}");
    }
    sender
        .try_send(&datagrams(receiver.local_addr(), 0, b"fine"))
        .unwrap();
    assert_eq!(receive(&receiver, 1).await[0].3, b"fine");
}

#[tokio::test]
async fn oversized_datagram_is_named_so() {
    let sender = plain().bind(any_port(LOOPBACKS[0])).unwrap();
    let payload = vec![0; 70_000];
    let error = sender
        .try_send(&datagrams(sender.local_addr(), 0, &payload))
        .unwrap_err();
    assert_eq!(SendFault::of(&error), SendFault::TooBig);
}

#[tokio::test]
async fn socket_without_batches_carries_datagrams_and_its_own_address() {
    for address in LOOPBACKS {
        let any = match address {
            IpAddr::V4(_) => Family::V4.unspecified(),
            IpAddr::V6(_) => Family::V6.unspecified(),
        };
        for bound in [address, any] {
            let make = || {
                let socket = std::net::UdpSocket::bind(any_port(bound)).unwrap();
                socket.set_nonblocking(true).unwrap();
                UdpSocket::plain(socket).unwrap()
            };
            let (receiver, sender) = (make(), make());
            let to = SocketAddr::new(address, receiver.local_port());
            sender.try_send(&datagrams(to, 3, b"onetwosi")).unwrap();
            let from = SocketAddr::new(address, sender.local_port());
            let expected = [&b"one"[..], b"two", b"si"].map(|p| (to, from, 0, p.to_vec()));
            assert_eq!(receive(&receiver, 3).await, expected);
            assert_eq!(sender.max_segments(), 1);
        }
    }
}

#[tokio::test]
async fn socket_survives_ports_where_nobody_listens() {
    for address in LOOPBACKS {
        let gone = plain().bind(any_port(address)).unwrap().local_addr();
        let socket = plain().bind(any_port(address)).unwrap();
        socket.try_send(&datagrams(gone, 0, b"lost")).unwrap();
        let to_self = datagrams(socket.local_addr(), 0, b"fine");
        socket.try_send(&to_self).unwrap();
        assert_eq!(receive(&socket, 1).await[0].3, b"fine");
    }
}

#[tokio::test]
async fn sockets_of_one_factory_share_one_computation() {
    let (factory, calls) = resolving(|_| Ok(Some(IpAddr::from([127, 0, 0, 5]))));
    let receiver = plain().bind(any_port(LOOPBACKS[0])).unwrap();
    for _ in 0..10 {
        let socket = factory
            .bind(any_port(Ipv4Addr::UNSPECIFIED.into()))
            .unwrap();
        socket
            .try_send(&datagrams(receiver.local_addr(), 0, b"x"))
            .unwrap();
        let (_, remote, ..) = receive(&receiver, 1).await.remove(0);
        if socket.is_batched() {
            assert_eq!(remote.ip(), IpAddr::from([127, 0, 0, 5]));
        }
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);

    UdpSocketFactory::reset(&factory);
    let socket = factory
        .bind(any_port(Ipv4Addr::UNSPECIFIED.into()))
        .unwrap();
    socket
        .try_send(&datagrams(receiver.local_addr(), 0, b"x"))
        .unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn two_factories_share_nothing() {
    let (first, first_calls) = resolving(|_| Ok(None));
    let (second, second_calls) = resolving(|_| Ok(None));
    for factory in [&first, &second] {
        let socket = factory.bind(any_port(LOOPBACKS[0])).unwrap();
        socket
            .try_send(&datagrams(socket.local_addr(), 0, b"x"))
            .unwrap();
    }
    assert_eq!(first_calls.load(Ordering::SeqCst), 1);
    assert_eq!(second_calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn explicit_source_asks_no_resolver() {
    let (factory, calls) = resolving(|_| Err(io::ErrorKind::HostUnreachable.into()));
    let socket = factory.bind(any_port(LOOPBACKS[0])).unwrap();
    let mut outgoing = datagrams(socket.local_addr(), 0, b"x");
    outgoing.source = Some(LOOPBACKS[0]);
    socket.try_send(&outgoing).unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn failed_computation_is_reported_and_repeated() {
    let (factory, calls) = resolving(|call| match call {
        0 => Err(io::ErrorKind::HostUnreachable.into()),
        _ => Ok(Some(LOOPBACKS[0])),
    });
    let socket = factory.bind(any_port(LOOPBACKS[0])).unwrap();
    let outgoing = datagrams(socket.local_addr(), 0, b"x");
    let error = socket.try_send(&outgoing).unwrap_err();
    assert_eq!(SendFault::of(&error), SendFault::Unreachable);
    socket.try_send(&outgoing).unwrap();
    socket.try_send(&outgoing).unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[cfg_attr(
    target_os = "windows",
    ignore = "needs Windows: Wine 8 refuses batches on IPv4, and with them source addresses"
)]
#[tokio::test]
async fn stale_source_is_corrected_once_for_all_sockets() {
    let (factory, calls) = resolving(|call| match call {
        0 => Ok(Some(FOREIGN)),
        _ => Ok(Some(LOOPBACKS[0])),
    });
    let receiver = plain().bind(any_port(LOOPBACKS[0])).unwrap();
    for _ in 0..3 {
        let socket = factory
            .bind(any_port(Ipv4Addr::UNSPECIFIED.into()))
            .unwrap();
        socket
            .try_send(&datagrams(receiver.local_addr(), 2, b"abcd"))
            .unwrap();
        assert_eq!(receive(&receiver, 2).await.len(), 2);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[cfg_attr(
    target_os = "windows",
    ignore = "needs Windows: Wine 8 refuses batches on IPv4, and with them source addresses"
)]
#[tokio::test]
async fn source_that_stays_wrong_is_an_error_after_one_more_question() {
    let (factory, calls) = resolving(|_| Ok(Some(FOREIGN)));
    let socket = factory
        .bind(any_port(Ipv4Addr::UNSPECIFIED.into()))
        .unwrap();
    let destination = SocketAddr::from(([127, 0, 0, 1], socket.local_port()));
    assert!(socket.try_send(&datagrams(destination, 0, b"x")).is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn taken_port_falls_back_to_any() {
    for family in [Family::V4, Family::V6] {
        let first = bind_preferred(&plain(), family, 0).unwrap();
        let second = bind_preferred(&plain(), family, first.local_port()).unwrap();
        assert_ne!(second.local_port(), 0);
        assert_ne!(second.local_port(), first.local_port());
    }
}

#[tokio::test]
async fn both_families_share_a_port() {
    let v4 = bind_preferred(&plain(), Family::V4, 0).unwrap();
    let v6 = plain()
        .bind(SocketAddr::new(Family::V6.unspecified(), v4.local_port()))
        .unwrap();
    assert_eq!(v4.local_port(), v6.local_port());
}

#[tokio::test]
async fn exchange_ignores_strangers_and_what_is_no_answer() {
    for address in LOOPBACKS {
        let server = plain().bind(any_port(address)).unwrap();
        let stranger = plain().bind(any_port(address)).unwrap();
        let factory = plain();
        let (answer, ()) = tokio::join!(
            exchange(
                &factory,
                server.local_addr(),
                b"question",
                Duration::from_secs(5),
                |datagram| datagram.starts_with(b"answer"),
            ),
            async {
                let (_, client, _, query) = receive(&server, 1).await.remove(0);
                assert_eq!(query, b"question");
                stranger
                    .try_send(&datagrams(client, 0, b"answer of a stranger"))
                    .unwrap();
                server.try_send(&datagrams(client, 0, b"lie")).unwrap();
                server.try_send(&datagrams(client, 0, b"answer")).unwrap();
            }
        );
        assert_eq!(answer.unwrap(), b"answer", "{address}");
    }
}

#[tokio::test]
async fn exchange_takes_answers_of_any_size() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    for length in [0, 1, 1500, 1501, 65_507] {
        let server = server.try_clone().unwrap();
        let served = tokio::task::spawn_blocking(move || {
            let mut query = [0; 100];
            let (_, from) = server.recv_from(&mut query).unwrap();
            server.send_to(&vec![7; length], from).unwrap();
        });
        let limit = Duration::from_secs(5);
        let answer = exchange(&plain(), to, b"?", limit, |_| true).await.unwrap();
        assert_eq!(answer, vec![7; length]);
        served.await.unwrap();
    }
}

#[cfg_attr(
    target_os = "windows",
    ignore = "needs Windows: Wine 8 binds UDP sockets of IPv4 to the interface of an address, not to the address"
)]
#[tokio::test]
async fn exchange_starts_from_the_resolved_source_and_another_port_each_time() {
    let (factory, calls) = resolving(|call| match call {
        0 => Ok(Some(FOREIGN)),
        _ => Ok(Some(IpAddr::from([127, 0, 0, 6]))),
    });
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let mut ports = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let socket = factory.one_shot(to).unwrap();
        socket.send(b"?").await.unwrap();
        let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 6]));
        ports.insert(from.port());
    }
    assert!(ports.len() > 4, "{ports:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[cfg_attr(
    target_os = "windows",
    ignore = "needs Windows: Wine 8 does not say that nobody listens"
)]
#[tokio::test]
async fn exchange_with_nobody_is_refused_at_once() {
    let gone = plain().bind(any_port(LOOPBACKS[0])).unwrap().local_addr();
    let limit = Duration::from_secs(60);
    let error = exchange(&plain(), gone, b"?", limit, |_| true).await;
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn exchange_without_an_answer_times_out() {
    let silent = plain().bind(any_port(LOOPBACKS[0])).unwrap();
    let limit = Duration::from_secs(5);
    let error = exchange(&plain(), silent.local_addr(), b"?", limit, |_| true)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn tcp_connects_without_delay_and_from_the_resolved_source() {
    let (factory, calls) = resolving(|call| match call {
        0 => Ok(Some(FOREIGN)),
        _ => Ok(Some(IpAddr::from([127, 0, 0, 6]))),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = listener.local_addr().unwrap();
    for _ in 0..2 {
        let stream = factory.connect(remote).await.unwrap();
        assert!(stream.nodelay().unwrap());
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 6]));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn tcp_without_a_resolver_just_connects() {
    for address in LOOPBACKS {
        let listener = tokio::net::TcpListener::bind(any_port(address))
            .await
            .unwrap();
        let stream = plain()
            .connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    }
}

#[tokio::test]
async fn reset_of_either_factory_empties_the_cache() {
    let (factory, calls) = resolving(|_| Ok(None));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = listener.local_addr().unwrap();
    for expected in 1..=3 {
        factory.connect(remote).await.unwrap();
        factory.one_shot(remote).unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), expected);
        match expected {
            1 => crate::TcpSocketFactory::reset(&factory),
            _ => UdpSocketFactory::reset(&factory),
        }
    }
}

/// A factory whose resolver names this interface for the loopback addresses.
fn through(interface: u32) -> SystemSockets {
    let resolver: EgressResolver = Arc::new(move |destination| {
        Ok(Some(Egress {
            source: destination,
            interface: std::num::NonZeroU32::new(interface),
        }))
    });
    SystemSockets::new(Options {
        egress_resolver: Some(resolver),
        ..Options::default()
    })
}

/// Index of the loopback interface, everywhere on Linux and Windows.
const LO: u32 = 1;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn sockets_of_one_destination_leave_through_the_resolved_interface() {
    for address in LOOPBACKS {
        let family = Family::of(address);
        let one_shot = through(LO).one_shot(SocketAddr::new(address, 53)).unwrap();
        let bound = crate::sys::unicast_interface(&one_shot, family).unwrap();
        assert_eq!(bound, LO, "{address}");

        let listener = tokio::net::TcpListener::bind(any_port(address))
            .await
            .unwrap();
        let remote = listener.local_addr().unwrap();
        let stream = through(LO).connect(remote).await.unwrap();
        let bound = crate::sys::unicast_interface(&stream, family).unwrap();
        assert_eq!(bound, LO, "{address}");
    }
}

#[tokio::test]
async fn system_that_cannot_bind_to_an_interface_still_has_sockets() {
    for address in LOOPBACKS {
        let socket = through(LO).one_shot(SocketAddr::new(address, 53)).unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), address);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn interface_that_is_gone_fails_the_socket() {
    for address in LOOPBACKS {
        let error = through(0x7fff_0000).one_shot(SocketAddr::new(address, 53));
        assert_eq!(
            error.unwrap_err().kind(),
            io::ErrorKind::AddrNotAvailable,
            "{address}"
        );
    }
}
