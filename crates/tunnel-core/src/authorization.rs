//! Requests for access to resources, and grants that wait for a relay. spec: data-plane 11

use crate::{
    drop_reason::DropReason,
    event::Authorized,
    waiting::{QueueId, Waiting},
};
use ip_packet::IpPacket;
use lru::LruCache;
use model::{GatewayId, ResourceId};
use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

/// Shortest time between two requests for a resource.
const RESEND_AFTER: Duration = Duration::from_secs(2);

/// Longest time between two requests for a resource to which access fails.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// An answer that comes later than this after the latest request was not asked for.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// How long a grant waits for a relay: gateways give up a client that is silent for ten seconds.
/// spec: data-plane 2.16
const HELD_FOR: Duration = Duration::from_secs(8);

/// Packets that wait for one authorization.
const MAX_PACKETS: usize = 128;

/// Resources of which it is remembered that they were asked for.
const MAX_REQUESTS: usize = 4096;

/// Grants that wait for a relay.
const MAX_HELD: usize = 64;

/// Gateways remembered as recently connected.
const MAX_RECENT: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not 0");

/// Why a resource cannot be reached for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The portal says no.
    Denied,
    /// No relay was usable when the grant came.
    NoRelay,
    /// No gateway is online; that may change at any moment.
    Offline,
}

/// What was asked for one resource.
#[derive(Debug)]
struct Request {
    /// The latest one.
    asked_at: Instant,
    /// Until then the portal is not asked again.
    not_before: Instant,
    /// Why what needs the resource is dropped until then.
    failure: Option<Failure>,
    /// How often access failed since it was granted the last time.
    failures: u32,
    packets: QueueId,
}

/// A grant that waits for a relay.
#[derive(Debug)]
struct Held {
    authorized: Box<Authorized>,
    granted_at: Instant,
}

/// What becomes of something that needs a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// It waits. Send a request.
    Now,
    /// It waits. A request is under way.
    NotYet,
    /// It does not wait: access has failed a moment ago.
    Refuse(DropReason),
}

/// Requests to the portal, and the gateways that it is told about.
#[derive(Debug)]
pub(crate) struct Authorizations {
    /// The one that was needed the longest time ago gives way.
    requests: LruCache<ResourceId, Request>,
    /// In the order of arrival.
    held: VecDeque<Held>,
    connected: BTreeSet<GatewayId>,
    recent: LruCache<GatewayId, ()>,
}

impl Authorizations {
    pub(crate) fn new() -> Self {
        Self {
            requests: LruCache::unbounded(),
            held: VecDeque::new(),
            connected: BTreeSet::new(),
            recent: LruCache::new(MAX_RECENT),
        }
    }

    /// A resource is needed, by a packet if there is one, which is kept then. The portal is asked
    /// at most every two seconds, and less often if access fails.
    pub(crate) fn want(
        &mut self,
        resource: ResourceId,
        packet: Option<&IpPacket<&[u8]>>,
        waiting: &mut Waiting,
        now: Instant,
    ) -> Ask {
        let request = self.request(resource, waiting, now);
        let ask = if now >= request.not_before {
            request.asked_at = now;
            request.not_before = now + RESEND_AFTER;
            request.failure = None;
            Ask::Now
        } else if let Some(failure) = request.failure {
            return Ask::Refuse(failure.reason());
        } else {
            Ask::NotYet
        };
        if let Some(packet) = packet {
            waiting.push(request.packets, packet, MAX_PACKETS, now);
        }
        ask
    }

    /// The request for a resource, which is the one that was needed last from now on.
    fn request(&mut self, id: ResourceId, waiting: &mut Waiting, now: Instant) -> &mut Request {
        if !self.requests.contains(&id) && self.requests.len() >= MAX_REQUESTS {
            self.forget_stalest(waiting);
        }
        self.requests.get_or_insert_mut(id, || Request {
            asked_at: now,
            not_before: now,
            failure: None,
            failures: 0,
            packets: waiting.new_queue(),
        })
    }

    fn forget_stalest(&mut self, waiting: &mut Waiting) {
        if let Some((id, request)) = self.requests.pop_lru() {
            waiting.discard(request.packets, DropReason::TooManyRequests);
            self.held.retain(|held| held.authorized.resource != id);
        }
    }

    /// Whether an answer for this resource is expected.
    pub(crate) fn expects(&self, resource: ResourceId, now: Instant) -> bool {
        self.requests.peek(&resource).is_some_and(|request| {
            now.saturating_duration_since(request.asked_at) < ANSWERED_WITHIN
        })
    }

