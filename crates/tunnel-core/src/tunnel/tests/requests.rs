//! Requests that nobody answers or that are refused, and grants that cannot be used.

use super::*;
use crate::Refusal;

/// This many resources beside the usual ones, each with a packet that waits for it.
fn wanting(count: u16) -> Fixture {
    let mut fixture = Fixture::greeted();
    for n in 0..count {
        let (resource, to) = range(n);
        fixture.portal(PortalUpdate::Resource(resource));
        assert_eq!(fixture.send(&to, b"x"), Verdict::Consumed, "{n}");
    }
    fixture
}

fn without_relays(fixture: &mut Fixture) {
    fixture.portal(PortalUpdate::Relays {
        disconnected: vec![relay().id],
        connected: vec![],
    });
}

fn with_relays(fixture: &mut Fixture) {
    fixture.portal(PortalUpdate::Relays {
        disconnected: vec![],
        connected: vec![relay()],
    });
}

fn refuse(fixture: &mut Fixture, resource: ResourceId, reason: Refusal) {
    fixture.portal(PortalUpdate::Refused { resource, reason });
}

fn reconnects(fixture: &Fixture) -> usize {
    let is_reconnect = |request: &&PortalRequest| **request == PortalRequest::Reconnect;
    fixture.requests.iter().filter(is_reconnect).count()
}

fn flows(fixture: &Fixture) -> usize {
    let is_flow = |request: &&PortalRequest| matches!(request, PortalRequest::CreateFlow { .. });
    fixture.requests.iter().filter(is_flow).count()
}

#[test]
fn requests_that_nobody_answers_are_in_nobodys_way() {
    let mut fixture = wanting(300);
    assert_eq!((flows(&fixture), fixture.waiting()), (300, 300));
    assert_eq!(fixture.send("10.20.0.1:80", b"x"), Verdict::Consumed);
    assert_eq!(fixture.asked_for(NETWORK), 1);
    // Nothing of them is left, even if nothing happens any more.
    fixture.later(Duration::from_secs(11));
    assert_eq!(fixture.waiting(), 0);
    assert_eq!(fixture.dropped(DropReason::Unanswered), 301);
    fixture.later(Duration::from_secs(24 * 3600));
    assert_eq!(fixture.send("10.20.0.1:80", b"x"), Verdict::Consumed);
    assert_eq!(fixture.asked_for(NETWORK), 2);
}

#[test]
fn a_refusal_drops_what_waits_and_later_requests_come_rarely() {
    for (reason, asked) in [
        (Refusal::Offline, 5),
        (Refusal::Denied, 3),
        (Refusal::Incompatible, 3),
    ] {
        let mut fixture = Fixture::greeted();
        let mut refused = 0;
        // A packet every 100 ms, and each request is refused at once.
        for _ in 0..90 {
            fixture.send("10.20.0.1:80", b"x");
            if fixture.asked_for(NETWORK) > refused {
                refuse(&mut fixture, NETWORK, reason);
                refused += 1;
            }
            assert_eq!(fixture.waiting(), 0, "{reason:?}");
            fixture.later(Duration::from_millis(100));
        }
        assert_eq!(fixture.asked_for(NETWORK), asked, "{reason:?}");
        assert_eq!(fixture.dropped(DropReason::Refused), 90, "{reason:?}");
    }
}

#[test]
fn news_from_the_portal_end_the_silence_after_a_refusal() {
    let news: [fn(&mut Fixture); 4] = [
        |fixture| {
            let Resource::Cidr(mut renamed) = network(NETWORK, "10.20.0.0/16") else {
                unreachable!()
            };
            renamed.name = "renamed".into();
            fixture.portal(PortalUpdate::Resource(Resource::Cidr(renamed)));
        },
        |fixture| fixture.portal(PortalUpdate::Resource(network(NETWORK, "10.20.0.0/15"))),
        |fixture| fixture.portal(init(vec![])),
        Fixture::reset,
    ];
    for (number, act) in news.into_iter().enumerate() {
        let mut fixture = Fixture::greeted();
        fixture.send("10.20.0.1:80", b"x");
        refuse(&mut fixture, NETWORK, Refusal::Denied);
        let refused = Verdict::Dropped(DropReason::Refused);
        assert_eq!(fixture.send("10.20.0.1:80", b"x"), refused, "{number}");
        act(&mut fixture);
        let verdict = fixture.send("10.20.0.1:80", b"x");
        assert_eq!(verdict, Verdict::Consumed, "{number}");
        assert_eq!(fixture.asked_for(NETWORK), 2, "{number}");
    }
}

