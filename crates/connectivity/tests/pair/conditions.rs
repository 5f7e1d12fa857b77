//! What NATs and links of all kinds do to a connection.

use crate::{
    lab::{Lab, Side, ipv4_packet},
    relay::TestRelay,
};
use connectivity::{Event, PathKind};
use netem::{Bound, Dependence, DropReason, LinkConfig, Loss, NatConfig, Reorder, Share};
use std::{collections::BTreeSet, time::Duration};

/// A NAT whose mappings and filters look at the remote address, but not at its port.
const ADDRESS_DEPENDENT: NatConfig = NatConfig {
    mapping: Dependence::AddressDependent,
    ..NatConfig::ADDRESS_RESTRICTED
};

/// The kinds of NAT, in the order of rows and columns below.
const KINDS: [(&str, Option<NatConfig>); 6] = [
    ("none", None),
    ("full cone", Some(NatConfig::FULL_CONE)),
    ("address-restricted", Some(NatConfig::ADDRESS_RESTRICTED)),
    ("port-restricted", Some(NatConfig::PORT_RESTRICTED)),
    ("address-dependent", Some(ADDRESS_DEPENDENT)),
    ("symmetric", Some(NatConfig::SYMMETRIC)),
];

/// Client by row, gateway by column: whether packets take a direct path (d) or a relay's (r).
///
/// A check from a mapping that the other end cannot know (the last two kinds) gets in only where the
/// port does not count, and an end with such a mapping cannot be reached at the address it signals.
const EXPECTED: [&str; 6] = ["dddddd", "dddddd", "dddddd", "ddddrr", "dddrrr", "dddrrr"];

#[test]
fn nats_of_every_kind_meet_directly_or_through_a_relay_as_in_the_table() {
    for (row, (client, client_nat)) in KINDS.into_iter().enumerate() {
        for (column, (gateway, gateway_nat)) in KINDS.into_iter().enumerate() {
            let relays = vec![TestRelay::new(1), TestRelay::new(2)];
            let mut lab = Lab::behind([client_nat, gateway_nat], relays);
            lab.connect();
            lab.run_for(Duration::from_secs(3));
            let path = lab.path(Side::Client);
            let is_direct = path == Some(PathKind::PeerToPeer);
            let expected = EXPECTED[row].as_bytes()[column] == b'd';
            assert_eq!(is_direct, expected, "{client} to {gateway}: {path:?}");
            let other = lab.path(Side::Gateway) == Some(PathKind::PeerToPeer);
            assert_eq!(other, expected, "both ends agree");
            lab.ping();
        }
    }
}

/// What became of numbered packets.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// How many different ones arrived, of a hundred.
    percent: usize,
    /// Nothing arrived twice.
    once: bool,
    /// Nothing arrived before what was sent earlier.
    in_order: bool,
}

/// Sends numbered packets from the client, this far apart.
fn stream(lab: &mut Lab, count: u16, interval: Duration) -> Outcome {
    let before = lab.node(Side::Gateway).inbox.len();
    for n in 0..count {
        lab.send(Side::Client, &ipv4_packet(&n.to_be_bytes()));
        lab.run_for(interval);
    }
    lab.run_for(Duration::from_secs(1));
    let inbox = &lab.node(Side::Gateway).inbox[before..];
    let numbers = inbox.iter().map(|packet| [packet[20], packet[21]]);
    let numbers: Vec<u16> = numbers.map(u16::from_be_bytes).collect();
    let distinct: BTreeSet<_> = numbers.iter().collect();
    Outcome {
        percent: 100 * distinct.len() / usize::from(count),
        once: distinct.len() == numbers.len(),
        in_order: numbers.is_sorted(),
    }
}

const HOP: LinkConfig = LinkConfig::delay(Duration::from_millis(5));

