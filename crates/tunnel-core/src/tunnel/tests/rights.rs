//! Who may send what, and what is forgotten when that changes.

use super::*;

const V6: ResourceId = ResourceId::from_bytes([6; 16]);

/// The name `a.app.test` is confirmed, and its first address leads to the gateway.
fn with_a_name() -> (Fixture, String) {
    let mut fixture = Fixture::connected();
    let address = fixture.ask("a.app.test")[0];
    let to = format!("{address}:80");
    fixture.send(&to, b"first");
    fixture.authorize(NAMES);
    assert_eq!(fixture.arrived.len(), 1);
    assert_eq!(fixture.controls.len(), 1);
    fixture.send(&to, b"second");
    assert_eq!(fixture.arrived.len(), 2);
    (fixture, to)
}

#[test]
fn packets_reach_the_gateway_and_come_back() {
    let mut fixture = Fixture::connected();
    assert_eq!(fixture.send("10.20.0.1:80", b"hello"), Verdict::Consumed);
    assert_eq!(fixture.arrived, [udp(PROGRAM, "10.20.0.1:80", b"hello")]);
    let back = udp("10.20.0.1:80", PROGRAM, b"welcome");
    assert_eq!(fixture.receive(&back), [Received::Deliver(back.len())]);
    assert_eq!(fixture.delivered, [back]);
    assert_eq!(fixture.asked_for(NETWORK), 1);
}

#[test]
fn programs_send_from_our_own_addresses_only() {
    let mut fixture = Fixture::connected();
    fixture.portal(PortalUpdate::Resource(network(V6, "2001:db8::/32")));
    fixture.send("[2001:db8::1]:80", b"first");
    fixture.authorize(V6);
    fixture.arrived.clear();
    for (from, to, is_ours) in [
        ("100.64.0.7:1", "10.20.0.1:80", true),
        ("100.64.0.8:1", "10.20.0.1:80", false),
        ("10.20.0.1:1", "10.20.0.1:80", false),
        ("[fd00:2021:1111::7]:1", "[2001:db8::1]:80", true),
        ("[fd00:2021:1111::8]:1", "[2001:db8::1]:80", false),
        ("[::1]:1", "[2001:db8::1]:80", false),
    ] {
        let verdict = fixture.tun(&udp(from, to, b"x"));
        let dropped = Verdict::Dropped(DropReason::ForeignSource);
        let expected = if is_ours { Verdict::Consumed } else { dropped };
        assert_eq!(verdict, expected, "{from}");
        assert_eq!(fixture.arrived.drain(..).count(), usize::from(is_ours));
    }
}

#[test]
fn gateways_send_from_what_they_were_authorized_for_only() {
    let (mut fixture, name) = with_a_name();
    for (from, may_send) in [
        ("100.64.0.9:80", true),
        ("[fd00:2021:1111::9]:80", true),
        ("10.20.255.1:80", true),
        (&name, true),
        ("10.21.0.1:80", false),
        ("100.64.0.10:80", false),
        ("100.96.0.9:80", false),
        ("[2001:db8::1]:80", false),
        (PROGRAM, false),
    ] {
        let to = match socket(from).is_ipv4() {
            true => PROGRAM,
            false => "[fd00:2021:1111::7]:4000",
        };
        let packet = udp(from, to, b"x");
        let dropped = Received::Dropped(DropReason::UnexpectedSource);
        let expected = match may_send {
            true => Received::Deliver(packet.len()),
            false => dropped,
        };
        assert_eq!(fixture.receive(&packet), [expected], "{from}");
    }
    assert_eq!(fixture.dropped(DropReason::UnexpectedSource), 5);
}

#[test]
fn a_gateway_may_not_send_from_what_was_revoked() {
    let revocations: [fn(&mut Fixture); 4] = [
        |fixture| fixture.portal(PortalUpdate::ResourceRemoved(NETWORK)),
        |fixture| fixture.portal(PortalUpdate::Resource(network(NETWORK, "10.20.0.0/24"))),
        |fixture| fixture.switch_off(&[NETWORK]),
        |fixture| {
            fixture.portal(PortalUpdate::Init {
                interface: interface(),
                resources: vec![names(NAMES, "*.app.test")],
                relays: vec![relay()],
            });
        },
    ];
    for revoke in revocations {
        let (mut fixture, name) = with_a_name();
        let back = udp("10.20.0.1:80", PROGRAM, b"x");
        assert_eq!(fixture.receive(&back), [Received::Deliver(back.len())]);
        revoke(&mut fixture);
        let dropped = Received::Dropped(DropReason::UnexpectedSource);
        assert_eq!(fixture.receive(&back), [dropped]);
        // Other resources of the same gateway are not concerned.
        let back = udp(&name, PROGRAM, b"x");
        assert_eq!(fixture.receive(&back), [Received::Deliver(back.len())]);
    }
}

