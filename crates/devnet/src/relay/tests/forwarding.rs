//! Data on channels, and how long they last. spec: data-plane 5.5

use super::*;

const PEERS: [&str; 2] = ["203.0.113.9:9", "[2001:db8::9]:9"];

fn to_peer<'a>(port: u16, peer: &str, payload: &'a [u8]) -> Forward<'a> {
    Forward::ToPeer {
        port,
        peer: address(peer),
        payload,
    }
}

#[test]
fn channel_data_is_the_payload_for_the_bound_peer() {
    let (mut bench, port) = Bench::allocated();
    bench.bind(0x4000, PEERS[0]);
    bench.bind(0x4fff, PEERS[1]);
    let other = address("198.51.100.7:52626");
    for (from, datagram, expected) in [
        (
            client(),
            "40000004deadbeef",
            to_peer(port, PEERS[0], b"\xde\xad\xbe\xef"),
        ),
        (
            client(),
            "4fff0004deadbeef",
            to_peer(port, PEERS[1], b"\xde\xad\xbe\xef"),
        ),
        // Padding, and anything else behind the payload.
        (
            client(),
            "40000001de000000",
            to_peer(port, PEERS[0], b"\xde"),
        ),
        (client(), "40000000", to_peer(port, PEERS[0], b"")),
        // Shorter than it says, or than its header.
        (client(), "40000004deadbe", Forward::Drop),
        (client(), "4000", Forward::Drop),
        (client(), "40", Forward::Drop),
        // A channel that nobody bound, and another one's channel.
        (client(), "40010004deadbeef", Forward::Drop),
        (other, "40000004deadbeef", Forward::Drop),
    ] {
        assert_eq!(bench.handle(from, &hex(datagram)), expected, "{datagram}");
    }
}

#[test]
fn only_exactly_the_bound_peer_reaches_the_client() {
    let (mut bench, port) = Bench::allocated();
    bench.bind(0x4000, PEERS[0]);
    bench.bind(0x4001, PEERS[1]);
    for (at, from, expected) in [
        (port, PEERS[0], Some((client(), 0x4000))),
        (port, PEERS[1], Some((client(), 0x4001))),
        (port, "203.0.113.9:10", None),
        (port, "203.0.113.10:9", None),
        (port, "[2001:db8::9]:10", None),
        (port ^ 1, PEERS[0], None),
    ] {
        assert_eq!(bench.peer(at, from), expected, "{at} {from}");
    }
}

#[test]
fn channels_forward_for_ten_minutes_and_stay_reserved_for_five_more() {
    for (age, forwards, other_number, other_peer) in [
        (0, true, 400, 400),
        (599, true, 400, 400),
        (600, false, 400, 400),
        (899, false, 400, 400),
        (900, false, 0, 0),
    ] {
        for (number, peer, expected) in [
            (0x4001, PEERS[0], other_number),
            (0x4000, "203.0.113.9:10", other_peer),
        ] {
            let mut bench = Bench::new();
            let attributes = [both_families(), vec![lifetime(3600)]].concat();
            let port = bench.ask(client(), ALLOCATE, attributes).relayed()[0].port();
            bench.bind(0x4000, PEERS[0]);
            bench.after(age);
            let there = bench.handle(client(), &hex("40000001de")) != Forward::Drop;
            assert_eq!(there, forwards, "{age}");
            assert_eq!(bench.peer(port, PEERS[0]).is_some(), forwards, "{age}");
            assert_eq!(
                bench.bind(number, peer),
                expected,
                "{age} {number:#x} {peer}"
            );
        }
    }
}

#[test]
fn binding_again_prolongs_a_channel_and_revives_a_reserved_one() {
    let mut bench = Bench::new();
    let attributes = [both_families(), vec![lifetime(3600)]].concat();
    let port = bench.ask(client(), ALLOCATE, attributes).relayed()[0].port();
    for age in [0, 599, 899] {
        bench.after(age);
        assert_eq!(bench.bind(0x4000, PEERS[0]), 0, "{age}");
        assert!(bench.peer(port, PEERS[0]).is_some(), "{age}");
    }
}

#[test]
fn the_end_of_an_allocation_is_the_end_of_its_channels() {
    let (mut bench, port) = Bench::allocated();
    bench.bind(0x4000, PEERS[0]);
    bench.after(600);
    assert_eq!(bench.peer(port, PEERS[0]), None);
    assert_eq!(bench.handle(client(), &hex("40000001de")), Forward::Drop);
    bench.ask(client(), ALLOCATE, both_families());
    assert_eq!(bench.handle(client(), &hex("40000001de")), Forward::Drop);
    assert_eq!(bench.bind(0x4001, PEERS[0]), 0);
}

#[test]
fn two_allocations_of_one_relay_reach_each_other() {
    let (mut bench, port) = Bench::allocated();
    let other = address("198.51.100.8:52625");
    let other_port = bench.ask(other, ALLOCATE, both_families()).relayed()[0].port();
    let (here, there) = (format!("{V4}:{port}"), format!("{V4}:{other_port}"));
    bench.bind(0x4000, &there);
    assert_eq!(
        bench
            .ask(other, CHANNEL_BIND, channel(0x4007, &here))
            .code(),
        0
    );
    assert_eq!(
        bench.handle(client(), &hex("40000001de")),
        to_peer(port, &there, b"\xde")
    );
    assert_eq!(bench.peer(other_port, &here), Some((other, 0x4007)));
}
