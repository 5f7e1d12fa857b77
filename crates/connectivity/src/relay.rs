//! The relays we know, and our allocations with them. spec: data-plane 2.18, 4

mod allocation;
mod attribute;
mod channel;
mod credentials;
mod message;
mod request;
mod selection;

pub(crate) use allocation::{Allocation, AllocationEvent};
pub(crate) use message::{channel_header, parse_channel_data};
#[cfg(test)]
pub(crate) use {
    credentials::Credentials,
    message::{Request, Response},
};

use crate::transmit::{Route, SendQueue};
use model::{PeerId, Relay, RelayId, SeedTree};
use rand_chacha::ChaCha20Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Instant,
};

/// All allocations, by relay.
#[derive(Debug)]
pub(crate) struct Relays {
    allocations: BTreeMap<RelayId, Allocation>,
    by_address: BTreeMap<SocketAddr, RelayId>,
    /// Allocations that may have something to say.
    touched: BTreeSet<RelayId>,
    choices: ChaCha20Rng,
    seeds: SeedTree,
    created: u64,
}

impl Relays {
    pub(crate) fn new(seeds: SeedTree) -> Self {
        Self {
            allocations: BTreeMap::new(),
            by_address: BTreeMap::new(),
            touched: BTreeSet::new(),
            choices: seeds.stream("choices"),
            seeds,
            created: 0,
        }
    }

    /// Applies a list of the portal. Returns the relays whose allocations are gone. spec: data-plane 4.1
    pub(crate) fn update(
        &mut self,
        disconnected: &[RelayId],
        listed: Vec<Relay>,
        now: Instant,
    ) -> BTreeSet<RelayId> {
        let unlisted: Vec<RelayId> = self
            .allocations
            .keys()
            .filter(|id| !listed.iter().any(|relay| relay.id == **id))
            .copied()
            .collect();
        let mut gone: BTreeSet<RelayId> = disconnected
            .iter()
            .filter(|&&id| self.remove(id))
            .copied()
            .collect();
        for relay in listed {
            let id = relay.id;
            match self.allocations.get(&id) {
                Some(known) if *known.relay() == relay => continue,
                Some(_) => gone.extend(self.remove(id).then_some(id)),
                None => {}
            }
            self.insert(relay, now);
        }
        for id in unlisted {
            if let Some(allocation) = self.get_mut(id) {
                allocation.send_refresh(now);
            }
        }
        gone
    }

    /// The allocation with this relay, on the assumption that it will have something to say.
    pub(crate) fn get_mut(&mut self, id: RelayId) -> Option<&mut Allocation> {
        let allocation = self.allocations.get_mut(&id)?;
        self.touched.insert(id);
        Some(allocation)
    }

    /// The allocation with this relay.
    pub(crate) fn get(&self, id: RelayId) -> Option<&Allocation> {
        self.allocations.get(&id)
    }

    /// The relay that listens on this address.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<RelayId> {
        self.by_address.get(&address).copied()
    }

    /// Data on a channel of the relay at `server`: the peer it is from, and our address it was sent to.
    pub(crate) fn handle_channel(
        &mut self,
        id: RelayId,
        number: u16,
        now: Instant,
    ) -> Option<(SocketAddr, SocketAddr)> {
        self.allocations.get_mut(&id)?.handle_channel(number, now)
    }

    /// Where to send data for `peer` through this relay: its address and the channel.
    ///
    /// A request for a channel that this needs goes into `queue` first, in the share of `owner`.
    pub(crate) fn route_to(
        &mut self,
        id: RelayId,
        peer: SocketAddr,
        owner: Option<PeerId>,
        queue: &mut SendQueue,
        now: Instant,
    ) -> Option<(SocketAddr, u16)> {
        let allocation = self.allocations.get_mut(&id)?;
        let route = allocation.route_to(peer, owner, now);
        let mut asked = false;
        while let Some((server, message)) = allocation.poll_transmit() {
            queue.push(Route::control(None, server), &message);
            asked = true;
        }
        if asked {
            self.touched.insert(id);
        }
        route
    }

    /// The next thing this allocation has to say.
    pub(crate) fn poll_event(&mut self, id: RelayId) -> Option<AllocationEvent> {
        self.allocations.get_mut(&id)?.poll_event()
    }

    /// Hands out the messages of one allocation.
    pub(crate) fn flush(&mut self, id: RelayId, queue: &mut SendQueue) {
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        while let Some((server, message)) = allocation.poll_transmit() {
            queue.push(Route::control(None, server), &message);
        }
    }

    /// Takes one relay whose allocation was touched.
    pub(crate) fn pop_touched(&mut self) -> Option<RelayId> {
        self.touched.pop_first()
    }

    /// Forgets a relay; whether it was known.
    pub(crate) fn remove(&mut self, id: RelayId) -> bool {
        self.touched.remove(&id);
        self.by_address.retain(|_, relay| *relay != id);
        self.allocations.remove(&id).is_some()
    }

    /// Sends a Binding request to every relay, to learn whether it is there and what it sees of us.
    pub(crate) fn check(&mut self, now: Instant) {
        for (&id, allocation) in &mut self.allocations {
            allocation.send_binding(now);
            self.touched.insert(id);
        }
    }

    /// Whether another relay than this one answered since then: the network is there.
    pub(crate) fn has_other_answer(&self, id: RelayId, since: Instant) -> bool {
        self.allocations.iter().any(|(&other, allocation)| {
            other != id && allocation.last_answer().is_some_and(|at| at >= since)
        })
    }

    /// Whether no relay is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.allocations.is_empty()
    }

    /// A relay for a connection: any of those that are about as near as the nearest.
    pub(crate) fn choose(&mut self) -> Option<RelayId> {
        let usable: Vec<_> = self
            .allocations
            .iter()
            .filter(|(_, allocation)| allocation.is_usable())
            .filter_map(|(&id, allocation)| Some((id, allocation.rtt()?)))
            .collect();
        selection::choose(&usable, &mut self.choices)
    }

    fn insert(&mut self, relay: Relay, now: Instant) {
        let id = relay.id;
        self.created += 1;
        let ids = self.seeds.stream(&format!("transactions {}", self.created));
        self.by_address
            .extend(relay.addresses().map(|address| (address, id)));
        self.allocations
            .insert(id, Allocation::new(relay, ids, now));
        self.touched.insert(id);
    }
}
