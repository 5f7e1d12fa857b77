//! One client's ports and channels. spec: data-plane 5.4, 5.5

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a channel forwards after it was bound.
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

/// How long its number and its peer stay reserved after that.
const CHANNEL_COOLDOWN: Duration = Duration::from_secs(300);

/// A pair of a number and a peer.
#[derive(Debug, Clone, Copy)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    bound_at: Instant,
}

impl Channel {
    fn is_active(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.bound_at) < CHANNEL_LIFETIME
    }

    fn is_reserved(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.bound_at) < CHANNEL_LIFETIME + CHANNEL_COOLDOWN
    }
}

/// Why a channel cannot be bound.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict;

/// What a client got.
#[derive(Debug)]
pub(super) struct Allocation {
    /// The port, the same in both families.
    pub(super) port: u16,
    pub(super) v4: bool,
    pub(super) v6: bool,
    pub(super) username: String,
    pub(super) expires_at: Instant,
    by_number: BTreeMap<u16, Channel>,
    by_peer: BTreeMap<SocketAddr, u16>,
}

impl Allocation {
    pub(super) fn new(port: u16, (v4, v6): (bool, bool), username: &str, until: Instant) -> Self {
        let username = username.to_owned();
        let (by_number, by_peer) = (BTreeMap::new(), BTreeMap::new());
        Self {
            port,
            v4,
            v6,
            username,
            expires_at: until,
            by_number,
            by_peer,
        }
    }

    /// Whether the allocation has an address of the peer's family.
    pub(super) fn reaches(&self, peer: SocketAddr) -> bool {
        if peer.is_ipv4() { self.v4 } else { self.v6 }
    }

    /// Binds or refreshes a channel.
    pub(super) fn bind(
        &mut self,
        number: u16,
        peer: SocketAddr,
        now: Instant,
    ) -> Result<(), Conflict> {
        self.forget_expired(now);
        if self
            .by_peer
            .get(&peer)
            .is_some_and(|&other| other != number)
            || self
                .by_number
                .get(&number)
                .is_some_and(|channel| channel.peer != peer)
        {
            return Err(Conflict);
        }
        self.by_number.insert(
            number,
            Channel {
                number,
                peer,
                bound_at: now,
            },
        );
        self.by_peer.insert(peer, number);
        Ok(())
    }

    /// The peer behind a channel that forwards.
    pub(super) fn peer(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let channel = self.by_number.get(&number)?;
        channel.is_active(now).then_some(channel.peer)
    }

    /// The channel of exactly this peer, if it forwards.
    pub(super) fn channel(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let channel = self.by_number.get(self.by_peer.get(&peer)?)?;
        channel.is_active(now).then_some(channel.number)
    }

    fn forget_expired(&mut self, now: Instant) {
        self.by_number.retain(|_, channel| channel.is_reserved(now));
        let known = &self.by_number;
        self.by_peer.retain(|_, number| known.contains_key(number));
    }
}
