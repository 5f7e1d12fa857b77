//! Whole sessions of a client, from the first packet on, in virtual time.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use ip_packet::{IpPacket, Transport, emit_udp};
use netem::{LinkConfig, Loss, NatConfig, Share};
use netsim::{World, WorldConfig};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tunnel_core::{
    DnsFailure, DnsTransport, DropReason, Event, PortalRequest, PortalUpdate, Refusal, SiteState,
    Verdict,
};

fn udp(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; model::limits::MTU];
    let length = emit_udp(
        &mut bytes,
        from.parse().unwrap(),
        to.parse().unwrap(),
        payload,
    );
    bytes.truncate(length.unwrap());
    bytes
}

fn ready(nat: Option<NatConfig>) -> World {
    ready_with(WorldConfig::behind(nat))
}

fn ready_with(config: WorldConfig) -> World {
    let mut world = World::new(config);
    world.run_until_ready();
    world
}

const HELLO: &str = "100.64.0.7:4000";
/// A NAT that lets a direct path come about.
const CONE: Option<NatConfig> = Some(NatConfig::PORT_RESTRICTED);
/// A NAT that, on both sides, leaves only relays.
const SYMMETRIC: Option<NatConfig> = Some(NatConfig::SYMMETRIC);

/// Sends to the address resource and waits until it arrives.
fn reach_cidr(world: &mut World, payload: &[u8]) -> bool {
    let packet = udp(HELLO, "10.20.0.1:80", payload);
    world.send(&packet);
    world.run_until(Duration::from_secs(2), |world| {
        world.arrived.last() == Some(&packet)
    })
}

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.metadata.recursion_desired = true;
    message.to_vec().unwrap()
}

/// Asks the stub resolver and returns its answer, which comes at once.
fn ask(world: &mut World, name: &str, kind: RecordType) -> Message {
    let before = world.delivered.len();
    let packet = udp(HELLO, "100.100.111.1:53", &query(name, kind));
    assert_eq!(world.send(&packet), Verdict::Consumed);
    let answer = &world.delivered[before];
    let packet = IpPacket::parse(&answer[..]).unwrap();
    assert_eq!(
        packet.transport(),
        Transport::Udp {
            source: 53,
            destination: 4000
        }
    );
    Message::from_vec(packet.udp_payload()).unwrap()
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    let address = |data: &RData| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(a) => Some(IpAddr::V6(a.0)),
        _ => None,
    };
    message
        .answers
        .iter()
        .filter_map(|record| address(&record.data))
        .collect()
}

#[test]
fn first_packet_asks_connects_and_arrives() {
    for nat in [None, CONE] {
        let mut world = ready(nat);
        assert!(world.requests.is_empty());
        assert!(reach_cidr(&mut world, b"first"), "{nat:?}");
        let asked: Vec<_> = world
            .requests
            .iter()
            .filter(|request| matches!(request, PortalRequest::CreateFlow { .. }))
            .collect();
        assert_eq!(asked.len(), 1, "{nat:?}");
        let mut back = udp("10.20.0.1:80", HELLO, b"welcome");
        let expected = back.clone();
        world.send_back(&mut back);
        assert!(
            world.run_until(Duration::from_secs(1), |w| w.delivered.last()
                == Some(&expected))
        );
    }
}

#[test]
fn symmetric_translation_on_both_sides_leads_through_the_relay() {
    let mut world = ready(SYMMETRIC);
    assert!(reach_cidr(&mut world, b"first"));
    let before = world.path;
    assert!(reach_cidr(&mut world, b"second"));
    assert!(world.path.relayed > before.relayed);
}

#[test]
fn a_bare_round_trip_decides_the_time_to_the_first_packet() {
    for (nat, trips) in [(CONE, 8), (SYMMETRIC, 16)] {
        let mut world = ready(nat);
        let start = world.now;
        assert!(reach_cidr(&mut world, b"first"));
        let trip = 2 * WorldConfig::DELAY;
        let took = world.now - start;
        assert!(took <= trips * trip, "{nat:?}: {took:?}");
    }
}