/// Links that a connection has to come about over and to live with: what they are, whether they keep
/// the order, and the least and most packets of a hundred that arrive over one hop.
fn links() -> [(&'static str, LinkConfig, bool, [usize; 2]); 7] {
    let bursts = Loss::Bursts {
        enter: Share::percent(2),
        leave: Share::percent(25),
        in_good: Share::NONE,
        in_bad: Share::ALL,
    };
    let reorder = Reorder {
        share: Share::percent(20),
        by: Duration::from_millis(25),
    };
    let with_loss = |loss| LinkConfig { loss, ..HOP };
    [
        ("ideal", HOP, true, [100, 100]),
        (
            "uniform loss",
            with_loss(Loss::Uniform(Share::percent(5))),
            true,
            [90, 98],
        ),
        ("bursts of loss", with_loss(bursts), true, [85, 98]),
        (
            "jitter",
            LinkConfig {
                jitter: Duration::from_millis(30),
                ..HOP
            },
            true,
            [100, 100],
        ),
        (
            "reordering",
            LinkConfig { reorder, ..HOP },
            false,
            [100, 100],
        ),
        (
            "duplication",
            LinkConfig {
                duplicate: Share::percent(30),
                ..HOP
            },
            true,
            [100, 100],
        ),
        (
            "the least MTU that is enough",
            LinkConfig {
                // The largest UDP payload behind headers of IPv4 and UDP.
                mtu: 1316 + 28,
                ..HOP
            },
            true,
            [100, 100],
        ),
    ]
}

#[test]
fn connections_come_about_and_live_over_links_of_every_kind() {
    for (name, link, keeps_order, [least, most]) in links() {
        for (path, mut lab) in [("direct", Lab::direct()), ("relayed", Lab::relayed())] {
            lab.set_hops(link);
            lab.start_relays();
            lab.run_for(Duration::from_secs(3));
            lab.authorize();
            lab.run_until(Duration::from_secs(12), Lab::is_established);
            assert!(lab.is_established(), "{name}, {path}");
            let outcome = stream(&mut lab, 1000, Duration::from_millis(10));
            assert!(outcome.once, "{name}, {path}");
            assert_eq!(outcome.in_order, keeps_order, "{name}, {path}");
            let hops = if path == "direct" { 1 } else { 3 };
            let least = (0..hops).fold(100, |share, _| share * least / 100);
            let arrived = least..=most;
            assert!(
                arrived.contains(&outcome.percent),
                "{name}, {path}: {outcome:?}"
            );
            for side in Side::BOTH {
                let events = &lab.node(side).events;
                let is_closed = events.iter().any(|e| matches!(e, Event::Closed { .. }));
                assert!(!is_closed, "{name}, {path}");
            }
        }
    }
}

#[test]
fn a_small_queue_costs_packets_and_not_the_connection() {
    for mut lab in [Lab::direct(), Lab::relayed()] {
        lab.connect();
        lab.run_for(Duration::from_secs(2));
        // A packet of 1000 bytes and its headers take about 8.5 ms.
        lab.set_hops(LinkConfig {
            rate: Some(1_000_000),
            queue: Bound::Packets(10),
            ..HOP
        });
        let packet = ipv4_packet(&[7; 980]);
        for _ in 0..10 {
            let before = lab.node(Side::Gateway).inbox.len();
            for _ in 0..50 {
                lab.send(Side::Client, &packet);
            }
            lab.run_for(Duration::from_secs(1));
            let arrived = lab.node(Side::Gateway).inbox.len() - before;
            assert!((9..=11).contains(&arrived), "{arrived}");
        }
        let dropped = lab.network.drops().get(DropReason::QueueFull);
        assert!((390..=410).contains(&dropped), "{dropped}");
        lab.ping();
    }
}

#[test]
fn mappings_that_end_early_are_kept_alive_by_checks_while_packets_flow() {
    let nat = NatConfig {
        lifetime: Some(Duration::from_secs(30)),
        ..NatConfig::PORT_RESTRICTED
    };
    let relays = vec![TestRelay::new(1), TestRelay::new(2)];
    let mut lab = Lab::new(Some(nat), relays);
    lab.connect();
    for _ in 0..10 {
        lab.run_for(Duration::from_secs(60));
        lab.ping();
        assert_eq!(lab.path(Side::Client), Some(PathKind::PeerToPeer));
    }
}
