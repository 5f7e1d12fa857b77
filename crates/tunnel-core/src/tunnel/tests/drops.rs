//! Every reason to drop something is met, and every packet is accounted for.

use super::*;
use dns_message::{compose_query, rtype};
use ip_packet::PacketFault;
use model::Reason as _;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A start, and what makes the tunnel drop something after it.
type Case = (DropReason, u64, fn() -> Fixture, fn(&mut Fixture));

fn drop_counts(fixture: &Fixture) -> BTreeMap<DropReason, u64> {
    fixture.tunnel.drops().iter().collect()
}

fn query(id: u16, name: &str, rtype: u16) -> Vec<u8> {
    compose_query(id, name, rtype).unwrap()
}

/// A packet with one byte changed.
fn damaged(at: usize, byte: u8) -> Vec<u8> {
    let mut packet = udp(PROGRAM, "10.20.0.1:80", b"x");
    packet[at] = byte;
    packet
}

/// A packet waits for the name `a.app.test` at a gateway that has not confirmed it.
fn waiting_for_a_name() -> Fixture {
    let mut fixture = Fixture::connected();
    fixture.confirms = false;
    let address = fixture.ask("a.app.test")[0];
    fixture.send(&format!("{address}:80"), b"waits");
    fixture.authorize(NAMES);
    assert_eq!(fixture.waiting(), 1);
    fixture
}

/// The portal's resolver is `10.20.0.53`, and one query to it is under way.
fn asking_through_the_tunnel() -> Fixture {
    let mut fixture = Fixture::connected();
    fixture.portal(PortalUpdate::Interface(Interface {
        ipv4: "100.64.0.7".parse().unwrap(),
        ipv6: "fd00:2021:1111::7".parse().unwrap(),
        upstream_dns: vec![socket("10.20.0.53:53")],
        search_domain: None,
    }));
    let (sentinel, _) = fixture.tunnel.upstreams().next().unwrap();
    fixture.send(&format!("{sentinel}:53"), &query(7, "other.test", rtype::A));
    assert_eq!(fixture.arrived.len(), 1);
    fixture
}

const PATHS: &[Case] = &[
    (DropReason::ForeignSource, 1, Fixture::greeted, |fixture| {
        fixture.tun(&udp("100.64.0.8:1", "10.20.0.1:80", b"x"));
    }),
    (DropReason::Multicast, 1, Fixture::greeted, |fixture| {
        fixture.send("224.0.0.251:5353", b"x");
    }),
    (DropReason::NoResource, 1, Fixture::greeted, |fixture| {
        fixture.send("192.0.2.1:80", b"x");
    }),
    (DropReason::NotReady, 1, Fixture::new, |fixture| {
        fixture.send("10.20.0.1:80", b"x");
    }),
    (DropReason::Oversize, 1, Fixture::greeted, |fixture| {
        fixture.tun(&[0x45; limits::MTU + 1]);
    }),
    (DropReason::ToSelf, 1, Fixture::greeted, |fixture| {
        fixture.send("[fd00:2021:1111::7]:80", b"x");
    }),
    (DropReason::UnknownPeer, 1, Fixture::greeted, |fixture| {
        fixture.send("100.64.0.99:80", b"x");
    }),
    (DropReason::UnknownProxy, 1, Fixture::greeted, |fixture| {
        fixture.send("100.96.0.1:80", b"x");
    }),
    (
        DropReason::Malformed(PacketFault::Fragment),
        1,
        Fixture::greeted,
        |fixture| {
            fixture.tun(&damaged(6, 0x20));
        },
    ),
    (
        DropReason::Malformed(PacketFault::Length),
        1,
        Fixture::greeted,
        |fixture| {
            fixture.tun(&damaged(3, 0xff));
        },
    ),
    (
        DropReason::Malformed(PacketFault::Malformed),
        1,
        Fixture::greeted,
        |fixture| {
            fixture.tun(&damaged(0, 0x41));
        },
    ),
    (
        DropReason::Malformed(PacketFault::Version),
        1,
        Fixture::greeted,
        |fixture| {
            fixture.tun(&damaged(0, 0x15));
        },
    ),
    (
        DropReason::MalformedControl,
        1,
        Fixture::connected,
        |fixture| {
            let received = fixture.receive_control(&Control::AssignedIps {
                resource: NAMES,
                domain: "a.app.test".parse().unwrap(),
                proxy_ips: (1..5).map(|n| IpAddr::from([100, 96, 0, n])).collect(),
            });
            let dropped = Received::Dropped(DropReason::MalformedControl);
            assert_eq!(received, [dropped]);
        },
    ),
    (
        DropReason::UnexpectedSource,
        1,
        Fixture::connected,
        |fixture| {
            fixture.receive(&udp("10.30.0.1:80", PROGRAM, b"x"));
        },
    ),
    (
        DropReason::Connectivity(connectivity::DropReason::Unrecognized),
        1,
        Fixture::connected,
        |fixture| {
            fixture.udp(b"nonsense");
        },
    ),
];

