//! Many updates at once, and many names.

use super::*;

#[test]
fn many_updates_make_one_plan() {
    let mut fixture = Fixture::greeted();
    let plans = fixture.plans.len();
    for n in 0..10_000 {
        let update = PortalUpdate::Resource(range(n).0);
        fixture.tunnel.handle_portal(update, fixture.now);
    }
    fixture.drain();
    assert_eq!(fixture.plans.len(), plans + 1);
    let plan = fixture.plans.last().unwrap();
    assert_eq!(plan.routes.len(), 10_007);
    assert_eq!(fixture.tunnel.plan(), Some(plan));
    assert_eq!(fixture.tunnel.resources().len(), 10_003);
    assert_eq!(fixture.told_of_resources, 2, "once after the greeting");
}

#[test]
fn what_changes_nothing_makes_no_plan() {
    let mut fixture = Fixture::greeted();
    assert_eq!(fixture.plans.len(), 1);
    fixture.portal(PortalUpdate::Resource(range(1).0));
    fixture.portal(PortalUpdate::Resource(range(1).0));
    assert_eq!(fixture.plans.len(), 2);
    let (there, gone) = (
        PortalUpdate::Resource(range(2).0),
        PortalUpdate::ResourceRemoved(range(2).0.id()),
    );
    fixture.tunnel.handle_portal(there, fixture.now);
    fixture.tunnel.handle_portal(gone, fixture.now);
    fixture.drain();
    assert_eq!(fixture.plans.len(), 2);
    fixture.tunnel.set_system_resolvers(vec![]);
    fixture.drain();
    assert_eq!(fixture.plans.len(), 3);
    fixture.portal(PortalUpdate::Interface(Interface {
        search_domain: Some("corp.test".parse().unwrap()),
        ..interface()
    }));
    assert_eq!(fixture.plans.len(), 4);
    fixture.switch_off(&[NETWORK]);
    assert_eq!(fixture.plans.len(), 5);
}

#[test]
fn before_the_greeting_there_is_no_plan() {
    let mut fixture = Fixture::new();
    fixture.portal(PortalUpdate::Resource(range(1).0));
    assert_eq!((fixture.plans.len(), fixture.tunnel.plan()), (0, None));
}

/// Names under `app.test` that programs have asked for.
fn with_names(count: usize) -> (Fixture, Vec<IpAddr>) {
    let mut fixture = Fixture::connected();
    fixture.confirms = false;
    let addresses = (0..count).map(|n| fixture.ask(&format!("n{n}.app.test"))[0]);
    let addresses = addresses.collect();
    (fixture, addresses)
}

#[test]
fn the_memory_of_packets_that_wait_is_bounded_for_all_names_together() {
    let (mut fixture, addresses) = with_names(3000);
    fixture.send(&format!("{}:80", addresses[0]), b"waits");
    fixture.authorize(NAMES);
    for address in &addresses {
        for n in 0..4 {
            let payload = [&[n; 1][..], &[0; 1200]].concat();
            fixture.send(&format!("{address}:80"), &payload);
        }
    }
    let held = fixture.tunnel.waiting.bytes();
    assert!(held <= 4 * 1024 * 1024, "{held} bytes wait");
    assert!(fixture.waiting() > 2000, "{} packets", fixture.waiting());
    // The newest ones are among them.
    fixture.confirm("n2999.app.test", DomainStatus::Active);
    assert_eq!(fixture.arrived.len(), 4);
    fixture.later(Duration::from_secs(10));
    assert_eq!((fixture.waiting(), fixture.tunnel.waiting.bytes()), (0, 0));
}

#[test]
fn a_name_that_a_packet_waits_for_is_announced_however_many_are_known() {
    let (mut fixture, addresses) = with_names(200);
    fixture.say_goodbye();
    fixture.confirms = true;
    fixture.controls.clear();
    fixture.send(&format!("{}:80", addresses[0]), b"waits");
    fixture.authorize(NAMES);
    assert_eq!(fixture.arrived.len(), 1);
    let full = DropReason::Connectivity(connectivity::DropReason::BufferFull);
    assert_eq!(fixture.dropped(full), 0);
    // The others as soon as somebody needs them.
    for address in &addresses[1..] {
        fixture.send(&format!("{address}:80"), b"x");
    }
    fixture.run();
    assert_eq!((fixture.arrived.len(), fixture.waiting()), (200, 0));
    assert_eq!(fixture.controls.len(), 200);
    assert_eq!(fixture.dropped(full), 0);
}

#[test]
fn as_many_names_as_packets_may_wait_for_are_announced_before_there_is_a_path() {
    let (mut fixture, addresses) = with_names(128);
    fixture.say_goodbye();
    fixture.confirms = true;
    for address in &addresses {
        fixture.send(&format!("{address}:80"), b"waits");
    }
    fixture.authorize(NAMES);
    assert_eq!((fixture.arrived.len(), fixture.waiting()), (128, 0));
}
