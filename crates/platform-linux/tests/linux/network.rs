//! Rules, routes, connected networks, interface settings, sockets, and news of changes.

use crate::namespace::{
    Etc, PATIENCE, Peer, connect, inside, internet_plan, plan, run, started, table,
};
use platform::{NetworkEvent, NetworkWatch, PacketBatch, Platform as _, Tun as _};
use socket_factory::{Outgoing, RecvBatch};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    thread,
};

const USER: u32 = 0x2021_fd00;
const LINK_SCOPE: u32 = 0x2021_fd01;
const INTERNET: u32 = 0x2021_fd02;

async fn next(watch: &mut NetworkWatch) -> NetworkEvent {
    tokio::time::timeout(PATIENCE, watch.next())
        .await
        .expect("no event came")
}

#[test]
fn rules_have_fixed_priorities_and_do_not_pile_up() {
    inside(|| async {
        let etc = Etc::new();
        let mut platform = started(&etc);
        let _tun = platform.create_tun().unwrap();
        for _ in 0..3 {
            platform.apply(&plan()).await.unwrap();
        }
        for family in ["-4", "-6"] {
            let rules = run("ip", &format!("{family} rule show"));
            let ours: Vec<String> = rules
                .lines()
                .filter(|rule| rule.contains("fwmark"))
                .map(|rule| rule.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            let expected = [(100, USER), (200, LINK_SCOPE), (300, INTERNET)]
                .map(|(p, t)| format!("{p}: not from all fwmark 0xfd002021 lookup {t}"));
            assert_eq!(ours, expected);
        }
    });
}

#[test]
fn default_routes_have_a_table_of_their_own() {
    inside(|| async {
        let etc = Etc::new();
        let mut platform = started(&etc);
        let _tun = platform.create_tun().unwrap();
        platform.apply(&internet_plan()).await.unwrap();
        for family in ["-4", "-6"] {
            assert_eq!(table(family, INTERNET), ["default"]);
            assert!(!table(family, USER).contains(&"default".to_owned()));
        }
        // The Internet Resource goes away again.
        platform.apply(&plan()).await.unwrap();
        assert!(table("-4", INTERNET).is_empty() && table("-6", INTERNET).is_empty());
        assert_eq!(table("-4", USER), ["10.0.1.0/24", "100.64.1.0/24"]);
    });
}

#[test]
fn interface_is_set_up_for_tunnel_packets() {
    inside(|| async {
        let etc = Etc::new();
        let mut platform = started(&etc);
        let tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        let link = run("ip", &format!("-d link show {}", tun.name()));
        for expected in ["mtu 1280", "qlen 10000", ",UP,", "gso_max_segs 64"] {
            assert!(link.contains(expected), "{expected} is missing: {link}");
        }
        let addresses = run("ip", &format!("-6 address show {}", tun.name()));
        assert!(!addresses.contains("fe80"), "{addresses}");
    });
}

#[test]
fn foreign_addresses_leave_the_interface() {
    inside(|| async {
        let etc = Etc::new();
        let mut platform = started(&etc);
        let _tun = platform.create_tun().unwrap();
        run("ip", "address add 192.0.2.200/24 dev tun-firezone");
        platform.apply(&plan()).await.unwrap();
        let addresses = run("ip", "-4 -o address show tun-firezone");
        assert_eq!(addresses.lines().count(), 1, "{addresses}");
        assert!(addresses.contains("100.64.0.1/32"), "{addresses}");
    });
}

#[test]
fn system_without_ipv6_gets_an_ipv4_tunnel() {
    inside(|| async {
        let etc = Etc::new();
        for scope in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
            // The sysctl file system shows the network namespace of whoever opens it.
            std::fs::write(&path, "1").unwrap();
        }
        let mut platform = started(&etc);
        let _tun = platform.create_tun().unwrap();
        platform.apply(&internet_plan()).await.unwrap();
        let expected = ["10.0.1.0/24", "100.64.1.0/24"];
        assert_eq!(table("-4", USER), expected);
        assert!(table("-6", USER).is_empty() && table("-6", INTERNET).is_empty());
        assert!(!run("ip", "-6 rule show").contains("fwmark"));
        platform.revert().unwrap();
    });
}

