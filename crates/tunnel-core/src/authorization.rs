//! Requests for access to resources, and what waits for their answers. spec: data-plane 11

use crate::{buffer::PacketBuffer, drop_reason::DropReason};
use ip_packet::IpPacket;
use lru::LruCache;
use model::{GatewayId, ResourceId};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

/// Shortest time between two requests for a resource.
const RESEND_AFTER: Duration = Duration::from_secs(2);

/// Packets that wait for one authorization.
const MAX_PACKETS: usize = 128;

/// Resources that are asked for at a time; bounds the memory of buffered packets.
const MAX_PENDING: usize = 256;

/// Gateways remembered as recently connected.
const MAX_RECENT: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not 0");

#[derive(Debug)]
struct Pending {
    asked_at: Instant,
    packets: PacketBuffer,
}

/// Whether the portal is to be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Send a request.
    Now,
    /// A request is under way.
    NotYet,
    /// Too many requests are under way; the packet was dropped.
    Refuse,
}

/// Authorizations that were asked for and are not answered yet.
#[derive(Debug)]
pub(crate) struct Authorizations {
    pending: BTreeMap<ResourceId, Pending>,
    connected: BTreeSet<GatewayId>,
    recent: LruCache<GatewayId, ()>,
}

impl Authorizations {
    pub(crate) fn new() -> Self {
        Self {
            pending: BTreeMap::new(),
            connected: BTreeSet::new(),
            recent: LruCache::new(MAX_RECENT),
        }
    }

    /// A resource is needed, by a packet if there is one: that is kept, and the portal asked at
    /// most every two seconds. Also returns why another packet had to go for it, if one had to.
    pub(crate) fn want(
        &mut self,
        resource: ResourceId,
        packet: Option<&IpPacket<&[u8]>>,
        now: Instant,
    ) -> (Ask, Option<DropReason>) {
        let is_full = self.pending.len() >= MAX_PENDING;
        let (pending, ask) = match self.pending.entry(resource) {
            Entry::Occupied(pending) => {
                let pending = pending.into_mut();
                let is_recent = now.saturating_duration_since(pending.asked_at) < RESEND_AFTER;
                (pending, if is_recent { Ask::NotYet } else { Ask::Now })
            }
            Entry::Vacant(_) if is_full => return (Ask::Refuse, None),
            Entry::Vacant(place) => {
                let packets = PacketBuffer::new(MAX_PACKETS);
                let asked_at = now;
                (place.insert(Pending { asked_at, packets }), Ask::Now)
            }
        };
        if ask == Ask::Now {
            pending.asked_at = now;
        }
        let displaced = packet.and_then(|packet| pending.packets.push(packet));
        (ask, displaced)
    }

    /// An answer arrived: the packets that waited for it; none if nothing was asked.
    pub(crate) fn grant(&mut self, resource: ResourceId) -> Option<PacketBuffer> {
        self.pending
            .remove(&resource)
            .map(|pending| pending.packets)
    }

    /// Forgets a request and its packets; returns how many these are.
    #[must_use = "dropped packets are counted"]
    pub(crate) fn cancel(&mut self, resource: ResourceId) -> usize {
        let pending = self.pending.remove(&resource);
        pending.map_or(0, |pending| pending.packets.len())
    }

    /// A gateway is in use.
    pub(crate) fn connected(&mut self, gateway: GatewayId) {
        self.connected.insert(gateway);
        self.recent.put(gateway, ());
    }

    /// A gateway is out of use; it stays among the recent ones.
    pub(crate) fn disconnected(&mut self, gateway: GatewayId) {
        self.connected.remove(&gateway);
    }

    /// Forgets all requests and gateways; returns how many packets waited.
    #[must_use = "dropped packets are counted"]
    pub(crate) fn reset(&mut self) -> usize {
        let waiting = self.waiting();
        *self = Self::new();
        waiting
    }

    /// How many packets wait.
    pub(crate) fn waiting(&self) -> usize {
        let packets = self.pending.values().map(|pending| pending.packets.len());
        packets.sum()
    }

    /// What a request tells the portal about gateways.
    pub(crate) fn connected_gateways(&self) -> BTreeSet<GatewayId> {
        let recent = self.recent.iter().map(|(gateway, ())| *gateway);
        self.connected.iter().copied().chain(recent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::udp;

    const RESOURCE: ResourceId = ResourceId::from_bytes([1; 16]);

    fn want(authorizations: &mut Authorizations, number: u8, now: Instant) -> Ask {
        let bytes = udp("10.0.0.1:1", "10.0.0.2:2", &[number]);
        let packet = IpPacket::parse(&bytes[..]).unwrap();
        authorizations.want(RESOURCE, Some(&packet), now).0
    }

    #[test]
    fn traffic_repeats_a_request_after_two_seconds() {
        let start = Instant::now();
        let mut authorizations = Authorizations::new();
        let mut at = |ms| want(&mut authorizations, 0, start + Duration::from_millis(ms));
        assert_eq!(at(0), Ask::Now);
        assert_eq!(at(1999), Ask::NotYet);
        assert_eq!(at(2000), Ask::Now);
        assert_eq!(at(3999), Ask::NotYet);
    }

    #[test]
    fn packets_wait_in_order_and_unasked_answers_are_ignored() {
        let now = Instant::now();
        let mut authorizations = Authorizations::new();
        assert!(authorizations.grant(RESOURCE).is_none());
        for number in 0..=255 {
            want(&mut authorizations, number, now);
        }
        let packets: Vec<_> = authorizations
            .grant(RESOURCE)
            .unwrap()
            .into_packets()
            .collect();
        assert_eq!(packets.len(), MAX_PACKETS);
        assert_eq!(packets[0].last(), Some(&128));
        assert!(authorizations.grant(RESOURCE).is_none());
    }

    #[test]
    fn every_packet_that_goes_is_told() {
        let now = Instant::now();
        let mut authorizations = Authorizations::new();
        let packets: Vec<_> = (0..=255)
            .map(|n| udp("10.0.0.1:1", "10.0.0.2:2", &[n]))
            .collect();
        let mut displaced = 0;
        for bytes in &packets {
            let packet = IpPacket::parse(&bytes[..]).unwrap();
            let (_, reason) = authorizations.want(RESOURCE, Some(&packet), now);
            displaced += usize::from(reason == Some(DropReason::BufferFull));
        }
        assert_eq!((displaced, authorizations.waiting()), (128, 128));
        assert_eq!(authorizations.cancel(RESOURCE), 128);
        assert_eq!(authorizations.cancel(RESOURCE), 0);
        want(&mut authorizations, 1, now);
        want(&mut authorizations, 2, now);
        assert_eq!(authorizations.reset(), 2);
        assert_eq!(authorizations.waiting(), 0);
    }

    #[test]
    fn requests_at_a_time_are_bounded() {
        let bytes = udp("10.0.0.1:1", "10.0.0.2:2", &[]);
        let packet = IpPacket::parse(&bytes[..]).unwrap();
        let now = Instant::now();
        let mut authorizations = Authorizations::new();
        let mut ask = |n: u16| {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            let resource = ResourceId::from_bytes(id);
            authorizations.want(resource, Some(&packet), now).0
        };
        assert!((0..256).all(|n| ask(n) == Ask::Now));
        assert_eq!(ask(256), Ask::Refuse);
        assert_eq!(ask(255), Ask::NotYet);
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
        assert_eq!(authorizations.reset(), 0);
        assert!(authorizations.connected_gateways().is_empty());
    }
}