#[test]
fn what_is_no_longer_understood_has_no_rights() {
    let broken = || names(NETWORK, "a**.app.test");
    let updates: [fn(Resource) -> PortalUpdate; 2] =
        [PortalUpdate::Resource, |resource| PortalUpdate::Init {
            interface: interface(),
            resources: vec![names(NAMES, "*.app.test"), resource],
            relays: vec![],
        }];
    for update in updates {
        let (mut fixture, name) = with_a_name();
        let back = udp("10.20.0.1:80", PROGRAM, b"x");
        assert_eq!(fixture.receive(&back), [Received::Deliver(back.len())]);
        fixture.portal(update(broken()));
        let dropped = Received::Dropped(DropReason::UnexpectedSource);
        assert_eq!(fixture.receive(&back), [dropped]);
        let dropped = Verdict::Dropped(DropReason::NoResource);
        assert_eq!(fixture.send("10.20.0.1:80", b"x"), dropped);
        let states = fixture.tunnel.resources();
        let state = states.iter().find(|state| state.resource.id() == NETWORK);
        assert_eq!(state.unwrap().gateway, None);
        let back = udp(&name, PROGRAM, b"x");
        assert_eq!(fixture.receive(&back), [Received::Deliver(back.len())]);
        // Neither when it is sent once more.
        fixture.portal(PortalUpdate::Resource(broken()));
        assert_eq!(fixture.send("10.20.0.1:80", b"x"), dropped);
    }
}

#[test]
fn nothing_waits_for_what_is_no_longer_understood() {
    let mut fixture = Fixture::greeted();
    let query = dns_message::compose_query(1, "a.app.test", dns_message::rtype::TXT).unwrap();
    fixture.send(SENTINEL, &query);
    let address = fixture.ask("a.app.test")[0];
    fixture.send(&format!("{address}:80"), b"waits");
    assert_eq!((fixture.waiting(), fixture.delivered.len()), (2, 0));
    fixture.portal(PortalUpdate::Resource(names(NAMES, "a**.app.test")));
    assert_eq!((fixture.waiting(), fixture.delivered.len()), (0, 1));
    assert_eq!(fixture.dropped(DropReason::Revoked), 1);
    // Nor is it granted any more.
    fixture.portal(fixture.authorized(NAMES));
    assert_eq!(fixture.tunnel.connections().count(), 0);
}

#[test]
fn a_more_specific_resource_takes_its_part_at_once() {
    let narrow = ResourceId::from_bytes([9; 16]);
    let ways: [fn(&mut Fixture, Resource); 2] = [
        |fixture, resource| fixture.portal(PortalUpdate::Resource(resource)),
        |fixture, resource| {
            fixture.switch_off(&[resource.id()]);
            fixture.portal(PortalUpdate::Resource(resource));
            fixture.send("10.20.0.1:80", b"known");
            fixture.switch_off(&[]);
        },
    ];
    for way in ways {
        let mut fixture = Fixture::connected();
        let back = udp("10.20.0.1:80", PROGRAM, b"x");
        fixture.send("10.20.0.1:80", b"known");
        assert_eq!(fixture.receive(&back), [Received::Deliver(back.len())]);
        way(&mut fixture, network(narrow, "10.20.0.1/32"));
        fixture.arrived.clear();
        assert_eq!(fixture.send("10.20.0.1:80", b"x"), Verdict::Consumed);
        assert_eq!((fixture.arrived.len(), fixture.asked_for(narrow)), (0, 1));
        let dropped = Received::Dropped(DropReason::UnexpectedSource);
        assert_eq!(fixture.receive(&back), [dropped]);
        assert_eq!(fixture.send("10.20.0.2:80", b"x"), Verdict::Consumed);
        assert_eq!(fixture.arrived.len(), 1);
    }
}