    /// Access is granted and the gateway is being connected to: the packets that waited for it.
    pub(crate) fn finish(&mut self, resource: ResourceId) -> Option<QueueId> {
        self.release(resource);
        let request = self.requests.pop(&resource)?;
        Some(request.packets)
    }

    /// Access has failed: what waited for it is dropped, and the portal is left alone for a while.
    pub(crate) fn fail(
        &mut self,
        resource: ResourceId,
        failure: Failure,
        waiting: &mut Waiting,
        now: Instant,
    ) {
        self.release(resource);
        let Some(request) = self.requests.peek_mut(&resource) else {
            return;
        };
        request.failure = Some(failure);
        let delay = match failure {
            Failure::Offline => RESEND_AFTER,
            Failure::Denied | Failure::NoRelay => {
                request.failures = request.failures.saturating_add(1);
                backoff(request.failures)
            }
        };
        request.not_before = now + delay;
        waiting.discard(request.packets, failure.reason());
    }

    /// Access is granted, but the gateway cannot be connected to before there is a relay. Returns
    /// the resource whose grant had to go for this one.
    pub(crate) fn hold(
        &mut self,
        authorized: Box<Authorized>,
        granted_at: Instant,
    ) -> Option<ResourceId> {
        self.release(authorized.resource);
        if let Some(request) = self.requests.peek_mut(&authorized.resource) {
            request.failure = None;
            request.not_before = granted_at + HELD_FOR;
        }
        self.held.push_back(Held {
            authorized,
            granted_at,
        });
        let is_full = self.held.len() > MAX_HELD;
        let oldest = is_full.then(|| self.held.pop_front()).flatten()?;
        Some(oldest.authorized.resource)
    }

    /// Takes out the grants that waited for a relay, each with its time.
    pub(crate) fn take_held(&mut self) -> impl Iterator<Item = (Box<Authorized>, Instant)> + use<> {
        let held = std::mem::take(&mut self.held).into_iter();
        held.map(|held| (held.authorized, held.granted_at))
    }

    /// Takes out the oldest grant if it waited for too long; returns its resource.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<ResourceId> {
        let is_due = self.deadline().is_some_and(|at| at <= now);
        let oldest = is_due.then(|| self.held.pop_front()).flatten()?;
        Some(oldest.authorized.resource)
    }

    /// When the oldest grant has waited for too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.held.front().map(|oldest| oldest.granted_at + HELD_FOR)
    }

    /// There are relays: what could not be reached for want of one may be asked for at once.
    pub(crate) fn forgive_want_of_relays(&mut self) {
        for (_, request) in &mut self.requests {
            if request.failure == Some(Failure::NoRelay) {
                request.forgive();
            }
        }
    }

    /// The portal has said something else about a resource: that may be asked for at once, unless
    /// it is something else that is missing.
    pub(crate) fn forgive_refusal(&mut self, resource: ResourceId) {
        if let Some(request) = self.requests.peek_mut(&resource)
            && request.failure != Some(Failure::NoRelay)
        {
            request.forgive();
        }
    }

    /// Forgets what was asked for a resource, and drops what waited for it.
    pub(crate) fn cancel(&mut self, resource: ResourceId, waiting: &mut Waiting) {
        if let Some(packets) = self.finish(resource) {
            waiting.discard(packets, DropReason::Revoked);
        }
    }

    /// Forgets the grant of a resource that waits for a relay.
    fn release(&mut self, resource: ResourceId) {
        self.held
            .retain(|held| held.authorized.resource != resource);
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

    /// What a request tells the portal about gateways.
    pub(crate) fn connected_gateways(&self) -> BTreeSet<GatewayId> {
        let recent = self.recent.iter().map(|(gateway, ())| *gateway);
        self.connected.iter().copied().chain(recent).collect()
    }
}

impl Request {
    fn forgive(&mut self) {
        if self.failure.take().is_some() {
            self.failures = 0;
            self.not_before = self.asked_at;
        }
    }
}

impl Failure {
    /// Why what needs the resource is dropped.
    fn reason(self) -> DropReason {
        match self {
            Self::Denied | Self::Offline => DropReason::Refused,
            Self::NoRelay => DropReason::NoRelay,
        }
    }
}

/// How long the portal is left alone after access failed for the `failures`th time.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    (RESEND_AFTER * 2_u32.pow(doublings)).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests;
