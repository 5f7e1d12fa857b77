//! One TURN allocation: from the first BINDING to the last REFRESH. spec: data-plane 4.3 to 4.6

mod response;
mod timers;

use super::{
    channel::Channels,
    credentials::Credentials,
    message::{Request, Response},
    request::{Outstanding, Pending},
};
use crate::DropReason;
use model::{PeerId, Relay};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};
use stun_codec::TransactionId;

/// How often the mapping towards the relay is kept alive and looked at.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// How many addresses may wait for an allocation, and how many of one peer.
const MAX_WAITING: usize = 100;
const MAX_WAITING_OF_PEER: usize = 32;
/// Least time between two refreshes.
const MIN_REFRESH: Duration = Duration::from_secs(5);

/// What an allocation tells its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllocationEvent {
    /// The relay answered a BINDING that went out from `local`.
    Reached {
        local: SocketAddr,
        mapped: Option<SocketAddr>,
    },
    /// The relay opened this address for us; `local` is where we talk to it from.
    Granted {
        address: SocketAddr,
        local: SocketAddr,
    },
    /// This address is no longer ours.
    Revoked { address: SocketAddr },
    /// The relay forwards between us and this peer.
    ChannelBound { peer: SocketAddr },
    /// The relay will not serve us for now.
    Suspended,
    /// The relay did not answer an urgent Binding request.
    Silent,
}

/// Whether there is any use in waiting for this relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Good,
    /// It refused an allocation for reasons of its own.
    Suspended,
    /// It does not accept our credentials or our protocol.
    Failed,
}

/// The way to the relay.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    /// The first address of the relay that answered; everything but BINDING goes there.
    active: Option<SocketAddr>,
    /// Where we talk to it from.
    local: Option<SocketAddr>,
    /// What it saw as our address.
    mapped: Option<SocketAddr>,
    rtt: Option<Duration>,
    /// When it last answered anything.
    answered: Option<Instant>,
}

/// What the relay granted.
#[derive(Debug, Clone, Copy)]
struct Lease {
    v4: Option<SocketAddr>,
    v6: Option<SocketAddr>,
    expires_at: Instant,
    refresh_at: Instant,
    keep_alive_at: Instant,
}