const WAITING: &[Case] = &[
    (DropReason::BufferFull, 3, Fixture::greeted, |fixture| {
        for n in 0..131 {
            fixture.send("10.20.0.1:80", &[n]);
        }
    }),
    (DropReason::BufferFull, 2, waiting_for_a_name, |fixture| {
        let address = fixture.ask("a.app.test")[0];
        for n in 0..33 {
            fixture.send(&format!("{address}:80"), &[n]);
        }
    }),
    (DropReason::Duplicate, 2, Fixture::greeted, |fixture| {
        for _ in 0..3 {
            fixture.send("10.20.0.1:80", b"x");
        }
    }),
    (DropReason::Duplicate, 1, waiting_for_a_name, |fixture| {
        let address = fixture.ask("a.app.test")[0];
        fixture.send(&format!("{address}:80"), b"waits");
    }),
    (
        DropReason::GatewayClosed,
        1,
        waiting_for_a_name,
        |fixture| {
            fixture.say_goodbye();
        },
    ),
    (DropReason::NameRefused, 1, waiting_for_a_name, |fixture| {
        fixture.confirm("a.app.test", DomainStatus::Inactive);
    }),
    (DropReason::NoRelay, 2, Fixture::greeted, |fixture| {
        fixture.send("10.20.0.1:80", b"1");
        fixture.send("10.20.0.1:80", b"2");
        fixture.portal(PortalUpdate::Relays {
            disconnected: vec![relay().id],
            connected: vec![],
        });
        fixture.portal(fixture.authorized(NETWORK));
        fixture.later(Duration::from_secs(8));
    }),
    (DropReason::Refused, 3, Fixture::greeted, |fixture| {
        fixture.send("10.20.0.1:80", b"1");
        fixture.send("10.20.0.1:80", b"2");
        fixture.portal(PortalUpdate::Refused {
            resource: NETWORK,
            reason: crate::Refusal::Denied,
        });
        fixture.send("10.20.0.1:80", b"3");
    }),
    (DropReason::Reset, 3, Fixture::greeted, |fixture| {
        fixture.send("10.20.0.1:80", b"waits for an authorization");
        fixture.send(SENTINEL, &query(1, "other.test", rtype::A));
        fixture.send(SENTINEL, &query(1, "a.app.test", rtype::TXT));
        fixture.reset();
    }),
    (DropReason::Reset, 1, waiting_for_a_name, |fixture| {
        fixture.reset();
    }),
    (DropReason::Revoked, 1, Fixture::greeted, |fixture| {
        fixture.send("10.20.0.1:80", b"x");
        fixture.portal(PortalUpdate::ResourceRemoved(NETWORK));
    }),
    (DropReason::Revoked, 1, waiting_for_a_name, |fixture| {
        fixture.switch_off(&[NAMES]);
    }),
    (
        DropReason::TooManyRequests,
        1,
        Fixture::greeted,
        |fixture| {
            fixture.send("10.20.0.1:80", b"x");
            for n in 0..4096_u16 {
                let (resource, to) = range(n);
                fixture.portal(PortalUpdate::Resource(resource));
                fixture.send(&to, b"x");
            }
        },
    ),
    (DropReason::Unanswered, 1, Fixture::greeted, |fixture| {
        fixture.send("10.20.0.1:80", b"x");
        fixture.later(Duration::from_secs(10));
    }),
    (DropReason::Unanswered, 1, waiting_for_a_name, |fixture| {
        fixture.later(Duration::from_secs(10));
    }),
];