#[test]
fn packets_have_up_to_1280_bytes() {
    let mut fixture = Fixture::connected();
    for (length, verdict) in [
        (limits::MTU, Verdict::Consumed),
        (limits::MTU + 1, Verdict::Dropped(DropReason::Oversize)),
    ] {
        let payload = vec![0; length - 28];
        assert_eq!(fixture.send("10.20.0.1:80", &payload), verdict);
    }
    assert_eq!(fixture.arrived.len(), 1);
}

#[test]
fn queries_for_the_site_of_what_is_gone_fail_at_once() {
    let mut fixture = Fixture::greeted();
    let query = dns_message::compose_query(1, "a.app.test", dns_message::rtype::TXT).unwrap();
    fixture.send(SENTINEL, &query);
    assert_eq!((fixture.delivered.len(), fixture.waiting()), (0, 1));
    fixture.portal(PortalUpdate::ResourceRemoved(NAMES));
    assert_eq!((fixture.delivered.len(), fixture.waiting()), (1, 0));
}

#[test]
fn revocation_drops_translations_of_names() {
    let (mut fixture, name) = with_a_name();
    fixture.confirms = false;
    fixture.portal(PortalUpdate::ResourceRemoved(NAMES));
    let dropped = Verdict::Dropped(DropReason::NoResource);
    assert_eq!(fixture.send(&name, b"x"), dropped);
    fixture.portal(PortalUpdate::Resource(names(NAMES, "*.app.test")));
    fixture.arrived.clear();
    assert_eq!(fixture.send(&name, b"again"), Verdict::Consumed);
    assert_eq!(fixture.asked_for(NAMES), 2);
    fixture.authorize(NAMES);
    // The gateway is told anew, and nothing goes there before it confirms.
    assert_eq!((fixture.controls.len(), fixture.arrived.len()), (2, 0));
    fixture.confirm("a.app.test", DomainStatus::Active);
    assert_eq!(fixture.arrived.len(), 1);
}

#[test]
fn a_lost_gateway_is_no_longer_sent_to() {
    let (mut fixture, name) = with_a_name();
    fixture.send("10.20.0.1:80", b"known");
    fixture.say_goodbye();
    assert_eq!(fixture.tunnel.connections().count(), 0);
    for (to, resource) in [("10.20.0.1:80", NETWORK), (&name, NAMES)] {
        let before = fixture.asked_for(resource);
        assert_eq!(fixture.send(to, b"waits"), Verdict::Consumed, "{to}");
        assert_eq!(fixture.asked_for(resource), before + 1, "{to}");
    }
    assert_eq!(fixture.waiting(), 2);
    fixture.arrived.clear();
    fixture.authorize(NETWORK);
    fixture.authorize(NAMES);
    assert_eq!((fixture.waiting(), fixture.arrived.len()), (0, 2));
}

#[test]
fn a_name_that_is_asked_for_again_is_announced_until_it_is_confirmed() {
    let (mut fixture, name) = with_a_name();
    fixture.confirms = false;
    fixture.ask("a.app.test");
    assert_eq!(fixture.controls.len(), 2);
    // Packets go on meanwhile, and repeat what the gateway did not answer.
    fixture.pass(Duration::from_secs(2));
    fixture.send(&name, b"x");
    assert_eq!(fixture.controls.len(), 3);
    fixture.pass(Duration::from_secs(2));
    fixture.send(&name, b"x");
    assert_eq!(fixture.controls.len(), 4);
    fixture.confirm("a.app.test", DomainStatus::Active);
    fixture.pass(Duration::from_secs(2));
    fixture.send(&name, b"x");
    assert_eq!((fixture.controls.len(), fixture.arrived.len()), (4, 5));
}

#[test]
fn a_refused_name_that_is_asked_for_again_holds_packets_back() {
    let (mut fixture, name) = with_a_name();
    fixture.confirms = false;
    fixture.ask("a.app.test");
    fixture.confirm("a.app.test", DomainStatus::Inactive);
    fixture.arrived.clear();
    fixture.send(&name, b"goes to a gateway that answers by itself");
    assert_eq!(fixture.arrived.len(), 1);
    fixture.ask("a.app.test");
    fixture.send(&name, b"waits");
    assert_eq!((fixture.arrived.len(), fixture.waiting()), (1, 1));
    fixture.confirm("a.app.test", DomainStatus::Active);
    assert_eq!((fixture.arrived.len(), fixture.waiting()), (2, 0));
}

