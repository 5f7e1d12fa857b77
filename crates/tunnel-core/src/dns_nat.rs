//! Decides what becomes of packets in front of a gateway's translation of names. spec: data-plane 14

use crate::{
    drop_reason::DropReason,
    waiting::{QueueId, Waiting},
};
use ip_packet::{DomainStatus, IpPacket};
use model::{DomainName, GatewayId, ResourceId};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Shortest time between two messages about one name.
const RESEND_AFTER: Duration = Duration::from_secs(2);

/// Packets that wait for one name.
const MAX_PACKETS: usize = 32;

/// What a translation belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NatKey {
    pub(crate) gateway: GatewayId,
    pub(crate) resource: ResourceId,
    pub(crate) domain: DomainName,
}

#[derive(Debug)]
enum State {
    /// The name was announced and the gateway has not answered; packets wait if there is a queue.
    Pending {
        announced_at: Instant,
        packets: Option<QueueId>,
    },
    /// The name was asked for again: it is to be announced anew.
    Recreating { hold: bool },
    /// The gateway translates.
    Confirmed,
    /// The gateway refused.
    Failed,
}

/// What to do with a packet or after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Send it.
    Forward {
        /// Whether this stays so until the next event, so that the peer may be cached.
        is_cacheable: bool,
    },
    /// It waits.
    Hold,
}

/// Whether a name is to be announced to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// Send an AssignedIps message.
    Now,
    /// It knows the name, or heard of it a moment ago.
    No,
}

/// All translations, by gateway, resource and name.
#[derive(Debug, Default)]
pub(crate) struct DnsNat {
    states: BTreeMap<NatKey, State>,
}

impl DnsNat {
    /// The name of an authorized resource is needed: the gateway has to know.
    pub(crate) fn update(&mut self, key: &NatKey, waiting: &mut Waiting, now: Instant) -> Announce {
        let holds = match self.states.get_mut(key) {
            None => true,
            Some(State::Pending { announced_at, .. }) => return repeat(announced_at, now),
            Some(State::Recreating { hold }) => *hold,
            Some(State::Confirmed | State::Failed) => return Announce::No,
        };
        let pending = State::Pending {
            announced_at: now,
            packets: holds.then(|| waiting.new_queue()),
        };
        self.states.insert(key.clone(), pending);
        Announce::Now
    }

    /// The name was asked for: its addresses may have changed.
    pub(crate) fn recreate(&mut self, key: &NatKey) {
        match self.states.get_mut(key) {
            Some(state @ State::Confirmed) => *state = State::Recreating { hold: false },
            Some(state @ State::Failed) => *state = State::Recreating { hold: true },
            _ => {}
        }
    }

    /// A packet to one of the name's addresses.
    pub(crate) fn handle_packet(
        &mut self,
        key: &NatKey,
        packet: &IpPacket<&[u8]>,
        waiting: &mut Waiting,
        now: Instant,
    ) -> (Decision, Announce) {
        let announce = match self.states.get(key) {
            None | Some(State::Pending { .. }) => self.update(key, waiting, now),
            Some(_) => Announce::No,
        };
        let decision = match self.states.get(key) {
            Some(State::Pending {
                packets: Some(queue),
                ..
            }) => {
                waiting.push(*queue, packet, MAX_PACKETS, now);
                Decision::Hold
            }
            Some(State::Confirmed | State::Failed) => Decision::Forward { is_cacheable: true },
            _ => Decision::Forward {
                is_cacheable: false,
            },
        };
        (decision, announce)
    }

    /// The gateway's answer; returns the packets that waited for it. They are to be sent if it
    /// is [`DomainStatus::Active`], else they are dropped.
    #[must_use = "packets are sent, or dropped and counted"]
    pub(crate) fn handle_status(&mut self, key: &NatKey, status: DomainStatus) -> Option<QueueId> {
        let state = self.states.get_mut(key)?;
        let next = match status {
            DomainStatus::Active => State::Confirmed,
            DomainStatus::Inactive => State::Failed,
        };
        match std::mem::replace(state, next) {
            State::Pending { packets, .. } => packets,
            State::Recreating { .. } | State::Confirmed | State::Failed => None,
        }
    }

    /// Forgets what a gateway was told, and drops what waits for its answers.
    pub(crate) fn remove_gateway(&mut self, gateway: GatewayId, waiting: &mut Waiting) {
        let is_gone = |key: &NatKey| key.gateway == gateway;
        self.remove(is_gone, DropReason::GatewayClosed, waiting);
    }

    /// Forgets what gateways were told about a resource, and drops what waits for their answers.
    pub(crate) fn remove_resource(&mut self, resource: ResourceId, waiting: &mut Waiting) {
        let is_gone = |key: &NatKey| key.resource == resource;
        self.remove(is_gone, DropReason::Revoked, waiting);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.states.clear();
    }

    fn remove(
        &mut self,
        is_gone: impl Fn(&NatKey) -> bool,
        reason: DropReason,
        waiting: &mut Waiting,
    ) {
        for (_, state) in self.states.extract_if(.., |key, _| is_gone(key)) {
            if let State::Pending {
                packets: Some(queue),
                ..
            } = state
            {
                waiting.discard(queue, reason);
            }
        }
    }
}