#[test]
fn a_query_for_a_refused_site_fails_at_once() {
    let mut fixture = Fixture::greeted();
    let ask = |fixture: &mut Fixture, id| {
        let query = dns_message::compose_query(id, "a.app.test", dns_message::rtype::TXT).unwrap();
        fixture.send(SENTINEL, &query);
    };
    ask(&mut fixture, 1);
    refuse(&mut fixture, NAMES, Refusal::Denied);
    assert_eq!((fixture.delivered.len(), fixture.waiting()), (1, 0));
    ask(&mut fixture, 2);
    assert_eq!((fixture.delivered.len(), fixture.waiting()), (2, 0));
    assert_eq!(fixture.asked_for(NAMES), 1);
    fixture.later(Duration::from_secs(2));
    ask(&mut fixture, 3);
    assert_eq!((fixture.asked_for(NAMES), fixture.waiting()), (2, 1));
    // A program that asks again has the portal asked again, too.
    fixture.later(Duration::from_secs(2));
    ask(&mut fixture, 3);
    assert_eq!((fixture.asked_for(NAMES), fixture.waiting()), (3, 1));
}

#[test]
fn without_relays_grants_wait_and_one_reconnect_is_wanted() {
    let mut fixture = wanting(20);
    without_relays(&mut fixture);
    for turn in 0..4 {
        for n in 0..20 {
            let (resource, to) = range(n);
            fixture.portal(fixture.authorized(resource.id()));
            fixture.send(&to, &[turn]);
        }
    }
    assert_eq!((flows(&fixture), reconnects(&fixture)), (20, 1));
    assert_eq!(fixture.waiting(), 20 * 5);
    assert_eq!(fixture.tunnel.connections().count(), 0);
    // Relays come: all that was granted is used, nothing is asked for again.
    fixture.connect_gateway();
    fixture.portal(init(vec![relay()]));
    fixture.meet();
    assert_eq!((fixture.waiting(), fixture.arrived.len()), (0, 100));
    assert_eq!((flows(&fixture), reconnects(&fixture)), (20, 1));
}

#[test]
fn an_hour_without_relays_is_quiet_and_ends_at_once() {
    let mut fixture = wanting(10);
    without_relays(&mut fixture);
    let mut granted = 0;
    for second in 0..3600_u64 {
        for n in 0..10 {
            fixture.send(&range(n).1, &second.to_be_bytes());
        }
        // Each request is granted at once; each reconnect brings no relays.
        let asked: Vec<PortalRequest> = fixture.requests[granted..].to_vec();
        granted = fixture.requests.len();
        for request in asked {
            match request {
                PortalRequest::CreateFlow { resource, .. } => {
                    fixture.portal(fixture.authorized(resource));
                }
                _ => fixture.portal(init_of(fixture_resources(10), vec![])),
            }
        }
        fixture.later(Duration::from_secs(1));
    }
    let (flows, reconnects) = (flows(&fixture), reconnects(&fixture));
    assert!((40..=70).contains(&reconnects), "{reconnects} reconnects");
    assert!((90..=130).contains(&(flows / 10)), "{flows} requests");
    assert!(fixture.waiting() <= 10 * 10, "{}", fixture.waiting());
    // Relays come: the next packet is enough, whenever access failed.
    fixture.portal(init_of(fixture_resources(10), vec![relay()]));
    fixture.tunnel.authorizations.take_held().for_each(drop);
    fixture.arrived.clear();
    fixture.send(&range(3).1, b"now");
    fixture.authorize(range(3).0.id());
    let last = IpPacket::parse(fixture.arrived.last().unwrap().as_slice()).unwrap();
    assert_eq!(last.udp_payload(), b"now");
}

#[test]
fn a_grant_that_found_no_relay_is_worthless_after_some_time() {
    let mut fixture = Fixture::greeted();
    without_relays(&mut fixture);
    fixture.send("10.20.0.1:80", b"x");
    fixture.portal(fixture.authorized(NETWORK));
    assert_eq!(fixture.waiting(), 1);
    fixture.later(Duration::from_millis(7900));
    assert_eq!(fixture.send("10.20.0.1:80", b"y"), Verdict::Consumed);
    fixture.later(Duration::from_millis(100));
    assert_eq!(fixture.dropped(DropReason::NoRelay), 2);
    let dropped = Verdict::Dropped(DropReason::NoRelay);
    assert_eq!(fixture.send("10.20.0.1:80", b"z"), dropped);
    // The gateway has given up: it is not connected to, but asked for.
    fixture.portal(init(vec![relay()]));
    assert_eq!(fixture.tunnel.connections().count(), 0);
    assert_eq!(fixture.send("10.20.0.1:80", b"z"), Verdict::Consumed);
    assert_eq!(fixture.asked_for(NETWORK), 2);
}