const QUERIES: &[Case] = &[
    (DropReason::MalformedQuery, 1, Fixture::greeted, |fixture| {
        fixture.send(SENTINEL, b"x");
    }),
    (DropReason::NoAnswer, 1, Fixture::greeted, |fixture| {
        fixture.send(SENTINEL, &query(1, "a.app.test", rtype::TXT));
        fixture.pass(Duration::from_secs(11));
    }),
    (DropReason::NoAnswer, 1, Fixture::greeted, |fixture| {
        fixture.send(SENTINEL, &query(1, "other.test", rtype::A));
        let id = fixture.queries.pop().unwrap().id;
        let late = Err(DnsFailure::TimedOut);
        fixture.tunnel.handle_dns_answer(id, late, fixture.now);
    }),
    (DropReason::NotDns, 1, Fixture::greeted, |fixture| {
        fixture.send("100.100.111.1:80", b"x");
    }),
    (DropReason::RepeatedQuery, 2, Fixture::greeted, |fixture| {
        for _ in 0..3 {
            fixture.send(SENTINEL, &query(1, "other.test", rtype::A));
        }
    }),
    (DropReason::TooManyQueries, 1, Fixture::greeted, |fixture| {
        for id in 0..=1000 {
            fixture.send(SENTINEL, &query(id, "other.test", rtype::A));
        }
    }),
    (
        DropReason::UnexpectedAnswer,
        1,
        asking_through_the_tunnel,
        |fixture| {
            let asked = fixture.arrived.pop().unwrap();
            let asked = IpPacket::parse(&asked[..]).unwrap();
            let ip_packet::Transport::Udp { source, .. } = asked.transport() else {
                panic!("a query over UDP");
            };
            let to = format!("100.64.0.7:{source}");
            fixture.receive(&udp("10.20.0.53:53", &to, b"no answer"));
        },
    ),
    (DropReason::UnknownName, 1, Fixture::greeted, |fixture| {
        fixture.send("224.0.0.252:5355", &query(1, "printer", rtype::A));
    }),
    (
        DropReason::UnknownSentinel,
        1,
        Fixture::greeted,
        |fixture| {
            fixture.send("100.100.111.77:53", &query(1, "a.app.test", rtype::A));
        },
    ),
];

#[test]
fn every_reason_is_met_and_counted_once() {
    // Reached by `dns::tests::sites::without_addresses_of_our_own_nobody_is_asked`.
    let mut reached = BTreeSet::from([DropReason::UnsendableQuery]);
    for (reason, count, start, act) in PATHS.iter().chain(WAITING).chain(QUERIES) {
        let mut fixture = start();
        let mut expected = drop_counts(&fixture);
        act(&mut fixture);
        *expected.entry(*reason).or_default() += count;
        assert_eq!(drop_counts(&fixture), expected, "{reason}");
        reached.insert(*reason);
    }
    // Those of connectivity are reached in its own tests, `tests/pair/drops.rs`.
    let is_ours = |reason: &&DropReason| !matches!(reason, DropReason::Connectivity(_));
    let unreached: Vec<_> = DropReason::ALL
        .iter()
        .filter(is_ours)
        .filter(|reason| !reached.contains(reason))
        .collect();
    assert_eq!(unreached, [&DropReason::NotReady; 0]);
}

/// What may happen in a session.
#[derive(Debug, Clone, Copy)]
enum Step {
    SendToNetwork(u8),
    SendToName(u8),
    SendNowhere,
    AskForName,
    AskForText(u8),
    AskElsewhere(u8),
    Answer,
    StaySilent,
    Authorize(ResourceId),
    Refuse(ResourceId),
    Confirm(DomainStatus),
    Receive(u8),
    ReceiveNonsense,
    SayGoodbye,
    Remove(ResourceId),
    Restore,
    Reset,
    Wait,
}

