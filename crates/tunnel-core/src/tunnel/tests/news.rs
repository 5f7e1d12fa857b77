//! What the application and the operating system are told.

use super::*;
use crate::{Refusal, SiteState};
use connectivity::CloseReason;

/// What is known of a site after something happened.
type Step = (SiteState, fn(&mut Fixture));

#[test]
fn the_state_of_a_site_is_told_when_it_changes() {
    let mut fixture = Fixture::greeted();
    let site = model::Site {
        id: SITE,
        name: "site".into(),
    };
    let Resource::Cidr(mut resource) = network(NETWORK, "10.20.0.0/16") else {
        unreachable!()
    };
    resource.sites = vec![site];
    fixture.portal(PortalUpdate::Resource(Resource::Cidr(resource)));
    let offline = || PortalUpdate::Refused {
        resource: NETWORK,
        reason: Refusal::Offline,
    };
    let steps: [Step; 4] = [
        (SiteState::Unknown, |fixture| {
            fixture.send("10.20.0.1:80", b"x");
        }),
        (SiteState::Online, |fixture| {
            fixture.authorize(NETWORK);
        }),
        (SiteState::Unknown, Fixture::say_goodbye),
        (SiteState::Unknown, |fixture| {
            fixture.send("10.20.0.1:80", b"x");
        }),
    ];
    let mut before = SiteState::Unknown;
    for (expected, act) in steps {
        let told = fixture.told_of_resources;
        act(&mut fixture);
        assert_eq!(fixture.tunnel.resources()[0].state, expected);
        let is_told = fixture.told_of_resources > told;
        assert_eq!(is_told, before != expected, "{expected:?}");
        before = expected;
    }
    for is_news in [true, false] {
        let told = fixture.told_of_resources;
        fixture.portal(offline());
        let state = fixture.tunnel.resources()[0].state;
        assert_eq!(state, SiteState::Offline);
        assert_eq!(fixture.told_of_resources > told, is_news);
    }
    let told = fixture.told_of_resources;
    fixture.reset();
    assert!(fixture.told_of_resources > told);
    let state = fixture.tunnel.resources()[0].state;
    assert_eq!(state, SiteState::Unknown);
}

#[test]
fn the_first_plan_is_complete() {
    let fixture = Fixture::greeted();
    let [plan] = &fixture.plans[..] else {
        panic!("one plan, not {}", fixture.plans.len());
    };
    let mut routes: Vec<String> = plan.routes.iter().map(ToString::to_string).collect();
    routes.sort();
    let expected = [
        "10.20.0.0/16",
        "100.100.111.0/24",
        "100.64.0.0/11",
        "100.96.0.0/11",
        "fd00:2021:1111:8000:100:100:111:0/120",
        "fd00:2021:1111:8000::/107",
        "fd00:2021:1111::/107",
    ];
    assert_eq!(routes, expected);
    assert_eq!(plan.ipv4, interface().ipv4);
    assert_eq!(plan.ipv6, interface().ipv6);
    assert_eq!(plan.dns_servers, [socket(SENTINEL).ip()]);
    assert_eq!(plan.search_domain, None);
}

#[test]
fn the_application_hears_of_connections() {
    let mut fixture = Fixture::connected();
    assert_eq!(fixture.events, [Event::GatewayConnected(GATEWAY)]);
    // The gateway is gone without a word.
    fixture.gateway.remove(CLIENT, fixture.now);
    for _ in 0..60 {
        fixture.send("10.20.0.1:80", b"x");
        fixture.run();
    }
    let [_, Event::GatewayClosed { gateway, reason }] = fixture.events[..] else {
        panic!("{:?}", fixture.events);
    };
    assert_eq!(gateway, GATEWAY);
    assert_eq!(reason, CloseReason::NoPath);
    assert_eq!(fixture.tunnel.connections().count(), 0);
    assert!(fixture.asked_for(NETWORK) > 1);
}

#[test]
fn gateways_of_other_versions_are_told_once() {
    let mut fixture = Fixture::greeted();
    let refused = || PortalUpdate::Refused {
        resource: NETWORK,
        reason: Refusal::Incompatible,
    };
    for _ in 0..2 {
        fixture.portal(refused());
        assert_eq!(fixture.events, [Event::NoCompatibleGateway(NETWORK)]);
    }
    fixture.reset();
    fixture.portal(refused());
    assert_eq!(fixture.events.len(), 2);
}

#[test]
fn candidates_that_are_withdrawn_are_not_used() {
    let mut fixture = Fixture::connected();
    let candidates = fixture.candidates.clone();
    assert!(!candidates.is_empty() && fixture.is_connected());
    // The gateway no longer checks, either.
    fixture.gateway.remove(CLIENT, fixture.now);
    fixture.portal(PortalUpdate::CandidatesRemoved {
        gateway: GATEWAY,
        candidates,
    });
    fixture.run();
    assert!(!fixture.tunnel.connectivity.is_connected(GATEWAY.into()));
}