#[test]
fn connected_networks_are_copied_and_stale_copies_removed() {
    inside(|| async {
        let etc = Etc::new();
        let peer = Peer::new();
        connect(&peer, "near", "far");
        run("ip", "address add 192.0.2.1/24 dev near");
        run("ip", "address add 2001:db8::1/64 dev near nodad");
        let mut platform = started(&etc);
        let mut watch = platform.watch();
        let _tun = platform.create_tun().unwrap();
        platform.apply(&internet_plan()).await.unwrap();
        assert_eq!(table("-4", LINK_SCOPE), ["192.0.2.0/24"]);
        assert_eq!(table("-6", LINK_SCOPE), ["2001:db8::/64"]);

        run("ip", "address add 198.51.100.1/24 dev near");
        run("ip", "address del 192.0.2.1/24 dev near");
        run("ip", "address del 2001:db8::1/64 dev near");
        // Copies are made before the change is reported.
        assert_eq!(next(&mut watch).await, NetworkEvent::NetworkChanged);
        assert_eq!(table("-4", LINK_SCOPE), ["198.51.100.0/24"]);
        assert_eq!(table("-6", LINK_SCOPE), Vec::<String>::new());

        platform.revert().unwrap();
        assert_eq!(table("-4", LINK_SCOPE), Vec::<String>::new());
    });
}

#[test]
fn own_changes_are_no_news_but_others_are() {
    inside(|| async {
        let etc = Etc::new();
        let peer = Peer::new();
        connect(&peer, "near", "far");
        let mut platform = started(&etc);
        let mut watch = platform.watch();
        let _tun = platform.create_tun().unwrap();
        platform.apply(&internet_plan()).await.unwrap();
        platform.revert().unwrap();
        platform.apply(&plan()).await.unwrap();
        // If our own changes were reported, that event would come first.
        std::fs::write(etc.file(), "nameserver 198.51.100.53\n").unwrap();
        assert_eq!(next(&mut watch).await, NetworkEvent::ResolversChanged);

        run("ip", "address add 192.0.2.1/24 dev near");
        assert_eq!(next(&mut watch).await, NetworkEvent::NetworkChanged);
        run("ip", "route add default via 192.0.2.2");
        assert_eq!(next(&mut watch).await, NetworkEvent::NetworkChanged);
        run("ip", "link set near down");
        assert_eq!(next(&mut watch).await, NetworkEvent::NetworkChanged);
    });
}

#[test]
fn noise_of_containers_is_no_news() {
    inside(|| async {
        let etc = Etc::new();
        let peer = Peer::new();
        let mut platform = started(&etc);
        let mut watch = platform.watch();
        connect(&peer, "noise", "far");
        run("ip", "route add 172.17.0.0/16 dev noise");
        run("ip", "link set noise down");
        run("ip", "link del noise");
        std::fs::write(etc.file(), "nameserver 198.51.100.53\n").unwrap();
        assert_eq!(next(&mut watch).await, NetworkEvent::ResolversChanged);
        // What only rewrites the same is silent, too: the next event is about the network.
        std::fs::write(etc.file(), "# edited\nnameserver 198.51.100.53\n").unwrap();
        connect(&peer, "near", "far");
        run("ip", "address add 192.0.2.1/24 dev near");
        assert_eq!(next(&mut watch).await, NetworkEvent::NetworkChanged);
    });
}

