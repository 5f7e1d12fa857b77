//! When the portal is asked, and for what it is asked no more.

use super::*;
use crate::fixtures::udp;
use model::{IceCredentials, PresharedKey, PublicKey, SiteId};

const RESOURCE: ResourceId = ResourceId::from_bytes([1; 16]);

fn resource(n: usize) -> ResourceId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    ResourceId::from_bytes(id)
}

struct Fixture {
    authorizations: Authorizations,
    waiting: Waiting,
    start: Instant,
}

impl Fixture {
    fn new() -> Self {
        Self {
            authorizations: Authorizations::new(),
            waiting: Waiting::default(),
            start: Instant::now(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// A packet with this number needs a resource.
    fn want(&mut self, id: ResourceId, number: u8, ms: u64) -> Ask {
        let bytes = udp("10.0.0.1:1", "10.0.0.2:2", &[number]);
        let packet = IpPacket::parse(&bytes[..]).unwrap();
        let now = self.at(ms);
        self.authorizations
            .want(id, Some(&packet), &mut self.waiting, now)
    }

    fn fail(&mut self, failure: Failure, ms: u64) {
        let now = self.at(ms);
        self.authorizations
            .fail(RESOURCE, failure, &mut self.waiting, now);
    }

    fn hold(&mut self, id: ResourceId, ms: u64) -> Option<ResourceId> {
        let now = self.at(ms);
        self.authorizations.hold(Box::new(granted(id)), now)
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.waiting.drops().get(reason)
    }
}

fn granted(resource: ResourceId) -> Authorized {
    let ice = || IceCredentials {
        username: "name".into(),
        password: "a password of 22 bytes".into(),
    };
    Authorized {
        resource,
        gateway: GatewayId::from_bytes([2; 16]),
        site: SiteId::from_bytes([3; 16]),
        public_key: PublicKey::from_bytes([4; 32]),
        ipv4: "100.64.0.9".parse().unwrap(),
        ipv6: "fd00:2021:1111::9".parse().unwrap(),
        preshared_key: PresharedKey::from_bytes([9; 32]),
        client_ice: ice(),
        gateway_ice: ice(),
    }
}

#[test]
fn traffic_repeats_a_request_after_two_seconds() {
    let mut fixture = Fixture::new();
    for (ms, ask) in [
        (0, Ask::Now),
        (1999, Ask::NotYet),
        (2000, Ask::Now),
        (3999, Ask::NotYet),
        (4000, Ask::Now),
    ] {
        assert_eq!(fixture.want(RESOURCE, 0, ms), ask, "{ms}");
    }
}

#[test]
fn packets_wait_in_order_and_unasked_answers_are_ignored() {
    let mut fixture = Fixture::new();
    assert!(!fixture.authorizations.expects(RESOURCE, fixture.start));
    for number in 0..=255 {
        fixture.want(RESOURCE, number, 0);
    }
    assert_eq!(fixture.dropped(DropReason::BufferFull), 128);
    assert!(fixture.authorizations.expects(RESOURCE, fixture.at(29_999)));
    assert!(!fixture.authorizations.expects(RESOURCE, fixture.at(30_000)));
    let queue = fixture.authorizations.finish(RESOURCE).unwrap();
    let packets: Vec<_> = fixture.waiting.take(queue).collect();
    assert_eq!(packets.len(), MAX_PACKETS);
    assert_eq!(packets[0].last(), Some(&128));
    assert!(fixture.authorizations.finish(RESOURCE).is_none());
    assert!(!fixture.authorizations.expects(RESOURCE, fixture.start));
    assert_eq!(
        fixture.want(RESOURCE, 0, 1),
        Ask::Now,
        "what was granted may be lost at once"
    );
}

#[test]
fn what_waits_for_another_resource_is_left_alone() {
    let mut fixture = Fixture::new();
    for n in 0..3 {
        fixture.want(resource(n), 0, 0);
    }
    fixture
        .authorizations
        .cancel(resource(1), &mut fixture.waiting);
    fixture
        .authorizations
        .cancel(resource(1), &mut fixture.waiting);
    assert_eq!(fixture.dropped(DropReason::Revoked), 1);
    assert_eq!(fixture.waiting.len(), 2);
}

#[test]
fn the_longer_access_fails_the_less_often_is_asked() {
    for (failure, reason, delays) in [
        (
            Failure::Denied,
            DropReason::Refused,
            [2, 4, 8, 16, 30, 30, 30],
        ),
        (
            Failure::NoRelay,
            DropReason::NoRelay,
            [2, 4, 8, 16, 30, 30, 30],
        ),
        (Failure::Offline, DropReason::Refused, [2; 7]),
    ] {
        let mut fixture = Fixture::new();
        let mut now = 0;
        for (turn, delay) in (1..).zip(delays) {
            assert_eq!(fixture.want(RESOURCE, 0, now), Ask::Now, "{failure:?}");
            fixture.fail(failure, now + 100);
            assert_eq!(fixture.dropped(reason), turn);
            let again = now + 100 + delay * 1000;
            assert_eq!(fixture.want(RESOURCE, 0, again - 1), Ask::Refuse(reason));
            assert_eq!(fixture.waiting.len(), 0);
            now = again;
        }
    }
}

#[test]
fn what_is_over_is_forgiven_and_nothing_else() {
    for (failure, reason) in [
        (Failure::Denied, DropReason::Refused),
        (Failure::Offline, DropReason::Refused),
        (Failure::NoRelay, DropReason::NoRelay),
    ] {
        let is_relay = failure == Failure::NoRelay;
        let mut fixture = Fixture::new();
        fixture.want(RESOURCE, 0, 0);
        fixture.fail(failure, 100);
        fixture.fail(failure, 100);
        forgive(&mut fixture, !is_relay);
        let refused = Ask::Refuse(reason);
        assert_eq!(fixture.want(RESOURCE, 0, 200), refused, "{failure:?}");
        forgive(&mut fixture, is_relay);
        assert_eq!(fixture.want(RESOURCE, 0, 200), Ask::Now, "{failure:?}");
        // The time to wait begins anew.
        fixture.fail(failure, 300);
        assert_eq!(fixture.want(RESOURCE, 0, 2300), Ask::Now, "{failure:?}");
        // A request without an answer is not repeated earlier for that.
        forgive(&mut fixture, true);
        forgive(&mut fixture, false);
        assert_eq!(fixture.want(RESOURCE, 0, 4299), Ask::NotYet);
    }
}

/// Relays come, or the portal has something new to say about the resource.
fn forgive(fixture: &mut Fixture, relays: bool) {
    match relays {
        true => fixture.authorizations.forgive_want_of_relays(),
        false => fixture.authorizations.forgive_refusal(RESOURCE),
    }
}

#[test]
fn the_stalest_request_gives_way() {
    let mut fixture = Fixture::new();
    for n in 0..MAX_REQUESTS {
        assert_eq!(fixture.want(resource(n), 0, 0), Ask::Now);
    }
    fixture.hold(resource(1), 0);
    // Needed again: the next one is the stalest.
    assert_eq!(fixture.want(resource(0), 1, 1), Ask::NotYet);
    assert_eq!(fixture.want(resource(MAX_REQUESTS), 0, 2), Ask::Now);
    assert_eq!(fixture.dropped(DropReason::TooManyRequests), 1);
    assert!(fixture.authorizations.expects(resource(0), fixture.start));
    assert!(!fixture.authorizations.expects(resource(1), fixture.start));
    assert_eq!(fixture.authorizations.take_held().count(), 0);
}

#[test]
fn a_grant_waits_for_a_relay_for_eight_seconds() {
    let mut fixture = Fixture::new();
    fixture.want(RESOURCE, 0, 0);
    assert_eq!(fixture.authorizations.deadline(), None);
    assert_eq!(fixture.hold(RESOURCE, 100), None);
    assert_eq!(fixture.authorizations.deadline(), Some(fixture.at(8100)));
    // Nothing is asked for meanwhile, and packets wait.
    assert_eq!(fixture.want(RESOURCE, 1, 8099), Ask::NotYet);
    assert_eq!(fixture.waiting.len(), 2);
    assert_eq!(fixture.authorizations.expire(fixture.at(8099)), None);
    let expired = fixture.authorizations.expire(fixture.at(8100));
    assert_eq!(expired, Some(RESOURCE));
    assert_eq!(fixture.authorizations.expire(fixture.at(8100)), None);
    // A later one takes the place of an earlier one.
    fixture.hold(RESOURCE, 9000);
    fixture.hold(RESOURCE, 9500);
    let held: Vec<_> = fixture.authorizations.take_held().collect();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].1, fixture.at(9500));
    assert_eq!(fixture.authorizations.deadline(), None);
    // So does a refusal.
    fixture.hold(RESOURCE, 9600);
    fixture.fail(Failure::Denied, 9700);
    assert_eq!(fixture.authorizations.deadline(), None);
}

#[test]
fn grants_that_wait_are_bounded() {
    let mut fixture = Fixture::new();
    for n in 0..MAX_HELD {
        fixture.want(resource(n), 0, 0);
        assert_eq!(fixture.hold(resource(n), 0), None);
    }
    assert_eq!(fixture.hold(resource(MAX_HELD), 0), Some(resource(0)));
    assert_eq!(fixture.authorizations.take_held().count(), MAX_HELD);
}

#[test]
fn recent_gateways_are_named_beside_connected_ones() {
    let gateway = |n: u8| GatewayId::from_bytes([n; 16]);
    let mut authorizations = Authorizations::new();
    for n in 0..=110 {
        authorizations.connected(gateway(n));
        if n > 0 {
            authorizations.disconnected(gateway(n));
        }
    }
    let named = authorizations.connected_gateways();
    assert_eq!(named.len(), 101);
    assert!(named.contains(&gateway(0)) && named.contains(&gateway(11)));
    assert!(!named.contains(&gateway(10)));
}