impl Lease {
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        self.v4.into_iter().chain(self.v6)
    }

    /// Our relayed address of the peer's family.
    fn facing(&self, peer: SocketAddr) -> Option<SocketAddr> {
        if peer.is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// The client's side of one relay.
#[derive(Debug)]
pub(crate) struct Allocation {
    relay: Relay,
    credentials: Option<Credentials>,
    link: Link,
    lease: Option<Lease>,
    channels: Channels,
    /// Addresses that channels are wanted for, and in whose share.
    waiting: VecDeque<(SocketAddr, PeerId)>,
    outstanding: Outstanding,
    standing: Standing,
    /// Rounds of ALLOCATE and REFRESH in a row that led to nothing.
    conflicts: u8,
    ids: ChaCha20Rng,
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<AllocationEvent>,
}

impl Allocation {
    /// Starts with a BINDING to every address of the relay.
    pub(crate) fn new(relay: Relay, ids: ChaCha20Rng, now: Instant) -> Self {
        let mut allocation = Self {
            credentials: Credentials::new(&relay),
            relay,
            link: Link::default(),
            lease: None,
            channels: Channels::new(),
            waiting: VecDeque::new(),
            outstanding: Outstanding::default(),
            standing: Standing::Good,
            conflicts: 0,
            ids,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        };
        allocation.start(now);
        allocation
    }

    /// What the portal said about this relay.
    pub(crate) fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Sends one Refresh request, without repetition, to learn whether the relay still knows us; starts
    /// over if there is no allocation to refresh. spec: data-plane 4.1
    pub(crate) fn send_refresh(&mut self, now: Instant) {
        match (self.link.active, self.lease) {
            (Some(server), Some(_)) if !self.is_negotiating() => {
                self.send(Pending::once(Request::Refresh, server, now));
            }
            (_, None) if self.standing == Standing::Suspended || self.outstanding.is_empty() => {
                self.restart(now);
            }
            _ => {}
        }
    }

    /// A datagram from one of the relay's addresses that looks like STUN.
    pub(crate) fn handle_stun(
        &mut self,
        server: SocketAddr,
        local: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let response = Response::parse(datagram).ok_or(DropReason::Unrecognized)?;
        let pending = self
            .outstanding
            .get(response.id(), server)
            .filter(|pending| response.answers(pending.request))
            .ok_or(DropReason::UnsolicitedAnswer)?;
        let is_trusted = match pending.request {
            // A BINDING is not signed; its errors tell nothing.
            Request::Binding => response.error().is_none(),
            _ => self
                .credentials
                .as_ref()
                .is_some_and(|credentials| response.is_signed_by(credentials)),
        };
        if !is_trusted {
            return Err(DropReason::UnsolicitedAnswer);
        }
        if let Some(pending) = self.outstanding.take(response.id(), server) {
            self.on_response(pending, &response, local, now);
        }
        Ok(())
    }

    /// Data on a channel: the peer it is from, and our address it was sent to.
    pub(crate) fn handle_channel(
        &mut self,
        number: u16,
        now: Instant,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let peer = self.channels.receive_on(number, now)?;
        Some((peer, self.lease?.facing(peer)?))
    }

    /// Makes the relay forward between us and the address `peer`, now or as soon as there is an
    /// allocation, on a channel in the share of `owner`.
    pub(crate) fn bind(&mut self, peer: SocketAddr, owner: PeerId, now: Instant) {
        let Some(lease) = self.lease else {
            if self.standing == Standing::Good {
                self.wait(peer, owner);
            }
            return;
        };
        if lease.facing(peer).is_none() {
            return;
        }
        if let Some(number) = self.channels.bind(peer, owner, now) {
            self.send_bind(number, peer, now);
        }
    }

    /// Where to send data for `peer`: the relay's address and the channel.
    ///
    /// Opens a channel in the share of `owner` if there is none; it is usable as soon as the request for
    /// it is sent.
    pub(crate) fn route_to(
        &mut self,
        peer: SocketAddr,
        owner: Option<PeerId>,
        now: Instant,
    ) -> Option<(SocketAddr, u16)> {
        let server = self.link.active?;
        if let Some(owner) = owner
            && self.channels.number_for(peer, now).is_none()
        {
            self.bind(peer, owner, now);
        }
        Some((server, self.channels.number_for(peer, now)?))
    }

    /// The connection with `owner` is gone.
    pub(crate) fn release_all(&mut self, owner: PeerId) {
        self.waiting.retain(|(_, waiting)| *waiting != owner);
        self.channels.release_all(owner);
    }

    /// `owner` is no longer at the address `peer`.
    pub(crate) fn release(&mut self, peer: SocketAddr, owner: PeerId) {
        self.waiting.retain(|waiting| *waiting != (peer, owner));
        self.channels.release(peer, owner);
    }

    /// Sends an urgent Binding request, because a peer has fallen silent: is the relay there, and has
    /// our address changed?
    pub(crate) fn send_binding(&mut self, now: Instant) {
        if let Some(server) = self.link.active.filter(|&server| !self.is_binding(server)) {
            self.send(Pending::urgent(Request::Binding, server, now));
        }
    }

    /// Starts over, as if the relay had just been listed.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.invalidate();
        self.link = Link::default();
        self.standing = Standing::Good;
        self.start(now);
    }

    /// When the relay last answered anything.
    pub(crate) fn last_answer(&self) -> Option<Instant> {
        self.link.answered
    }

    /// The next message for the relay.
    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
    }

    /// The next thing the owner should know.
    pub(crate) fn poll_event(&mut self) -> Option<AllocationEvent> {
        self.events.pop_front()
    }

    /// Whether connections may choose this relay: it has answered and not refused us.
    pub(crate) fn is_usable(&self) -> bool {
        self.link.rtt.is_some() && self.standing == Standing::Good
    }

    /// Whether nothing can be expected from this relay any more.
    pub(crate) fn is_gone(&self) -> bool {
        let is_lost = self.link.active.is_none() || self.standing == Standing::Failed;
        is_lost && self.outstanding.is_empty()
    }

    /// The smoothed round trip to the relay.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.link.rtt
    }

    /// The relayed addresses, IPv4 first, and the address we talk to the relay from.
    pub(crate) fn granted(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> + use<> {
        let local = self.link.local;
        self.lease
            .into_iter()
            .flat_map(|lease| lease.addresses())
            .filter_map(move |address| Some((address, local?)))
    }

    /// Whether this is a relayed address of ours.
    pub(crate) fn owns(&self, address: SocketAddr) -> bool {
        self.lease
            .is_some_and(|lease| lease.addresses().any(|own| own == address))
    }

    fn start(&mut self, now: Instant) {
        let servers: Vec<_> = self.relay.addresses().collect();
        for server in servers {
            self.send(Pending::new(Request::Binding, server, now));
        }
    }

    fn allocate(&mut self, now: Instant) {
        if let Some(server) = self.link.active.filter(|_| !self.is_negotiating()) {
            self.send(Pending::new(Request::Allocate, server, now));
        }
    }

    /// Whether a request about the allocation itself is under way.
    fn is_negotiating(&self) -> bool {
        self.outstanding.any(|pending| {
            matches!(
                pending.request,
                Request::Allocate | Request::Refresh | Request::Release
            )
        })
    }

    /// Whether a BINDING to this address is under way.
    fn is_binding(&self, server: SocketAddr) -> bool {
        self.outstanding
            .any(|pending| pending.request == Request::Binding && pending.server == server)
    }

    fn wait(&mut self, peer: SocketAddr, owner: PeerId) {
        let is_known = self.waiting.contains(&(peer, owner));
        let of_owner = self.waiting.iter().filter(|(_, of)| *of == owner).count();
        if !is_known && of_owner < MAX_WAITING_OF_PEER && self.waiting.len() < MAX_WAITING {
            self.waiting.push_back((peer, owner));
        }
    }

    fn send_bind(&mut self, number: u16, peer: SocketAddr, now: Instant) {
        if let Some(server) = self.link.active {
            let request = Request::ChannelBind { number, peer };
            self.send(Pending::new(request, server, now));
        }
    }

    /// Transmits a request, signed with what we know by now.
    fn send(&mut self, mut pending: Pending) {
        let id = pending.repeated_id().unwrap_or_else(|| self.next_id());
        let Some(message) = pending.request.emit(id, self.credentials.as_ref()) else {
            self.standing = Standing::Failed;
            return;
        };
        pending.had_nonce = self
            .credentials
            .as_ref()
            .is_some_and(Credentials::has_nonce);
        pending.sent_as(id);
        self.outbox.push_back((pending.server, message));
        self.outstanding.push(pending);
    }

    fn next_id(&mut self) -> TransactionId {
        let mut id = [0; 12];
        self.ids.fill_bytes(&mut id);
        TransactionId::new(id)
    }

    fn on_expired(&mut self, pending: &Pending) {
        if pending.urgent {
            self.events.push_back(AllocationEvent::Silent);
        } else if Some(pending.server) == self.link.active {
            self.invalidate();
            self.link = Link::default();
        } else if let Request::ChannelBind { number, .. } = pending.request {
            self.channels.forget(number);
        }
    }

    /// Forgets what the relay granted, and everything under way.
    fn invalidate(&mut self) {
        if let Some(lease) = self.lease.take() {
            let revoked = lease
                .addresses()
                .map(|address| AllocationEvent::Revoked { address });
            self.events.extend(revoked);
        }
        self.channels.clear();
        self.outstanding.clear();
    }
}

#[cfg(test)]
mod tests;
