//! What each answer of a relay does to an allocation. spec: data-plane 4.4

use super::{Allocation, AllocationEvent, KEEP_ALIVE, Lease, Link, MIN_REFRESH, Standing};
use crate::relay::{
    credentials::REALM,
    message::{Request, Response},
    request::Pending,
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How often a relay may answer a request with another nonce, or refuse to forget an old allocation.
const MAX_ROUNDS: u8 = 5;

impl Allocation {
    /// Acts on an answer that is known to be the relay's.
    pub(super) fn on_response(
        &mut self,
        pending: Pending,
        response: &Response,
        local: SocketAddr,
        now: Instant,
    ) {
        self.link.answered = Some(now);
        self.link.rtt = Some(smoothed(self.link.rtt, pending.age(now)));
        match response.error() {
            None => self.on_success(&pending, response, local, now),
            Some(401) if pending.had_nonce => self.refuse(),
            Some(401 | 438) => self.on_challenge(pending, response, now),
            Some(437) => self.on_mismatch(pending.request, now),
            Some(420) => self.refuse(),
            Some(code) => self.on_error(pending.request, code),
        }
    }

    fn on_success(
        &mut self,
        pending: &Pending,
        response: &Response,
        local: SocketAddr,
        now: Instant,
    ) {
        match pending.request {
            Request::Binding => {
                self.on_reached(pending, local, response.mapped_address(), now);
            }
            Request::Allocate => self.on_granted(response, local, now),
            Request::Refresh | Request::Release => match response.lifetime() {
                Some(lifetime) if !lifetime.is_zero() && pending.request == Request::Refresh => {
                    self.extend(lifetime, now);
                }
                _ => {
                    self.invalidate();
                    self.allocate_again(now);
                }
            },
            Request::ChannelBind { number, .. } => {
                if let Some(peer) = self.channels.confirm(number, now) {
                    self.events
                        .push_back(AllocationEvent::ChannelBound { peer });
                }
            }
        }
    }

    /// A BINDING was answered: the first answer decides which address of the relay we use.
    fn on_reached(
        &mut self,
        pending: &Pending,
        local: SocketAddr,
        mapped: Option<SocketAddr>,
        now: Instant,
    ) {
        self.events
            .push_back(AllocationEvent::Reached { local, mapped });
        let server = pending.server;
        let is_first = self.link.active.is_none();
        if is_first {
            self.link.active = Some(server);
        } else if self.link.active != Some(server) {
            return;
        }
        // The relay identifies us by the address it sees: with another one it does not know us. Nor
        // does it after a restart, which an urgent request is to find out.
        let has_moved = matches!((self.link.mapped, mapped), (Some(old), Some(new)) if old != new);
        self.link.local = Some(local);
        self.link.mapped = mapped.or(self.link.mapped);
        if self.lease.is_none() {
            self.allocate(now);
        } else if (is_first || has_moved || pending.urgent) && !self.is_negotiating() {
            self.send(Pending::new(Request::Refresh, server, now));
        }
    }

    fn on_granted(&mut self, response: &Response, local: SocketAddr, now: Instant) {
        let find = |v4: bool| {
            response
                .relayed_addresses()
                .find(|address| address.is_ipv4() == v4)
        };
        let (v4, v6) = (find(true), find(false));
        let lifetime = response.lifetime().filter(|lifetime| !lifetime.is_zero());
        let (Some(lifetime), true) = (lifetime, v4.is_some() || v6.is_some()) else {
            self.suspend();
            return;
        };
        self.conflicts = 0;
        self.link.local = Some(local);
        let lease = Lease {
            v4,
            v6,
            expires_at: now,
            refresh_at: now,
            keep_alive_at: now + KEEP_ALIVE,
        };
        self.lease = Some(lease);
        self.extend(lifetime, now);
        let granted = lease
            .addresses()
            .map(|address| AllocationEvent::Granted { address, local });
        self.events.extend(granted);
        while let Some((peer, owner)) = self.waiting.pop_front() {
            self.bind(peer, owner, now);
        }
    }

    fn extend(&mut self, lifetime: Duration, now: Instant) {
        // Far more than any relay grants, and safe to add to every instant.
        let lifetime = lifetime.min(Duration::from_secs(86_400));
        if let Some(lease) = &mut self.lease {
            lease.expires_at = now + lifetime;
            lease.refresh_at = now + (lifetime / 2).max(MIN_REFRESH);
        }
    }

    /// The relay wants (another) nonce: the same request again, signed with it.
    fn on_challenge(&mut self, pending: Pending, response: &Response, now: Instant) {
        let is_ours = response.realm() == Some(REALM);
        let (true, Some(nonce), Some(credentials)) =
            (is_ours, response.nonce(), self.credentials.as_mut())
        else {
            return self.on_error(pending.request, 401);
        };
        credentials.adopt_nonce(nonce.clone());
        if pending.challenges >= MAX_ROUNDS {
            return self.on_error(pending.request, 438);
        }
        self.send(pending.challenged(now));
    }

    /// The relay's idea of our allocation is not ours. spec: data-plane 4.4, rows 437
    fn on_mismatch(&mut self, request: Request, now: Instant) {
        let owner = match request {
            Request::ChannelBind { peer, .. } => self.channels.owner_of(peer),
            _ => None,
        };
        self.invalidate();
        match (request, self.link.active) {
            (Request::Binding, _) | (_, None) => {}
            (Request::Allocate, Some(server)) => {
                if self.may_retry() {
                    self.send(Pending::new(Request::Release, server, now));
                }
            }
            (Request::Refresh | Request::Release, _) => self.allocate_again(now),
            (Request::ChannelBind { peer, .. }, _) => {
                if let Some(owner) = owner {
                    self.bind(peer, owner, now);
                }
                self.allocate_again(now);
            }
        }
    }

    fn on_error(&mut self, request: Request, code: u16) {
        tracing::debug!(relay = %self.relay.id, method = request.name(), code, "Relay refused a request");
        match request {
            Request::Allocate => self.suspend(),
            Request::ChannelBind { number, .. } => self.channels.forget(number),
            Request::Binding | Request::Refresh | Request::Release => {}
        }
    }

    fn allocate_again(&mut self, now: Instant) {
        if self.may_retry() {
            self.allocate(now);
        }
    }

    /// Counts one more round without success; too many of them suspend the allocation.
    fn may_retry(&mut self) -> bool {
        self.conflicts += 1;
        let may_retry = self.conflicts <= MAX_ROUNDS;
        if !may_retry {
            self.conflicts = 0;
            self.suspend();
        }
        may_retry
    }

    fn suspend(&mut self) {
        self.standing = Standing::Suspended;
        self.waiting.clear();
        self.events.push_back(AllocationEvent::Suspended);
    }

    /// The relay will never serve us with what we have.
    fn refuse(&mut self) {
        self.invalidate();
        self.credentials = None;
        self.link = Link::default();
        self.standing = Standing::Failed;
    }
}

/// Exponential average of round trips. spec: data-plane 4.5
fn smoothed(old: Option<Duration>, sample: Duration) -> Duration {
    old.map_or(sample, |old| old.mul_f64(0.875) + sample.mul_f64(0.125))
}