#[test]
fn a_reset_forgets_requests_and_gateways() {
    let mut fixture = Fixture::connected();
    let address = fixture.ask("a.app.test")[0];
    fixture.send(&format!("{address}:80"), b"waits");
    assert_eq!(fixture.asked_for(NAMES), 1);
    fixture.reset();
    assert_eq!(fixture.tunnel.connections().count(), 0);
    let dropped = Verdict::Dropped(DropReason::UnknownPeer);
    assert_eq!(fixture.send("100.64.0.9:80", b"to the gateway"), dropped);
    // An answer to what was asked before is nobody's.
    fixture.portal(fixture.authorized(NAMES));
    assert_eq!(fixture.tunnel.connections().count(), 0);
    // Both are asked for at once, although two seconds have not passed.
    fixture.send(&format!("{address}:80"), b"waits");
    fixture.send("10.20.0.1:80", b"waits");
    assert_eq!(
        (fixture.asked_for(NAMES), fixture.asked_for(NETWORK)),
        (2, 2)
    );
    let Some(PortalRequest::CreateFlow {
        connected_gateways, ..
    }) = fixture.requests.last()
    else {
        panic!("a request for access");
    };
    assert_eq!(*connected_gateways, BTreeSet::new());
}

#[test]
fn after_a_reset_a_gateway_has_the_rights_that_it_gets_anew() {
    let (mut fixture, name) = with_a_name();
    let back = udp("10.20.0.1:80", PROGRAM, b"x");
    fixture.reset();
    fixture.send(&name, b"waits");
    fixture.authorize(NAMES);
    let dropped = Received::Dropped(DropReason::UnexpectedSource);
    assert_eq!(fixture.receive(&back), [dropped]);
    fixture.send("10.20.0.1:80", b"waits");
    fixture.portal(fixture.authorized(NETWORK));
    assert_eq!(fixture.receive(&back), [Received::Deliver(back.len())]);
}

#[test]
fn what_is_switched_off_loses_its_authorization() {
    let mut fixture = Fixture::connected();
    fixture.send("10.20.0.1:80", b"known");
    fixture.arrived.clear();
    fixture.switch_off(&[NETWORK]);
    let dropped = Verdict::Dropped(DropReason::NoResource);
    assert_eq!(fixture.send("10.20.0.1:80", b"x"), dropped);
    fixture.switch_off(&[]);
    assert_eq!(fixture.send("10.20.0.1:80", b"waits"), Verdict::Consumed);
    assert_eq!(fixture.asked_for(NETWORK), 2);
    assert_eq!((fixture.waiting(), fixture.arrived.len()), (1, 0));
    // What was asked for is not granted any more once it is switched off.
    fixture.switch_off(&[NETWORK]);
    assert_eq!(fixture.waiting(), 0);
    fixture.portal(fixture.authorized(NETWORK));
    let back = udp("10.20.0.1:80", PROGRAM, b"x");
    let dropped = Received::Dropped(DropReason::UnexpectedSource);
    assert_eq!(fixture.receive(&back), [dropped]);
}

#[test]
fn the_internet_resource_loses_its_authorization_when_it_is_switched_off() {
    let mut fixture = Fixture::connected();
    let switch = |fixture: &mut Fixture, enabled| {
        fixture.tunnel.set_internet_resource(enabled, fixture.now);
        fixture.drain();
    };
    switch(&mut fixture, true);
    fixture.send("192.0.2.1:80", b"first");
    fixture.authorize(INTERNET);
    let back = udp("192.0.2.1:80", PROGRAM, b"x");
    assert_eq!(fixture.receive(&back), [Received::Deliver(back.len())]);
    switch(&mut fixture, false);
    let dropped = Received::Dropped(DropReason::UnexpectedSource);
    assert_eq!(fixture.receive(&back), [dropped]);
    switch(&mut fixture, true);
    fixture.send("192.0.2.1:80", b"waits");
    assert_eq!(fixture.asked_for(INTERNET), 2);
}