fn steps() -> impl Strategy<Value = Step> {
    let resource = prop_oneof![Just(NETWORK), Just(NAMES)];
    let status = prop_oneof![Just(DomainStatus::Active), Just(DomainStatus::Inactive)];
    prop_oneof![
        4 => (0..9_u8).prop_map(Step::SendToNetwork),
        4 => (0..9_u8).prop_map(Step::SendToName),
        1 => Just(Step::SendNowhere),
        2 => Just(Step::AskForName),
        1 => (0..3_u8).prop_map(Step::AskForText),
        2 => (0..3_u8).prop_map(Step::AskElsewhere),
        1 => Just(Step::Answer),
        1 => Just(Step::StaySilent),
        4 => resource.clone().prop_map(Step::Authorize),
        1 => resource.clone().prop_map(Step::Refuse),
        2 => status.prop_map(Step::Confirm),
        1 => (0..9_u8).prop_map(Step::Receive),
        1 => Just(Step::ReceiveNonsense),
        1 => Just(Step::SayGoodbye),
        1 => resource.prop_map(Step::Remove),
        2 => Just(Step::Restore),
        1 => Just(Step::Reset),
        1 => Just(Step::Wait),
    ]
}

fn take(fixture: &mut Fixture, step: Step) {
    match step {
        Step::SendToNetwork(n) => {
            fixture.send("10.20.0.1:80", &[n]);
        }
        // The first name has these addresses.
        Step::SendToName(n) => {
            fixture.send("100.96.0.1:80", &[n]);
        }
        Step::SendNowhere => {
            fixture.send("192.0.2.1:80", b"x");
        }
        Step::AskForName => {
            fixture.send(SENTINEL, &query(1, "a.app.test", rtype::A));
        }
        Step::AskForText(id) => {
            fixture.send(SENTINEL, &query(id.into(), "a.app.test", rtype::TXT));
        }
        Step::AskElsewhere(id) => {
            fixture.send(SENTINEL, &query(id.into(), "other.test", rtype::A));
        }
        Step::Answer | Step::StaySilent => answer(fixture, step),
        Step::Authorize(resource) => fixture.authorize(resource),
        Step::Refuse(resource) => fixture.portal(PortalUpdate::Refused {
            resource,
            reason: crate::Refusal::Offline,
        }),
        Step::Confirm(status) if fixture.is_connected() => fixture.confirm("a.app.test", status),
        Step::Receive(n) if fixture.is_connected() => {
            let from = ["10.20.0.1:80", "10.30.0.1:80"][usize::from(n % 2)];
            fixture.receive(&udp(from, PROGRAM, &[n]));
        }
        Step::ReceiveNonsense => {
            fixture.udp(b"nonsense");
        }
        Step::SayGoodbye if fixture.is_connected() => fixture.say_goodbye(),
        Step::Confirm(_) | Step::Receive(_) | Step::SayGoodbye => {}
        Step::Remove(resource) => fixture.portal(PortalUpdate::ResourceRemoved(resource)),
        Step::Restore => {
            for resource in resources() {
                fixture.portal(PortalUpdate::Resource(resource));
            }
        }
        Step::Reset => fixture.reset(),
        Step::Wait => fixture.pass(Duration::from_secs(11)),
    }
}

/// A server outside the tunnel answers, or its silence is noticed.
fn answer(fixture: &mut Fixture, step: Step) {
    let Some(asked) = fixture.queries.pop() else {
        return;
    };
    let mut message = vec![];
    let query = dns_message::Query::parse(&asked.message).unwrap();
    let protocol = dns_message::Protocol::Dns;
    dns_message::MessageBuilder::new(&mut message, &query, protocol, 0).finish(&query);
    let answer = match step {
        Step::Answer => Ok(&message[..]),
        _ => Err(DnsFailure::TimedOut),
    };
    fixture
        .tunnel
        .handle_dns_answer(asked.id, answer, fixture.now);
    fixture.drain();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_packet_comes_out_waits_or_is_counted(steps in proptest::collection::vec(steps(), 1..40)) {
        let mut fixture = Fixture::connected();
        fixture.confirms = false;
        for (number, step) in steps.into_iter().enumerate() {
            take(&mut fixture, step);
            fixture.pass(Duration::from_millis(20));
            let waiting = u64::try_from(fixture.waiting()).unwrap();
            let dropped = fixture.tunnel.drops();
            let found = fixture.outputs + waiting + dropped.total();
            prop_assert_eq!(fixture.inputs, found, "step {}: {:?}, {:?}", number, step, dropped);
        }
    }
}