#[test]
fn losses_delay_and_do_not_prevent() {
    for seed in 0..10 {
        let config = WorldConfig {
            uplink: LinkConfig {
                loss: Loss::Uniform(Share::per_thousand(150)),
                ..LinkConfig::delay(WorldConfig::DELAY)
            },
            seed: [seed; 32],
            ..WorldConfig::default()
        };
        let mut world = ready_with(config);
        let arrives = (0..20).any(|n| reach_cidr(&mut world, &[n]));
        assert!(arrives, "seed {seed}");
    }
}

#[test]
fn packets_without_a_way_are_dropped_with_their_reason() {
    let mut world = ready(None);
    for (from, to, reason) in [
        (HELLO, "192.0.2.1:80", DropReason::NoResource),
        ("100.64.0.8:1", "10.20.0.1:80", DropReason::ForeignSource),
        (HELLO, "100.64.0.7:80", DropReason::ToSelf),
        (HELLO, "100.64.0.99:80", DropReason::UnknownPeer),
        (HELLO, "224.0.0.251:5353", DropReason::Multicast),
        (HELLO, "100.96.0.1:80", DropReason::UnknownProxy),
        (HELLO, "100.100.111.77:53", DropReason::UnknownSentinel),
        (HELLO, "100.100.111.1:80", DropReason::NotDns),
        (HELLO, "100.100.111.1:53", DropReason::MalformedQuery),
    ] {
        assert_eq!(
            world.send(&udp(from, to, b"x")),
            Verdict::Dropped(reason),
            "{from} {to}"
        );
        assert_eq!(world.tunnel.drops().get(reason), 1);
    }
    let oversize = vec![0x45; 1281];
    assert_eq!(
        world.send(&oversize),
        Verdict::Dropped(DropReason::Oversize)
    );
    assert!(matches!(
        world.send(&[1, 2, 3]),
        Verdict::Dropped(DropReason::Malformed(_))
    ));
}

#[test]
fn nothing_passes_before_the_portal_told_our_addresses() {
    let mut world = World::new(WorldConfig::default());
    let packet = udp(HELLO, "10.20.0.1:80", b"x");
    assert_eq!(world.send(&packet), Verdict::Dropped(DropReason::NotReady));
}

#[test]
fn an_unanswered_request_is_repeated_by_traffic_every_two_seconds() {
    let mut world = ready(None);
    world.portal_answers = false;
    let packet = udp(HELLO, "10.20.0.1:80", b"x");
    for _ in 0..50 {
        world.send(&packet);
        world.run_for(Duration::from_millis(100));
    }
    assert_eq!(world.requests.len(), 3);
    let refused = PortalUpdate::Refused {
        resource: World::CIDR,
        reason: Refusal::Offline,
    };
    world.tunnel.handle_portal(refused, world.now);
    let status = world
        .tunnel
        .resources()
        .into_iter()
        .find(|s| s.resource.id() == World::CIDR);
    assert_eq!(status.unwrap().state, SiteState::Offline);
}

#[test]
fn names_lead_to_proxy_addresses_and_through_them_to_the_resource() {
    let mut world = ready(CONE);
    let real: IpAddr = "10.9.9.9".parse().unwrap();
    world
        .names
        .insert("web.app.test".parse().unwrap(), vec![real]);
    let answer = ask(&mut world, "web.app.test.", RecordType::A);
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    let proxies = addresses(&answer);
    assert_eq!(proxies.len(), 4);
    assert!(proxies.iter().all(|a| model::ranges::is_proxy(*a)));
    assert!(answer.answers.iter().all(|record| record.ttl == 1));
    assert!(world.requests.is_empty(), "a query alone asks nobody");

    world.send(&udp(HELLO, &format!("{}:80", proxies[2]), b"get"));
    let arrives = |world: &World| !world.arrived.is_empty();
    assert!(world.run_until(Duration::from_secs(2), arrives));
    let arrived = IpPacket::parse(&world.arrived[0][..]).unwrap();
    assert_eq!(arrived.destination(), real);
    assert_eq!(arrived.udp_payload(), b"get");

    world.send_back(&mut udp("10.9.9.9:80", HELLO, b"got"));
    let back = |world: &World| world.delivered.len() == 2;
    assert!(world.run_until(Duration::from_secs(1), back));
    let delivered = IpPacket::parse(&world.delivered[1][..]).unwrap();
    assert_eq!(delivered.source(), proxies[2]);
}

