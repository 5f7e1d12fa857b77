//! Hosts, NATs and links together.

use super::*;
use crate::{Loss, Share};
use model::Seed;
use std::time::Duration;

fn network() -> Network {
    Network::new(SeedTree::new(Seed::from_bytes([1; 32])))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn datagram(from: SocketAddr, to: SocketAddr, text: &str) -> Datagram {
    Datagram {
        from,
        to,
        ecn: Ecn::Ect0,
        payload: text.into(),
    }
}

/// Runs to the end; everything that arrives, with its time.
fn run(network: &mut Network, start: Instant) -> Vec<(Duration, Received)> {
    let mut arrived = Vec::new();
    while let Some(now) = network.deadline() {
        while let Some(received) = network.receive(now) {
            arrived.push((now - start, received));
        }
    }
    arrived
}

/// What arrives of one datagram, as host, local and remote socket.
fn once(
    network: &mut Network,
    host: HostId,
    from: &str,
    to: SocketAddr,
) -> Option<(HostId, SocketAddr, SocketAddr)> {
    let now = Instant::now();
    network.send(host, datagram(socket(from), to, "x"), now);
    let mut arrived = run(network, now);
    assert!(arrived.len() <= 1);
    let (_, received) = arrived.pop()?;
    Some((received.host, received.local, received.remote))
}

#[test]
fn datagrams_arrive_whole_after_both_links() {
    let mut network = network();
    let a = network.add_host(vec![ip("198.51.100.1"), ip("2001:db8::1")], None);
    let b = network.add_host(vec![ip("198.51.100.2"), ip("2001:db8::2")], None);
    network.set_uplink(a, LinkConfig::delay(Duration::from_millis(3)));
    network.set_downlink(b, LinkConfig::delay(Duration::from_millis(4)));
    let start = Instant::now();
    for (from, to) in [
        ("198.51.100.1:1", "198.51.100.2:2"),
        ("[2001:db8::1]:1", "[2001:db8::2]:2"),
    ] {
        let (from, to) = (socket(from), socket(to));
        network.send(a, datagram(from, to, "there"), start);
        assert_eq!(network.receive(start + Duration::from_millis(6)), None);
        let received = Received {
            host: b,
            local: to,
            remote: from,
            ecn: Ecn::Ect0,
            payload: b"there".into(),
        };
        let at = Duration::from_millis(7);
        assert_eq!(run(&mut network, start), [(at, received)]);
        network.send(b, datagram(to, from, "back"), start);
        assert_eq!(run(&mut network, start)[0].0, Duration::ZERO);
    }
    assert_eq!(network.drops().total(), 0);
    assert_eq!(network.address(a, false), Some(ip("2001:db8::1")));
}

#[test]
fn what_is_sent_first_arrives_first_at_the_same_instant() {
    let mut network = network();
    let a = network.add_host(vec![ip("198.51.100.1")], None);
    let b = network.add_host(vec![ip("198.51.100.2")], None);
    let (from, to, start) = (
        socket("198.51.100.1:1"),
        socket("198.51.100.2:2"),
        Instant::now(),
    );
    for n in 0..100 {
        network.send(a, datagram(from, to, &n.to_string()), start);
    }
    let arrived = run(&mut network, start);
    for (n, (_, received)) in arrived.iter().enumerate() {
        assert_eq!(
            (received.host, &received.payload[..]),
            (b, n.to_string().as_bytes())
        );
    }
    assert_eq!(arrived.len(), 100);
}

#[test]
fn a_nat_hides_its_hosts_and_lets_answers_in() {
    let mut network = network();
    let nat = network.add_nat(ip("203.0.113.1"), NatConfig::PORT_RESTRICTED);
    let inside = network.add_host(vec![ip("10.0.0.1"), ip("2001:db8::1")], Some(nat));
    let outside = network.add_host(vec![ip("198.51.100.1"), ip("2001:db8::2")], None);
    let server = socket("198.51.100.1:9");

    let (host, local, remote) = once(&mut network, inside, "10.0.0.1:5", server).unwrap();
    assert_eq!(
        (host, local, remote),
        (outside, server, socket("203.0.113.1:40001"))
    );
    let back = once(&mut network, outside, "198.51.100.1:9", remote);
    assert_eq!(back, Some((inside, socket("10.0.0.1:5"), server)));
    assert_eq!(once(&mut network, outside, "198.51.100.1:8", remote), None);
    assert_eq!(network.drops().get(DropReason::Filtered), 1);
    assert_eq!(
        once(
            &mut network,
            outside,
            "198.51.100.1:9",
            socket("203.0.113.1:7")
        ),
        None
    );
    assert_eq!(network.drops().get(DropReason::NoMapping), 1);
    assert_eq!(
        once(
            &mut network,
            outside,
            "198.51.100.1:9",
            socket("10.0.0.1:5")
        ),
        None
    );
    assert_eq!(network.drops().get(DropReason::NoHost), 1);

    let v6 = socket("[2001:db8::1]:5");
    let direct = once(&mut network, outside, "[2001:db8::2]:9", v6);
    assert_eq!(
        direct.map(|(host, ..)| host),
        Some(inside),
        "another family"
    );

    network.forget_mappings(inside);
    assert_eq!(once(&mut network, outside, "198.51.100.1:9", remote), None);
}

#[test]
fn neighbours_behind_a_nat_meet_inside_and_by_hairpinning_if_it_has_that() {
    for hairpinning in [false, true] {
        let mut network = network();
        let config = NatConfig {
            hairpinning,
            ..NatConfig::FULL_CONE
        };
        let nat = network.add_nat(ip("203.0.113.1"), config);
        let a = network.add_host(vec![ip("10.0.0.1")], Some(nat));
        let b = network.add_host(vec![ip("10.0.0.2")], Some(nat));
        network.add_host(vec![ip("198.51.100.1")], None);
        let (inside_a, inside_b) = (socket("10.0.0.1:5"), socket("10.0.0.2:5"));
        let direct = once(&mut network, a, "10.0.0.1:5", inside_b);
        assert_eq!(direct, Some((b, inside_b, inside_a)), "not translated");

        let server = socket("198.51.100.1:9");
        let (_, _, external_b) = once(&mut network, b, "10.0.0.2:5", server).unwrap();
        let turned = once(&mut network, a, "10.0.0.1:5", external_b);
        let external_a = socket("203.0.113.1:40002");
        // RFC 4787 section 6: the source is external, too.
        let expected = hairpinning.then_some((b, inside_b, external_a));
        assert_eq!(turned, expected, "{hairpinning}");
    }
}

#[test]
fn hosts_behind_two_nats_meet_when_both_have_sent() {
    let mut network = network();
    let hosts = [1, 2].map(|n| {
        let external = IpAddr::from([203, 0, 113, n]);
        let nat = network.add_nat(external, NatConfig::PORT_RESTRICTED);
        network.add_host(vec![IpAddr::from([10, 0, n, 1])], Some(nat))
    });
    // With ports in order each one's first mapping is known.
    let external = |n: u8| SocketAddr::from(([203, 0, 113, n], 40_001));
    assert_eq!(
        once(&mut network, hosts[0], "10.0.1.1:5", external(2)),
        None
    );
    let second = once(&mut network, hosts[1], "10.0.2.1:5", external(1));
    assert_eq!(second, Some((hosts[0], socket("10.0.1.1:5"), external(2))));
    assert!(once(&mut network, hosts[0], "10.0.1.1:5", external(2)).is_some());
}

#[test]
fn a_trace_says_where_a_datagram_would_arrive() {
    let mut network = network();
    let nat = network.add_nat(ip("203.0.113.1"), NatConfig::SYMMETRIC);
    let inside = network.add_host(vec![ip("10.0.0.1")], Some(nat));
    let server = network.add_host(vec![ip("198.51.100.1")], None);
    network.set_uplink(
        inside,
        LinkConfig {
            loss: Loss::All,
            ..LinkConfig::IDEAL
        },
    );
    let (local, remote) = (socket("198.51.100.1:9"), socket("203.0.113.1:40001"));
    let now = Instant::now();
    let there = network.trace(inside, socket("10.0.0.1:5"), local, now);
    assert_eq!(there, Ok((server, local, remote)));
    let back = network.trace(server, local, remote, now);
    assert_eq!(back, Ok((inside, socket("10.0.0.1:5"), local)));
    let stranger = network.trace(server, socket("198.51.100.1:8"), remote, now);
    assert_eq!(stranger, Err(DropReason::Filtered));
    assert_eq!((network.deadline(), network.drops().total()), (None, 0));
}

#[test]
fn blocks_and_cuts_hold_until_they_are_undone() {
    let mut network = network();
    let hosts = [1, 2, 3].map(|n| network.add_host(vec![IpAddr::from([198, 51, 100, n])], None));
    let address = |n: u8| SocketAddr::from(([198, 51, 100, n], 1));
    let passes = |network: &mut Network, from: u8, to: u8| {
        let source = address(from).to_string();
        once(network, hosts[usize::from(from) - 1], &source, address(to)).is_some()
    };
    network.block(hosts[0], hosts[1]);
    assert!(!passes(&mut network, 1, 2) && !passes(&mut network, 2, 1));
    assert!(passes(&mut network, 1, 3));
    network.cut(move |from, to| from == address(1) && to == address(3));
    assert!(!passes(&mut network, 1, 3) && passes(&mut network, 3, 1));
    network.heal();
    assert!(passes(&mut network, 1, 3));
    assert_eq!(network.drops().get(DropReason::Cut), 3);
}

#[test]
fn every_drop_is_counted_where_it_happens() {
    let mut network = network();
    let a = network.add_host(vec![ip("198.51.100.1")], None);
    let b = network.add_host(vec![ip("198.51.100.2")], None);
    let start = Instant::now();
    let (from, to) = (socket("198.51.100.1:1"), socket("198.51.100.2:1"));
    let lossy = LinkConfig {
        loss: Loss::Uniform(Share::percent(50)),
        mtu: 100,
        ..LinkConfig::IDEAL
    };
    network.set_uplink(a, lossy);
    network.set_downlink(b, LinkConfig { mtu: 90, ..lossy });
    for length in [73, 72, 63, 62].map(|length| "x".repeat(length)) {
        for _ in 0..250 {
            network.send(a, datagram(from, to, &length), start);
        }
    }
    // A foreign source, and an address of another family.
    network.send(a, datagram(to, from, ""), start);
    network.send(a, datagram(from, socket("[::1]:1"), ""), start);
    let arrived = run(&mut network, start).len();
    let drops = network.drops();
    let dropped = usize::try_from(drops.total()).unwrap();
    assert_eq!(arrived + dropped, 1002);
    // The largest quarter at the uplink, and half of the next two at the downlink.
    let too_large = drops.get(DropReason::TooLarge);
    assert!((450..550).contains(&too_large), "{too_large}");
    assert!((40..90).contains(&arrived), "{arrived}");
    assert_eq!(drops.get(DropReason::NoHost), 2);
}
