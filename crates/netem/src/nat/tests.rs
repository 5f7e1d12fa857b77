//! Every kind of NAT as a table.

use super::*;
use model::{Seed, SeedTree};
use std::collections::BTreeSet;

use Dependence::{
    AddressAndPortDependent as Port, AddressDependent as Address,
    EndpointIndependent as Independent,
};

fn nat(config: NatConfig) -> Nat {
    let seeds = SeedTree::new(Seed::from_bytes([6; 32]));
    Nat::new("203.0.113.1".parse().unwrap(), config, seeds.stream("nat"))
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn inside() -> SocketAddr {
    socket("192.168.0.2:5000")
}

/// A remote socket, another port of it, and another address.
fn remotes() -> [SocketAddr; 3] {
    ["198.51.100.1:1", "198.51.100.1:2", "198.51.100.2:1"].map(socket)
}

#[test]
fn mappings_are_shared_by_the_remote_ends_of_the_table() {
    // Whether another port, and another address, get the mapping of the first remote socket.
    for (mapping, shares) in [
        (Independent, [true, true]),
        (Address, [true, false]),
        (Port, [false, false]),
    ] {
        for filtering in [Independent, Address, Port] {
            let mut nat = nat(NatConfig {
                mapping,
                filtering,
                ..NatConfig::FULL_CONE
            });
            let now = Instant::now();
            let [first, other_port, other_address] =
                remotes().map(|remote| nat.outward(inside(), remote, now).unwrap());
            assert_eq!(first.ip(), nat.external());
            let seen = [other_port == first, other_address == first];
            assert_eq!(seen, shares, "{mapping:?} {filtering:?}");
            let again = nat.outward(inside(), remotes()[0], now);
            assert_eq!(again, Ok(first), "a mapping stays");
            let other_socket = nat.outward(socket("192.168.0.2:5001"), remotes()[0], now);
            assert_ne!(other_socket, Ok(first), "an internal socket is not shared");
        }
    }
}

#[test]
fn strangers_are_let_in_as_in_the_table() {
    // Who may send to a mapping that only the first remote socket was sent to from.
    for (filtering, let_in) in [
        (Independent, [true, true, true]),
        (Address, [true, true, false]),
        (Port, [true, false, false]),
    ] {
        for mapping in [Independent, Address, Port] {
            let mut nat = nat(NatConfig {
                mapping,
                filtering,
                ..NatConfig::FULL_CONE
            });
            let now = Instant::now();
            let external = nat.outward(inside(), remotes()[0], now).unwrap();
            for (remote, expected) in remotes().into_iter().zip(let_in) {
                let inward = nat.inward(remote, external.port(), now);
                let expected = if expected {
                    Ok(inside())
                } else {
                    Err(DropReason::Filtered)
                };
                assert_eq!(inward, expected, "{mapping:?} {filtering:?} {remote}");
            }
            let unmapped = nat.inward(remotes()[0], 9, now);
            assert_eq!(unmapped, Err(DropReason::NoMapping));
        }
    }
}

#[test]
fn permission_is_for_the_mapping_that_was_sent_from() {
    let mut nat = nat(NatConfig::SYMMETRIC);
    let now = Instant::now();
    let [first, second, _] = remotes();
    let one = nat.outward(inside(), first, now).unwrap();
    nat.outward(inside(), second, now).unwrap();
    let crossed = nat.inward(second, one.port(), now);
    assert_eq!(crossed, Err(DropReason::Filtered));
}

#[test]
fn well_known_kinds_are_what_they_are_called() {
    for (config, mapping, filtering) in [
        (NatConfig::FULL_CONE, Independent, Independent),
        (NatConfig::ADDRESS_RESTRICTED, Independent, Address),
        (NatConfig::PORT_RESTRICTED, Independent, Port),
        (NatConfig::SYMMETRIC, Port, Port),
    ] {
        assert_eq!((config.mapping, config.filtering), (mapping, filtering));
    }
}

#[test]
fn ports_are_assigned_as_asked_for() {
    let sources = [5000, 5001, 5002].map(|port| SocketAddr::from(([192, 168, 0, 2], port)));
    let same_port = socket("192.168.0.3:5000");
    let ports = |assignment| {
        let mut nat = nat(NatConfig {
            ports: assignment,
            ..NatConfig::FULL_CONE
        });
        let sources = sources.into_iter().chain([same_port]);
        let ports = sources.map(|source| {
            let external = nat.outward(source, remotes()[0], Instant::now());
            external.unwrap().port()
        });
        ports.collect::<Vec<_>>()
    };
    let preserved = ports(PortAssignment::Preserving);
    assert_eq!(preserved, [5000, 5001, 5002, 40_001], "the last is taken");
    let sequential = ports(PortAssignment::Sequential);
    assert_eq!(sequential, [40_001, 40_002, 40_003, 40_004]);
    let random = ports(PortAssignment::Random);
    let distinct: BTreeSet<_> = random.iter().collect();
    assert_eq!(distinct.len(), 4);
    assert!(random.iter().all(|&port| port >= LEAST_PORT));
    assert!(!random.is_sorted(), "{random:?}");
}

#[test]
fn a_nat_without_free_ports_refuses_and_keeps_what_it_has() {
    let mut nat = nat(NatConfig {
        ports: PortAssignment::Sequential,
        ..NatConfig::SYMMETRIC
    });
    let now = Instant::now();
    let remote = |n: u32| SocketAddr::from((std::net::Ipv4Addr::from(0xc633_0000 + n), 1));
    let first = nat.outward(inside(), remote(0), now);
    let all = u32::from(u16::MAX - FIRST_PORT) + 1;
    for n in 1..all {
        assert!(nat.outward(inside(), remote(n), now).is_ok(), "{n}");
    }
    let more = nat.outward(inside(), remote(all), now);
    assert_eq!(more, Err(DropReason::NoMapping));
    assert_eq!(nat.outward(inside(), remote(0), now), first);
}

#[test]
fn mappings_and_permissions_end_unless_datagrams_go_outward() {
    let lifetime = Duration::from_secs(120);
    let mut nat = nat(NatConfig {
        lifetime: Some(lifetime),
        ..NatConfig::PORT_RESTRICTED
    });
    let start = Instant::now();
    let [first, second, _] = remotes();
    let external = nat.outward(inside(), first, start).unwrap();
    nat.outward(inside(), second, start + lifetime / 2).unwrap();
    let port = external.port();

    let late = start + lifetime;
    let expired = nat.inward(first, port, late);
    assert_eq!(expired, Err(DropReason::Filtered), "its permission ended");
    assert_eq!(nat.inward(second, port, late), Ok(inside()));
    assert_eq!(nat.outward(inside(), second, late), Ok(external));

    let last = late + lifetime - Duration::from_millis(1);
    assert_eq!(nat.inward(second, port, last), Ok(inside()));
    let end = late + lifetime;
    let expired = nat.inward(second, port, end);
    assert_eq!(
        expired,
        Err(DropReason::NoMapping),
        "inward prolongs nothing"
    );
    let renewed = nat.outward(inside(), second, end).unwrap();
    assert_ne!(renewed, external, "a new mapping");
}

#[test]
fn a_nat_that_forgets_gives_out_other_ports() {
    let mut nat = nat(NatConfig::PORT_RESTRICTED);
    let now = Instant::now();
    let [remote, ..] = remotes();
    let before = nat.outward(inside(), remote, now).unwrap();
    nat.forget();
    let gone = nat.inward(remote, before.port(), now);
    assert_eq!(gone, Err(DropReason::NoMapping));
    assert_ne!(nat.outward(inside(), remote, now), Ok(before));
}