#[test]
fn a_name_that_does_not_resolve_in_the_site_is_unreachable() {
    let mut world = ready(None);
    let proxies = addresses(&ask(&mut world, "no.app.test.", RecordType::A));
    let packet = udp(HELLO, &format!("{}:80", proxies[0]), b"get");
    world.send(&packet);
    world.run_for(Duration::from_secs(1));
    assert!(world.arrived.is_empty());
    // The gateway refused: later packets reach it, and it says so.
    world.send(&packet);
    world.run_for(Duration::from_secs(1));
    let error = IpPacket::parse(world.delivered.last().unwrap().as_slice()).unwrap();
    assert_eq!(error.transport(), Transport::IcmpError { kind: 3, code: 0 });
}

#[test]
fn the_stub_answers_by_the_table() {
    let mut world = ready(None);
    let aaaa = ask(&mut world, "A.App.Test.", RecordType::AAAA);
    assert_eq!(addresses(&aaaa).len(), 4);
    assert_eq!(
        addresses(&ask(&mut world, "app.test.", RecordType::A)).len(),
        4,
        "bare parent"
    );
    let https = ask(&mut world, "a.app.test.", RecordType::HTTPS);
    assert_eq!(
        (https.metadata.response_code, https.answers.len()),
        (ResponseCode::NoError, 0)
    );
    let canary = ask(&mut world, "use-application-dns.net.", RecordType::A);
    assert_eq!(canary.metadata.response_code, ResponseCode::NXDomain);
    let reverse = ask(&mut world, "1.0.96.100.in-addr.arpa.", RecordType::PTR);
    assert_eq!(reverse.answers.len(), 1);
    assert!(
        matches!(&reverse.answers[0].data, RData::PTR(name) if name.0.to_ascii() == "a.app.test.")
    );
    assert!(world.queries.is_empty());

    for (name, kind) in [
        ("a.b.app.test.", RecordType::A),
        ("other.test.", RecordType::A),
        ("a.app.test.", RecordType::MX),
        ("9.0.96.100.in-addr.arpa.", RecordType::PTR),
    ] {
        let asked = world.queries.len();
        world.send(&udp(HELLO, "100.100.111.1:53", &query(name, kind)));
        assert_eq!(world.queries.len(), asked + 1, "{name} {kind}");
        assert_eq!(world.queries[asked].server.to_string(), "192.0.2.53:53");
        assert_eq!(world.queries[asked].transport, DnsTransport::Udp);
    }
}

#[test]
fn forwarded_answers_come_back_checked_and_cut_to_size() {
    let mut world = ready(None);
    let question = query("other.test.", RecordType::TXT);
    // Makes of the query that the server gets what it answers.
    type Make = fn(Vec<u8>) -> Result<Vec<u8>, DnsFailure>;
    let reply_of = |world: &mut World, make: Make| {
        world.send(&udp(HELLO, "100.100.111.1:53", &question));
        let asked = world.queries.last().unwrap();
        let good = Message::from_vec(&asked.message).unwrap().into_response();
        let answer = make(good.to_vec().unwrap());
        let answer = answer.as_deref().map_err(|failure| *failure);
        let before = world.delivered.len();
        world.tunnel.handle_dns_answer(asked.id, answer, world.now);
        world.run_for(Duration::from_millis(1));
        let reply = world.delivered.get(before)?;
        let packet = IpPacket::parse(&reply[..]).unwrap();
        Some(packet.udp_payload().to_vec())
    };
    let good = reply_of(&mut world, Ok).unwrap();
    let good = Message::from_vec(&good).unwrap();
    assert_eq!(good.metadata.response_code, ResponseCode::NoError);
    assert_eq!(good.metadata.id, 77);
    assert_eq!(reply_of(&mut world, |_| Err(DnsFailure::TimedOut)), None);
    let failures: [Make; 4] = [
        |mut answer| {
            answer[1] ^= 1;
            Ok(answer)
        },
        |mut answer| {
            answer[13] ^= 1;
            Ok(answer)
        },
        |_| Ok(vec![]),
        |_| Err(DnsFailure::Failed),
    ];
    for make in failures {
        let reply = Message::from_vec(&reply_of(&mut world, make).unwrap()).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
        assert_eq!((reply.metadata.id, reply.queries.len()), (77, 1));
    }
    let big = |mut answer: Vec<u8>| {
        answer.resize(2000, 0);
        Ok(answer)
    };
    let cut = Message::from_vec(&reply_of(&mut world, big).unwrap()).unwrap();
    assert!(cut.metadata.truncation && cut.answers.is_empty());
}

