//! Connectivity checks of the peer, and its answers to ours. spec: data-plane 2.10

use super::{Arrival, CheckId, Connection, Context, path};
use crate::{DropReason, Received};
use is::stun::StunMessage;
use std::net::SocketAddr;

const UNKNOWN: Received = Received::Dropped(DropReason::UnknownCheck);

impl Connection {
    /// Handles a check of the peer.
    ///
    /// It may have been sent before, by anybody: it says nothing about where the peer is now, nor
    /// whether it still is.
    pub(crate) fn handle_request(
        &mut self,
        arrival: Arrival<'_>,
        request: StunMessage<'_>,
        cx: &mut Context<'_>,
    ) -> Received {
        let (local, remote) = (arrival.destination, arrival.source);
        if !self.remote.has_address(remote) && !self.reflexive.contains(remote) {
            if !self.agent.accepts(&request, local) {
                return UNKNOWN;
            }
            if !self.reflexive.admit(remote) {
                self.probe(local, remote, cx);
                return Received::Dropped(DropReason::UnprovenSource);
            }
            self.agent.note_reflexive();
        }
        if !self.agent.handle_check(remote, local, request, cx.now) {
            return UNKNOWN;
        }
        self.reflexive.on_check(remote);
        // The answer goes out before anything else that this draws.
        self.advance_agent(cx);
        if let Some(check) = self.checks.triggered(local, remote, cx.now) {
            self.send_check(local, remote, &check, cx);
        }
        self.is_dirty = true;
        Received::Consumed
    }

    /// Handles the answer to a check of the agent.
    pub(crate) fn handle_answer(
        &mut self,
        id: CheckId,
        arrival: Arrival<'_>,
        answer: StunMessage<'_>,
        cx: &mut Context<'_>,
    ) -> Received {
        let (local, remote) = (arrival.destination, arrival.source);
        if !self.agent.handle_check(remote, local, answer, cx.now) {
            return UNKNOWN;
        }
        cx.transactions.answered(&id);
        self.checks.answered(&id);
        self.reflexive.prove(remote, false, cx.now);
        self.on_authenticated(cx.now);
        self.is_dirty = true;
        Received::Consumed
    }

    /// Handles the answer to a check that nothing was kept about: the peer is at `remote`, and its
    /// next check from there is let in.
    pub(crate) fn handle_proof(
        &mut self,
        remote: SocketAddr,
        answer: StunMessage<'_>,
        cx: &mut Context<'_>,
    ) -> Received {
        if !self.agent.is_answer(&answer) {
            return UNKNOWN;
        }
        if !self.remote.has_address(remote) && !self.reflexive.contains(remote) {
            self.agent.note_reflexive();
            self.reflexive.prove(remote, true, cx.now);
        }
        self.on_authenticated(cx.now);
        self.is_dirty = true;
        Received::Consumed
    }

    /// Sends a message of the agent, unless its destination has had all that it may get unproven.
    pub(super) fn send_check(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        message: &[u8],
        cx: &mut Context<'_>,
    ) {
        if self.reflexive.may_send(destination, cx.now) {
            path::send_between(self.relay, source, destination, message, cx);
        }
    }

    /// Asks whether the peer is at an address that has no place. This is all that goes there: one
    /// datagram for one, and none larger than what came.
    fn probe(&self, local: SocketAddr, remote: SocketAddr, cx: &mut Context<'_>) {
        let id = cx.probes.id(self.origin.slot, local, remote, cx.now);
        if let Some(check) = self.agent.probe(&id, local) {
            path::send_between(self.relay, local, remote, &check, cx);
        }
    }
}
