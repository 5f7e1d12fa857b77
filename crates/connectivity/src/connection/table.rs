//! All connections, and the ways to find the one that something is for. spec: data-plane 6.2

use super::Connection;
use crate::Authorization;
use model::{PeerId, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

/// Connections in numbered slots, with an index for each way to be addressed.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    by_peer: BTreeMap<PeerId, usize>,
    /// The upper 24 bits of WireGuard's session indices.
    by_index: BTreeMap<u32, usize>,
    by_key: BTreeMap<PublicKey, usize>,
    /// The USERNAME of connectivity checks to us.
    by_username: BTreeMap<String, usize>,
    dirty: BTreeSet<usize>,
    /// Slots of connections with something to signal.
    signalling: BTreeSet<usize>,
}

impl Connections {
    /// The slot that the next connection gets.
    pub(crate) fn vacant(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Adds a connection with a session index that no other one has.
    pub(crate) fn insert(&mut self, connection: Connection, index: u32) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let authorization = connection.authorization();
        self.by_username.insert(username(authorization), slot);
        self.by_key.insert(authorization.public_key, slot);
        self.by_peer.insert(connection.peer(), slot);
        self.by_index.insert(index, slot);
        self.slots[slot] = Some(connection);
        self.mark(slot);
        slot
    }

    /// Removes a connection.
    pub(crate) fn remove(&mut self, slot: usize) -> Option<Connection> {
        let connection = self.slots.get_mut(slot)?.take()?;
        self.by_peer.retain(|_, other| *other != slot);
        self.by_index.retain(|_, other| *other != slot);
        self.by_key.retain(|_, other| *other != slot);
        self.by_username.retain(|_, other| *other != slot);
        self.dirty.remove(&slot);
        self.signalling.remove(&slot);
        self.free.push(slot);
        Some(connection)
    }

    /// Removes all connections.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The connection in a slot.
    pub(crate) fn get(&self, slot: usize) -> Option<&Connection> {
        self.slots.get(slot)?.as_ref()
    }

    /// The connection in a slot.
    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Connection> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// The slot of the connection with this peer.
    pub(crate) fn with_peer(&self, peer: PeerId) -> Option<usize> {
        self.by_peer.get(&peer).copied()
    }

    /// The slot of the connection that owns this session index of ours.
    pub(crate) fn with_session(&self, index: u32) -> Option<usize> {
        self.by_index.get(&(index >> 8)).copied()
    }

    /// The slot of the connection with the owner of this key.
    pub(crate) fn with_key(&self, key: PublicKey) -> Option<usize> {
        self.by_key.get(&key).copied()
    }

    /// The slot of the connection that a connectivity check with this USERNAME is for.
    pub(crate) fn with_username(&self, username: &str) -> Option<usize> {
        self.by_username.get(username).copied()
    }

    /// Whether a session index is taken.
    pub(crate) fn has_index(&self, index: u32) -> bool {
        self.by_index.contains_key(&index)
    }

    /// All connections, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().flatten()
    }

    /// Shows every connection to `act`, and remembers which ones have something to do afterwards.
    pub(crate) fn for_each(&mut self, mut act: impl FnMut(&mut Connection)) {
        for (slot, connection) in self.slots.iter_mut().enumerate() {
            let Some(connection) = connection else {
                continue;
            };
            act(connection);
            if connection.is_dirty() {
                self.dirty.insert(slot);
            }
        }
    }

    /// A connection has something to do.
    pub(crate) fn mark(&mut self, slot: usize) {
        self.dirty.insert(slot);
    }

    /// Takes one connection that has something to do.
    pub(crate) fn pop_dirty(&mut self) -> Option<usize> {
        self.dirty.pop_first()
    }

    /// A connection has something to signal.
    pub(crate) fn mark_signalling(&mut self, slot: usize) {
        self.signalling.insert(slot);
    }

    /// A connection that has something to signal.
    pub(crate) fn signalling(&mut self) -> Option<&mut Connection> {
        while let Some(&slot) = self.signalling.first() {
            let is_done = self
                .get_mut(slot)
                .is_none_or(|connection| !connection.has_signals());
            if !is_done {
                return self.get_mut(slot);
            }
            self.signalling.remove(&slot);
        }
        None
    }
}

/// What the peer puts in front of its checks: our fragment, then its own.
fn username(authorization: &Authorization) -> String {
    format!(
        "{}:{}",
        authorization.local_ice.username, authorization.remote_ice.username
    )
}