#[test]
fn a_removed_resource_is_out_of_reach_and_a_new_one_at_once_in_reach() {
    let mut world = ready(None);
    assert!(reach_cidr(&mut world, b"before"));
    world
        .tunnel
        .handle_portal(PortalUpdate::ResourceRemoved(World::CIDR), world.now);
    let packet = udp(HELLO, "10.20.0.1:80", b"x");
    assert_eq!(
        world.send(&packet),
        Verdict::Dropped(DropReason::NoResource)
    );
    let plan = world.plan.clone().unwrap();
    assert!(!plan.routes.contains(&"10.20.0.0/16".parse().unwrap()));
    // What the gateway still sends from there is not accepted any more.
    let dropped = world.tunnel.drops().get(DropReason::UnexpectedSource);
    world.send_back(&mut udp("10.20.0.1:80", HELLO, b"late"));
    world.run_for(Duration::from_millis(100));
    assert_eq!(
        world.tunnel.drops().get(DropReason::UnexpectedSource),
        dropped + 1
    );

    world.greet_client();
    assert!(reach_cidr(&mut world, b"after"));
}

#[test]
fn a_reset_starts_over_with_a_new_key_and_keeps_names() {
    let mut world = ready(CONE);
    let before = addresses(&ask(&mut world, "web.app.test.", RecordType::A));
    assert!(reach_cidr(&mut world, b"before"));
    let key = world.tunnel.public_key();
    world.reset();
    assert_ne!(world.tunnel.public_key(), key);
    world.greet_client();
    world.run_for(Duration::from_secs(1));
    assert!(reach_cidr(&mut world, b"after"));
    assert_eq!(
        addresses(&ask(&mut world, "web.app.test.", RecordType::A)),
        before
    );
}

#[test]
fn the_interface_follows_portal_and_system() {
    let mut world = ready(None);
    let plan = world.plan.clone().unwrap();
    assert_eq!((plan.ipv4, plan.ipv6), (World::CLIENT_V4, World::CLIENT_V6));
    assert_eq!(
        plan.dns_servers,
        ["100.100.111.1".parse::<IpAddr>().unwrap()]
    );
    assert_eq!(plan.routes.len(), 7);
    world
        .tunnel
        .set_system_resolvers(vec![SocketAddr::from(([192, 0, 2, 99], 53)).into()]);
    world.run_for(Duration::from_millis(1));
    let changed = world.plan.clone().unwrap();
    assert_eq!(
        changed.dns_servers,
        ["100.100.111.2".parse::<IpAddr>().unwrap()]
    );
    assert_eq!(changed.routes, plan.routes);
}

#[test]
fn internet_resources_are_used_only_when_switched_on() {
    let mut world = ready(None);
    let id = model::ResourceId::from_bytes([0x33; 16]);
    world.add_resource(model::Resource::Internet(model::InternetResource {
        id,
        name: "Internet".into(),
        sites: vec![],
    }));
    let packet = udp(HELLO, "198.51.100.1:80", b"x");
    assert_eq!(
        world.send(&packet),
        Verdict::Dropped(DropReason::NoResource)
    );
    world.tunnel.set_internet_resource(true, world.now);
    world.send(&packet);
    assert!(world.run_until(Duration::from_secs(2), |w| w.arrived.last()
        == Some(&packet)));
    assert_eq!(world.plan.clone().unwrap().routes.len(), 9);
    world.tunnel.set_internet_resource(false, world.now);
    assert_eq!(
        world.send(&packet),
        Verdict::Dropped(DropReason::NoResource)
    );
}

