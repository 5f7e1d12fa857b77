//! Addresses of both ends that come and go while a connection lives. spec: data-plane 2.6, 2.9, 2.18

use super::{Connection, Context, path};
use crate::{Event, candidate, relay::Allocation};
use model::{Candidate, CandidateKind, RelayId};
use std::net::SocketAddr;

impl Connection {
    /// An address of this host.
    pub(crate) fn add_host(&mut self, address: SocketAddr) {
        let added = candidate::host(address).and_then(|host| self.agent.add_local(host));
        if let Some(added) = added {
            self.signals.add(added);
            self.is_dirty = true;
        }
    }

    /// An address of this host that is not used any more.
    pub(crate) fn remove_host(&mut self, address: SocketAddr, cx: &Context<'_>) {
        let Some(host) = candidate::host(address) else {
            return;
        };
        if self.agent.invalidate(&host) {
            if let Ok(removed) = host.to_sdp_string().parse() {
                self.signals.remove(&removed);
            }
            self.leave_end(address, cx);
        }
    }

    /// An address a relay sees us at. The agent sends from the host address behind it anyway.
    pub(crate) fn add_reflexive(&mut self, candidate: Candidate) {
        self.signals.add(candidate);
        self.is_dirty = true;
    }

    /// An address no relay sees us at any more.
    pub(crate) fn remove_reflexive(&mut self, candidate: &Candidate) {
        self.signals.remove(candidate);
        self.is_dirty = true;
    }

    /// The relay this connection uses.
    pub(crate) fn relay(&self) -> Option<RelayId> {
        self.relay
    }

    /// Chooses a relay if there is none yet.
    pub(crate) fn join_relay(&mut self, cx: &mut Context<'_>) {
        if self.relay.is_some() {
            return;
        }
        self.relay = cx.relays.choose();
        let granted: Vec<_> = self
            .relay
            .and_then(|id| cx.relays.get(id))
            .into_iter()
            .flat_map(Allocation::granted)
            .collect();
        for (address, local) in granted {
            self.add_relayed(address, local);
        }
        self.activity.changed = cx.now;
        self.open_channels(cx);
    }

    /// Gives up the relay, with all candidates and paths through it.
    pub(crate) fn leave_relay(&mut self, cx: &Context<'_>) {
        for (own, signalled) in std::mem::take(&mut self.relayed) {
            self.agent.invalidate(&own);
            self.signals.remove(&signalled);
            self.leave_end(signalled.address, cx);
        }
        self.relay = None;
        self.is_dirty = true;
    }

    /// Our relay opened an address for us.
    pub(crate) fn grant(&mut self, address: SocketAddr, local: SocketAddr, cx: &mut Context<'_>) {
        self.add_relayed(address, local);
        self.activity.changed = cx.now;
        self.open_channels(cx);
    }

    /// Our relay closed an address.
    pub(crate) fn revoke(&mut self, address: SocketAddr, cx: &Context<'_>) {
        let (revoked, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.relayed)
            .into_iter()
            .partition(|(_, signalled)| signalled.address == address);
        self.relayed = kept;
        for (own, signalled) in revoked {
            self.agent.invalidate(&own);
            self.signals.remove(&signalled);
        }
        self.leave_end(address, cx);
    }

    /// Our relay forwards between us and this address from now on.
    pub(crate) fn channel_bound(&mut self, address: SocketAddr, cx: &mut Context<'_>) {
        for (source, destination, message) in self.checks.opened(address, cx.now) {
            if path::owner(self.relay, source, cx.relays).is_some() {
                self.send_check(source, destination, &message, cx);
            }
        }
    }

    /// The peer signalled an address. spec: data-plane 2.9
    pub(crate) fn add_remote(&mut self, candidate: &Candidate, cx: &mut Context<'_>) {
        let Some(remote) = candidate::remote(candidate).filter(|_| self.is_current(candidate))
        else {
            return;
        };
        if self.path.is_some() && self.remote.contains(candidate) {
            // A gateway repeats itself with every authorization; what failed need not be tried again.
            return self.wake(cx.now);
        }
        let Some(guesses) = self.remote.add(candidate) else {
            return;
        };
        self.waiting.has_remote_candidate = true;
        self.activity.changed = cx.now;
        self.agent.add_remote(remote);
        self.reflexive.remove(candidate.address);
        if candidate.kind != CandidateKind::Host {
            self.open_channel(candidate.address, cx);
        }
        for guess in guesses.iter().filter_map(candidate::remote) {
            self.reflexive.remove(guess.addr());
            self.agent.add_remote(guess);
        }
        if self.path.is_none() {
            self.checks.plan_bursts(cx.now);
        }
        self.wake(cx.now);
        self.is_dirty = true;
    }

    /// The peer is no longer at this address.
    pub(crate) fn remove_remote(&mut self, candidate: &Candidate, cx: &mut Context<'_>) {
        let Some(guesses) = self.remote.remove(candidate) else {
            return;
        };
        let guesses = guesses.into_iter().map(|address| Candidate {
            address,
            ..candidate.clone()
        });
        for gone in std::iter::once(candidate.clone()).chain(guesses) {
            if let Some(allocation) = self.relay.and_then(|id| cx.relays.get_mut(id)) {
                allocation.release(gone.address, self.peer());
            }
            // The agent looks among our own addresses first, and two networks may share some.
            if self.agent.has_local(gone.address) {
                continue;
            }
            if let Some(remote) = candidate::remote(&gone) {
                self.agent.invalidate(&remote);
            }
            self.leave_end(gone.address, cx);
        }
        self.wake(cx.now);
        self.is_dirty = true;
    }

    /// Whether there is anything to tell the peer.
    pub(crate) fn has_signals(&self) -> bool {
        !self.signals.is_empty()
    }

    /// The next thing to tell the peer.
    pub(crate) fn poll_signal(&mut self) -> Option<Event> {
        let peer = self.peer();
        if let Some(candidates) = self.signals.take_removed() {
            return Some(Event::CandidatesRemoved { peer, candidates });
        }
        let candidates = self.signals.take_added()?;
        Some(Event::CandidatesAdded { peer, candidates })
    }

    fn add_relayed(&mut self, address: SocketAddr, local: SocketAddr) {
        let Some(own) = candidate::relayed(address, local) else {
            return;
        };
        if let Some(signalled) = self.agent.add_local(own.clone()) {
            self.signals.add(signalled.clone());
            self.relayed.push((own, signalled));
            self.is_dirty = true;
        }
    }

    /// Binds a channel for every candidate of the peer that our relay needs a permission for.
    fn open_channels(&mut self, cx: &mut Context<'_>) {
        let addresses: Vec<_> = self.remote.needing_permission().collect();
        for address in addresses {
            self.open_channel(address, cx);
        }
    }

    fn open_channel(&self, address: SocketAddr, cx: &mut Context<'_>) {
        if let Some(allocation) = self.relay.and_then(|id| cx.relays.get_mut(id)) {
            allocation.bind(address, self.peer(), cx.now);
        }
    }

    /// Gives up the path if it starts or ends at this address; the agent finds another one.
    fn leave_end(&mut self, address: SocketAddr, cx: &Context<'_>) {
        if self
            .path
            .is_some_and(|path| path.source == address || path.destination == address)
        {
            self.lose_path(cx.now);
        }
        self.is_dirty = true;
    }

    /// Whether a candidate belongs to this ICE session.
    fn is_current(&self, candidate: &Candidate) -> bool {
        candidate
            .ufrag
            .as_ref()
            .is_none_or(|ufrag| *ufrag == self.authorization().remote_ice.username)
    }
}
