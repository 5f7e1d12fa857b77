//! Decides what becomes of packets in front of a gateway's translation of names. spec: data-plane 14

use crate::{buffer::PacketBuffer, drop_reason::DropReason};
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
    /// The name was announced and the gateway has not answered; packets wait if there is a buffer.
    Pending {
        announced_at: Instant,
        buffer: Option<PacketBuffer>,
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
    /// It waits in the buffer.
    Hold {
        /// Why another one had to go for it, if one had to.
        displaced: Option<DropReason>,
    },
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
    /// The resource of a name was authorized or its name asked for: the gateway has to know.
    pub(crate) fn update(&mut self, key: &NatKey, now: Instant) -> Announce {
        let held = || Some(PacketBuffer::new(MAX_PACKETS));
        match self.states.get_mut(key) {
            None => {
                self.states.insert(
                    key.clone(),
                    State::Pending {
                        announced_at: now,
                        buffer: held(),
                    },
                );
                Announce::Now
            }
            Some(State::Pending { announced_at, .. }) => repeat(announced_at, now),
            Some(state @ State::Recreating { hold: true }) => {
                *state = State::Pending {
                    announced_at: now,
                    buffer: held(),
                };
                Announce::Now
            }
            Some(state @ State::Recreating { hold: false }) => {
                *state = State::Pending {
                    announced_at: now,
                    buffer: None,
                };
                Announce::Now
            }
            Some(State::Confirmed | State::Failed) => Announce::No,
        }
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
        now: Instant,
    ) -> (Decision, Announce) {
        match self.states.get_mut(key) {
            Some(State::Pending {
                announced_at,
                buffer,
            }) => {
                let announce = repeat(announced_at, now);
                match buffer {
                    Some(buffer) => {
                        let displaced = buffer.push(packet);
                        (Decision::Hold { displaced }, announce)
                    }
                    None => (
                        Decision::Forward {
                            is_cacheable: false,
                        },
                        announce,
                    ),
                }
            }
            Some(State::Recreating { .. }) => (
                Decision::Forward {
                    is_cacheable: false,
                },
                Announce::No,
            ),
            None | Some(State::Confirmed | State::Failed) => {
                (Decision::Forward { is_cacheable: true }, Announce::No)
            }
        }
    }

    /// The gateway's answer; returns the packets that waited for it. They are to be sent if it
    /// is [`DomainStatus::Active`], else they are dropped.
    #[must_use = "packets are sent, or dropped and counted"]
    pub(crate) fn handle_status(
        &mut self,
        key: &NatKey,
        status: DomainStatus,
    ) -> Option<PacketBuffer> {
        let state = self.states.get_mut(key)?;
        let next = match status {
            DomainStatus::Active => State::Confirmed,
            DomainStatus::Inactive => State::Failed,
        };
        match std::mem::replace(state, next) {
            State::Pending { buffer, .. } => buffer,
            State::Recreating { .. } | State::Confirmed | State::Failed => None,
        }
    }

    /// Forgets what a gateway was told; returns how many packets waited for it.
    #[must_use = "dropped packets are counted"]
    pub(crate) fn remove_gateway(&mut self, gateway: GatewayId) -> usize {
        self.remove(|key| key.gateway == gateway)
    }

    /// Forgets what gateways were told about a resource; returns how many packets waited for it.
    #[must_use = "dropped packets are counted"]
    pub(crate) fn remove_resource(&mut self, resource: ResourceId) -> usize {
        self.remove(|key| key.resource == resource)
    }

    /// Forgets everything; returns how many packets waited.
    #[must_use = "dropped packets are counted"]
    pub(crate) fn clear(&mut self) -> usize {
        self.remove(|_| true)
    }

    /// How many packets wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.states.values().map(State::waiting).sum()
    }

    fn remove(&mut self, is_gone: impl Fn(&NatKey) -> bool) -> usize {
        let gone = self.states.extract_if(.., |key, _| is_gone(key));
        gone.map(|(_, state)| state.waiting()).sum()
    }
}

impl State {
    /// How many packets wait.
    fn waiting(&self) -> usize {
        match self {
            Self::Pending { buffer, .. } => buffer.as_ref().map_or(0, PacketBuffer::len),
            Self::Recreating { .. } | Self::Confirmed | Self::Failed => 0,
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
        start: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                nat: DnsNat::default(),
                start: Instant::now(),
            }
        }

        fn update(&mut self, ms: u64) -> Announce {
            self.nat
                .update(&key(), self.start + Duration::from_millis(ms))
        }

        fn packet(&mut self, ms: u64, number: u8) -> (Decision, Announce) {
            let bytes = udp("10.0.0.1:1", "100.96.0.1:2", &[number]);
            let packet = IpPacket::parse(&bytes[..]).unwrap();
            self.nat
                .handle_packet(&key(), &packet, self.start + Duration::from_millis(ms))
        }

        fn status(&mut self, status: DomainStatus) -> Vec<u8> {
            let packets = self.nat.handle_status(&key(), status);
            let packets = packets.into_iter().flat_map(PacketBuffer::into_packets);
            packets.map(|packet| *packet.last().unwrap()).collect()
        }
    }

    const HOLD: Decision = Decision::Hold { displaced: None };
    const CACHEABLE: Decision = Decision::Forward { is_cacheable: true };
    const NOT_CACHEABLE: Decision = Decision::Forward {
        is_cacheable: false,
    };

    #[test]
    fn packets_wait_until_the_gateway_confirms() {
        let mut fixture = Fixture::new();
        assert_eq!(
            fixture.packet(0, 0),
            (CACHEABLE, Announce::No),
            "unknown names pass"
        );
        assert_eq!(fixture.update(0), Announce::Now);
        assert_eq!(fixture.update(1), Announce::No);
        assert_eq!(fixture.packet(2, 1), (HOLD, Announce::No));
        assert_eq!(fixture.packet(1999, 2), (HOLD, Announce::No));
        assert_eq!(fixture.packet(2000, 3), (HOLD, Announce::Now));
        assert_eq!(fixture.status(DomainStatus::Active), [1, 2, 3]);
        assert_eq!(fixture.packet(2001, 4), (CACHEABLE, Announce::No));
        assert_eq!(fixture.update(9000), Announce::No);
    }

    #[test]
    fn the_buffer_keeps_the_newest_packets() {
        let mut fixture = Fixture::new();
        fixture.update(0);
        let displaced = (0..40).filter(|&number| fixture.packet(0, number).0 != HOLD);
        assert_eq!(displaced.count(), 8);
        assert_eq!(fixture.nat.waiting(), 32);
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
        assert_eq!(fixture.nat.waiting(), 0);
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
    fn unknown_names_and_lost_gateways_are_ignored() {
        let mut fixture = Fixture::new();
        assert!(fixture.status(DomainStatus::Active).is_empty());
        fixture.update(0);
        fixture.packet(0, 1);
        assert_eq!(fixture.nat.remove_gateway(key().gateway), 1);
        assert!(fixture.status(DomainStatus::Active).is_empty());
        assert_eq!(fixture.packet(0, 1), (CACHEABLE, Announce::No));
        fixture.update(0);
        fixture.packet(0, 1);
        fixture.packet(0, 2);
        assert_eq!(fixture.nat.remove_resource(key().resource), 2);
        assert_eq!(fixture.packet(0, 1), (CACHEABLE, Announce::No));
        fixture.update(0);
        assert_eq!(fixture.nat.clear(), 0);
        assert_eq!(fixture.packet(0, 1), (CACHEABLE, Announce::No));
    }
}