#[test]
fn resources_that_are_switched_off_are_left_alone() {
    let mut world = ready(None);
    assert!(reach_cidr(&mut world, b"before"));
    let route = "10.20.0.0/16".parse().unwrap();
    assert!(world.plan.clone().unwrap().routes.contains(&route));
    let off = BTreeSet::from([World::CIDR]);
    world.tunnel.set_disabled_resources(off, world.now);
    world.run_for(Duration::from_millis(1));
    assert!(!world.plan.clone().unwrap().routes.contains(&route));
    let packet = udp(HELLO, "10.20.0.1:80", b"while off");
    let verdict = world.send(&packet);
    assert_eq!(verdict, Verdict::Dropped(DropReason::NoResource));
    // Nor may its gateway send from there.
    let delivered = world.delivered.len();
    world.send_back(&mut udp("10.20.0.1:80", HELLO, b"late"));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.delivered.len(), delivered);
    assert!(
        world
            .tunnel
            .resources()
            .iter()
            .any(|it| it.resource.id() == World::CIDR)
    );

    world
        .tunnel
        .set_disabled_resources(BTreeSet::new(), world.now);
    assert!(reach_cidr(&mut world, b"after"));
}

#[test]
fn gateways_of_other_versions_are_told() {
    let mut world = ready(None);
    let refused = PortalUpdate::Refused {
        resource: World::CIDR,
        reason: Refusal::Incompatible,
    };
    let told = |world: &World| {
        let told = Event::NoCompatibleGateway(World::CIDR);
        world.events.iter().filter(|event| **event == told).count()
    };
    for _ in 0..3 {
        world.tunnel.handle_portal(refused.clone(), world.now);
        world.run_for(Duration::from_millis(1));
        assert_eq!(told(&world), 1, "traffic asks again and again");
    }
    assert!(reach_cidr(&mut world, b"updated"));
    world.tunnel.handle_portal(refused, world.now);
    world.run_for(Duration::from_millis(1));
    assert_eq!(told(&world), 2);
}

#[test]
fn events_tell_of_the_gateway() {
    let mut world = ready(None);
    assert!(reach_cidr(&mut world, b"x"));
    assert!(
        world
            .events
            .iter()
            .any(|event| matches!(event, Event::GatewayConnected(_)))
    );
    let (gateway, status) = world.tunnel.connections().next().unwrap();
    assert_eq!(status.peer, gateway.into());
}

#[cfg(feature = "__virtual-time")]
mod virtual_time {
    use super::*;

    #[test]
    fn a_blocked_direct_path_gives_way_to_the_relay() {
        let mut world = ready(CONE);
        assert!(reach_cidr(&mut world, b"before"));
        world.block_direct();
        let mut recovered = None;
        for second in 0..60 {
            world.run_for(Duration::from_secs(1));
            if reach_cidr(&mut world, &[second]) {
                recovered = Some(second);
                break;
            }
        }
        assert!(recovered.is_some_and(|second| second < 30), "{recovered:?}");
    }

    #[test]
    fn sessions_live_on_over_days_of_traffic_and_of_silence() {
        let mut world = ready(CONE);
        for minute in 0..30_u8 {
            assert!(reach_cidr(&mut world, &[minute]), "minute {minute}");
            world.run_for(Duration::from_secs(60));
        }
        world.run_for(Duration::from_secs(3600));
        let again = (0..5).any(|n| reach_cidr(&mut world, &[200 + n]));
        assert!(again, "after an hour of silence");
    }

    #[test]
    fn forgotten_translations_are_healed() {
        let mut world = ready(CONE);
        assert!(reach_cidr(&mut world, b"before"));
        world.forget_mappings();
        world.run_for(Duration::from_secs(30));
        let arrives = (0..20).any(|n| reach_cidr(&mut world, &[n]));
        assert!(arrives);
    }
}