/// The machine behind the tunnel's back: echoes UDP and TCP on 198.51.100.1.
fn world(peer: &Peer) -> (SocketAddr, SocketAddr) {
    connect(peer, "near", "far");
    run("ip", "address add 192.0.2.1/24 dev near");
    run("ip", "route add default via 192.0.2.2");
    peer.run(|| {
        run("ip", "address add 192.0.2.2/24 dev far");
        run("ip", "address add 198.51.100.1/32 dev lo");
        let udp = UdpSocket::bind("198.51.100.1:0").unwrap();
        let tcp = TcpListener::bind("198.51.100.1:0").unwrap();
        let addresses = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        // Both threads end with the test: each serves one client, or the process goes.
        thread::spawn(move || {
            let mut buffer = [0; 100];
            let (length, from) = udp.recv_from(&mut buffer).unwrap();
            udp.send_to(&buffer[..length], from).unwrap();
        });
        thread::spawn(move || {
            let mut buffer = [0; 4];
            let (mut stream, _) = tcp.accept().unwrap();
            stream.read_exact(&mut buffer).unwrap();
            stream.write_all(&buffer).unwrap();
        });
        addresses
    })
}

#[test]
fn own_sockets_do_not_loop_while_everything_else_is_tunnelled() {
    inside(|| async {
        let etc = Etc::new();
        let peer = Peer::new();
        let (udp, tcp) = world(&peer);
        let mut platform = started(&etc);
        let mut tun = platform.create_tun().unwrap();
        platform.apply(&internet_plan()).await.unwrap();
        let sockets = platform.sockets();

        let socket = sockets.udp.bind("0.0.0.0:0".parse().unwrap()).unwrap();
        socket
            .try_send(&Outgoing {
                source: None,
                destination: udp,
                ecn: 0,
                segment_size: 0,
                payload: b"ping",
            })
            .unwrap();
        let readable = tokio::time::timeout(PATIENCE, socket.readable());
        readable.await.expect("the datagram looped").unwrap();
        let mut batch = RecvBatch::new();
        socket.try_recv(&mut batch).unwrap();
        assert_eq!(batch.datagrams().next().unwrap().payload, b"ping");

        let connecting = tokio::time::timeout(PATIENCE, sockets.tcp.connect(tcp));
        let stream = connecting.await.expect("the connection looped").unwrap();
        stream.writable().await.unwrap();
        stream.try_write(b"ping").unwrap();
        stream.readable().await.unwrap();
        let mut answer = [0; 4];
        assert_eq!(stream.try_read(&mut answer).unwrap(), 4);

        // An ordinary socket of another program goes into the tunnel.
        let other = UdpSocket::bind("0.0.0.0:0").unwrap();
        other.send_to(b"for the tunnel", udp).unwrap();
        let mut packets = PacketBatch::new(64);
        tokio::time::timeout(PATIENCE, tun.readable())
            .await
            .expect("nothing entered the tunnel")
            .unwrap();
        tun.try_read(&mut packets).unwrap();
        let entered = packets.iter().any(|p| p.ends_with(b"for the tunnel"));
        assert!(entered);
        assert!(!packets.iter().any(|p| p.ends_with(b"ping")));
    });
}

#[test]
fn only_the_missing_ones_of_many_routes_are_added() {
    inside(|| async {
        let etc = Etc::new();
        let mut platform = started(&etc);
        let _tun = platform.create_tun().unwrap();
        let mut plan = plan();
        plan.routes = (0..2_000_u32)
            .map(|n| format!("10.{}.{}.0/24", n / 256, n % 256).parse().unwrap())
            .collect();
        platform.apply(&plan).await.unwrap();
        assert_eq!(table("-4", USER).len(), 2_000);
        let lost = [
            ("10.1.2.0/24", "10.7.8.0/24"),
            ("10.0.0.0/24", "10.7.207.0/24"),
        ];
        for (first, second) in lost {
            for network in [first, second] {
                run("ip", &format!("route del {network} table {USER}"));
            }
            // One that leads elsewhere is not ours.
            run("ip", &format!("route add {first} dev lo table {USER}"));
            platform.apply(&plan).await.unwrap();
            assert_eq!(table("-4", USER).len(), 2_000);
            let routes = run("ip", &format!("route show table {USER} {first}"));
            assert!(!routes.contains("dev lo"), "{routes}");
        }
    });
}
