//! What happened to one part reaches the others, until no part has anything left to say.

use super::Connectivity;
use crate::{Event, connection::Connection, deadlines::Owner, relay::AllocationEvent};
use model::RelayId;
use std::time::{Duration, Instant};

/// A relay that was silent for this long while others answered is taken for dead.
const SILENCE: Duration = Duration::from_secs(3);

impl Connectivity {
    /// Follows up on every relay and connection that was touched since the last call.
    pub(super) fn propagate(&mut self, now: Instant) {
        loop {
            if let Some(id) = self.relays.pop_touched() {
                self.propagate_relay(id, now);
            } else if let Some(slot) = self.connections.pop_dirty() {
                self.propagate_connection(slot, now);
            } else {
                break;
            }
        }
    }

    fn propagate_relay(&mut self, id: RelayId, now: Instant) {
        self.relays.flush(id, &mut self.queue);
        while let Some(event) = self.relays.poll_event(id) {
            self.handle_allocation(id, event, now);
        }
        self.relays.flush(id, &mut self.queue);
        let Some(allocation) = self.relays.get(id) else {
            return;
        };
        if allocation.is_gone() {
            tracing::debug!(relay = %id, "Relay is gone");
            self.relays.remove(id);
            self.forget_relay(id, now);
            self.report_exhaustion();
        } else {
            let deadline = allocation.deadline();
            self.deadlines.set(Owner::Relay(id), deadline);
        }
    }

    fn propagate_connection(&mut self, slot: usize, now: Instant) {
        let driven = self.with_connection(slot, now, |connection, cx| {
            let failure = connection.drive(cx);
            (connection.peer(), failure, connection.take_established())
        });
        let Some((peer, failure, is_established)) = driven else {
            return;
        };
        if is_established {
            self.events.push_back(Event::Established { peer });
        }
        if let Some(reason) = failure {
            tracing::debug!(%peer, %reason, "Connection closed");
            self.discard(slot);
            self.events.push_back(Event::Closed { peer, reason });
            return;
        }
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let (deadline, has_signals) = (
            connection.deadline(now, self.epoch.0),
            connection.has_signals(),
        );
        self.deadlines.set(Owner::Connection(slot), deadline);
        if has_signals {
            self.connections.mark_signalling(slot);
        }
    }

    fn handle_allocation(&mut self, id: RelayId, event: AllocationEvent, now: Instant) {
        let uses = |connection: &Connection| connection.relay() == Some(id);
        match event {
            AllocationEvent::Reached { local, mapped } => {
                let change = self.local_candidates.observe(id, local, mapped);
                self.broadcast(&change, now);
                self.find_relays(now);
            }
            AllocationEvent::Granted { address, local } => {
                self.with_connections(now, |connection, cx| {
                    if uses(connection) {
                        connection.grant(address, local, cx);
                    }
                });
            }
            AllocationEvent::Revoked { address } => self.with_connections(now, |connection, cx| {
                if uses(connection) {
                    connection.revoke(address, cx);
                }
            }),
            AllocationEvent::ChannelBound { peer } => {
                self.with_connections(now, |connection, cx| {
                    if uses(connection) {
                        connection.channel_bound(peer, cx);
                    }
                });
            }
            AllocationEvent::Suspended => self.migrate(id, now),
            AllocationEvent::Silent => {
                let since = now.checked_sub(SILENCE).unwrap_or(now);
                if self.relays.has_other_answer(id, since) {
                    tracing::debug!(relay = %id, "Relay is silent");
                    if let Some(allocation) = self.relays.get_mut(id) {
                        allocation.restart(now);
                    }
                    self.migrate(id, now);
                }
            }
        }
    }

    /// A relay is gone: connections look for another one.
    pub(super) fn forget_relay(&mut self, id: RelayId, now: Instant) {
        if self.relays.get(id).is_none() {
            self.deadlines.set(Owner::Relay(id), None);
        }
        self.local_candidates.orphan(id);
        self.migrate(id, now);
    }

    /// Tells the owner if there is no relay left.
    pub(super) fn report_exhaustion(&mut self) {
        if self.relays.is_empty() && self.events.back() != Some(&Event::NoRelays) {
            self.events.push_back(Event::NoRelays);
        }
    }

    fn migrate(&mut self, id: RelayId, now: Instant) {
        self.with_connections(now, |connection, cx| {
            if connection.relay() == Some(id) {
                connection.leave_relay(cx);
                connection.join_relay(cx);
            }
        });
    }

    /// Gives a relay to connections that found none usable so far.
    fn find_relays(&mut self, now: Instant) {
        let is_wanted = self
            .connections
            .iter()
            .any(|connection| connection.relay().is_none());
        if is_wanted {
            self.with_connections(now, |connection, cx| connection.join_relay(cx));
        }
    }
}