fn repeat(announced_at: &mut Instant, now: Instant) -> Announce {
    if now.saturating_duration_since(*announced_at) < RESEND_AFTER {
        return Announce::No;
    }
    *announced_at = now;
    Announce::Now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::udp;

    fn key() -> NatKey {
        NatKey {
            gateway: GatewayId::from_bytes([1; 16]),
            resource: ResourceId::from_bytes([2; 16]),
            domain: "app.test".parse().unwrap(),
        }
    }

    struct Fixture {
        nat: DnsNat,
        waiting: Waiting,
        start: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                nat: DnsNat::default(),
                waiting: Waiting::default(),
                start: Instant::now(),
            }
        }

        fn update(&mut self, ms: u64) -> Announce {
            let now = self.start + Duration::from_millis(ms);
            self.nat.update(&key(), &mut self.waiting, now)
        }

        fn packet(&mut self, ms: u64, number: u8) -> (Decision, Announce) {
            let bytes = udp("10.0.0.1:1", "100.96.0.1:2", &[number]);
            let packet = IpPacket::parse(&bytes[..]).unwrap();
            let now = self.start + Duration::from_millis(ms);
            self.nat
                .handle_packet(&key(), &packet, &mut self.waiting, now)
        }

        fn status(&mut self, status: DomainStatus) -> Vec<u8> {
            let queue = self.nat.handle_status(&key(), status);
            let packets = queue.into_iter().flat_map(|queue| self.waiting.take(queue));
            packets.map(|packet| *packet.last().unwrap()).collect()
        }

        fn dropped(&self, reason: DropReason) -> u64 {
            self.waiting.drops().get(reason)
        }
    }

    const HOLD: Decision = Decision::Hold;
    const CACHEABLE: Decision = Decision::Forward { is_cacheable: true };
    const NOT_CACHEABLE: Decision = Decision::Forward {
        is_cacheable: false,
    };

    #[test]
    fn packets_wait_until_the_gateway_confirms() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.update(0), Announce::Now);
        assert_eq!(fixture.update(1), Announce::No);
        assert_eq!(fixture.packet(2, 1), (HOLD, Announce::No));
        assert_eq!(fixture.packet(1999, 2), (HOLD, Announce::No));
        assert_eq!(fixture.packet(2000, 3), (HOLD, Announce::Now));
        assert_eq!(fixture.packet(3999, 4), (HOLD, Announce::No));
        assert_eq!(fixture.packet(4000, 5), (HOLD, Announce::Now));
        assert_eq!(fixture.status(DomainStatus::Active), [1, 2, 3, 4, 5]);
        assert_eq!(fixture.packet(4001, 6), (CACHEABLE, Announce::No));
        assert_eq!(fixture.update(9000), Announce::No);
    }

    #[test]
    fn the_queue_keeps_the_newest_packets() {
        let mut fixture = Fixture::new();
        fixture.update(0);
        assert!((0..40).all(|number| fixture.packet(0, number).0 == HOLD));
        assert_eq!(fixture.dropped(DropReason::BufferFull), 8);
        assert_eq!(fixture.waiting.len(), 32);
        assert_eq!(
            fixture.status(DomainStatus::Active),
            (8..40).collect::<Vec<u8>>()
        );
    }

    #[test]
    fn a_refusal_gives_packets_back_and_later_ones_pass() {
        let mut fixture = Fixture::new();
        fixture.update(0);
        fixture.packet(0, 1);
        assert_eq!(fixture.status(DomainStatus::Inactive), [1]);
        assert_eq!(fixture.waiting.len(), 0);
        assert_eq!(fixture.packet(1, 2), (CACHEABLE, Announce::No));
        assert_eq!(fixture.update(1), Announce::No);
    }

    #[test]
    fn asking_for_a_name_again_tells_the_gateway_again() {
        for (status, held) in [
            (DomainStatus::Active, NOT_CACHEABLE),
            (DomainStatus::Inactive, HOLD),
        ] {
            let mut fixture = Fixture::new();
            fixture.update(0);
            fixture.status(status);
            fixture.nat.recreate(&key());
            assert_eq!(fixture.packet(1, 1), (NOT_CACHEABLE, Announce::No));
            assert_eq!(
                fixture.update(1),
                Announce::Now,
                "even before two seconds passed"
            );
            assert_eq!(fixture.packet(2, 2), (held, Announce::No));
        }
    }

    #[test]
    fn a_packet_tells_the_gateway_of_a_name_that_it_does_not_know() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.packet(0, 1), (HOLD, Announce::Now));
        assert_eq!(fixture.packet(1, 2), (HOLD, Announce::No));
        assert_eq!(fixture.status(DomainStatus::Active), [1, 2]);
    }

    #[test]
    fn answers_about_unknown_names_are_ignored_and_lost_gateways_forgotten() {
        let mut fixture = Fixture::new();
        assert!(fixture.status(DomainStatus::Active).is_empty());
        let (gateway, resource) = (key().gateway, key().resource);
        let others = (
            GatewayId::from_bytes([8; 16]),
            ResourceId::from_bytes([8; 16]),
        );
        fixture.packet(0, 1);
        fixture.nat.remove_gateway(others.0, &mut fixture.waiting);
        fixture.nat.remove_resource(others.1, &mut fixture.waiting);
        assert_eq!(fixture.waiting.len(), 1);
        fixture.nat.remove_gateway(gateway, &mut fixture.waiting);
        assert_eq!(fixture.dropped(DropReason::GatewayClosed), 1);
        assert!(fixture.status(DomainStatus::Active).is_empty());
        assert_eq!(fixture.packet(0, 1), (HOLD, Announce::Now));
        assert_eq!(fixture.packet(0, 2), (HOLD, Announce::No));
        fixture.nat.remove_resource(resource, &mut fixture.waiting);
        assert_eq!(fixture.dropped(DropReason::Revoked), 2);
        assert_eq!(fixture.update(0), Announce::Now);
        fixture.nat.clear();
        assert_eq!(fixture.update(0), Announce::Now);
    }
}