#[test]
fn a_query_does_not_wait_for_a_relay_for_ever() {
    let mut fixture = Fixture::greeted();
    without_relays(&mut fixture);
    let query = dns_message::compose_query(1, "a.app.test", dns_message::rtype::TXT).unwrap();
    fixture.send(SENTINEL, &query);
    fixture.portal(fixture.authorized(NAMES));
    assert_eq!((fixture.delivered.len(), fixture.waiting()), (0, 1));
    fixture.later(Duration::from_secs(8));
    assert_eq!((fixture.delivered.len(), fixture.waiting()), (1, 0));
}

#[test]
fn what_is_revoked_meanwhile_is_not_granted_when_relays_come() {
    let revocations: [fn(&mut Fixture); 3] = [
        |fixture| fixture.portal(PortalUpdate::ResourceRemoved(NETWORK)),
        |fixture| fixture.switch_off(&[NETWORK]),
        |fixture| fixture.tunnel.reset(Seed::from_bytes([5; 32]), fixture.now),
    ];
    for revoke in revocations {
        let mut fixture = Fixture::greeted();
        without_relays(&mut fixture);
        fixture.send("10.20.0.1:80", b"x");
        fixture.portal(fixture.authorized(NETWORK));
        revoke(&mut fixture);
        assert_eq!(fixture.waiting(), 0);
        with_relays(&mut fixture);
        assert_eq!(fixture.tunnel.connections().count(), 0);
    }
}

#[test]
fn a_gateway_with_another_key_and_no_relay_leaves_no_dead_binding() {
    let mut fixture = Fixture::connected();
    let (other, to) = range(0);
    fixture.portal(PortalUpdate::Resource(other.clone()));
    fixture.send(&to, b"waits");
    without_relays(&mut fixture);
    // The gateway has started anew.
    fixture.gateway = Connectivity::new(
        Role::Gateway,
        Seed::from_bytes([3; 32]),
        Duration::ZERO,
        fixture.now,
    );
    fixture.portal(fixture.authorized(other.id()));
    assert_eq!(reconnects(&fixture), 1);
    assert_eq!(fixture.waiting(), 1);
    // What there is stays as it is.
    assert_eq!(fixture.tunnel.connections().count(), 1);
    assert_eq!(fixture.send("10.20.0.1:80", b"old"), Verdict::Consumed);
    assert_eq!((fixture.asked_for(NETWORK), fixture.waiting()), (1, 1));
    let back = fixture.tunnel.carrier_of(socket("10.20.0.1:80").ip());
    assert_eq!(back, Some(GATEWAY));
    fixture.connect_gateway();
    with_relays(&mut fixture);
    fixture.meet();
    assert_eq!((fixture.waiting(), fixture.arrived.len()), (0, 1));
    // The first resource goes with the old connection, and is asked for.
    assert_eq!(fixture.send("10.20.0.1:80", b"waits"), Verdict::Consumed);
    assert_eq!(fixture.asked_for(NETWORK), 2);
    fixture.portal(fixture.authorized(NETWORK));
    fixture.run();
    assert_eq!(fixture.arrived.len(), 2);
}

#[test]
fn relays_and_another_network_are_another_chance_to_get_relays() {
    let mut fixture = Fixture::greeted();
    let ends: [fn(&mut Fixture); 3] = [Fixture::reset, with_relays, |_| {}];
    for (expected, end) in (1..).zip(ends) {
        without_relays(&mut fixture);
        for _ in 0..2 {
            fixture.send("10.20.0.1:80", b"x");
            fixture.portal(fixture.authorized(NETWORK));
        }
        assert_eq!(reconnects(&fixture), expected);
        end(&mut fixture);
        fixture
            .tunnel
            .connectivity
            .remove(GATEWAY.into(), fixture.now);
        fixture.tunnel.forget_gateway(GATEWAY);
    }
}

fn init(relays: Vec<Relay>) -> PortalUpdate {
    init_of(fixture_resources(50), relays)
}

fn init_of(resources: Vec<Resource>, relays: Vec<Relay>) -> PortalUpdate {
    PortalUpdate::Init {
        interface: interface(),
        resources,
        relays,
    }
}

fn fixture_resources(count: u16) -> Vec<Resource> {
    let ranges = (0..count).map(|n| range(n).0);
    resources().into_iter().chain(ranges).collect()
}
