//! Remembers which peer the packets of a flow go to.

use lru::LruCache;
use model::PeerId;
use std::{net::IpAddr, num::NonZeroUsize};

/// Destinations that are remembered.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not 0");

/// The peers of destinations whose packets are forwarded without further checks.
#[derive(Debug)]
pub(crate) struct PeerCache {
    /// The latest one again: bulk transfers ask for nothing else.
    latest: Option<(IpAddr, PeerId)>,
    all: LruCache<IpAddr, PeerId>,
}

impl PeerCache {
    pub(crate) fn new() -> Self {
        Self {
            latest: None,
            all: LruCache::new(CAPACITY),
        }
    }

    pub(crate) fn get(&mut self, destination: IpAddr) -> Option<PeerId> {
        if let Some((address, peer)) = self.latest
            && address == destination
        {
            return Some(peer);
        }
        let peer = *self.all.get(&destination)?;
        self.latest = Some((destination, peer));
        Some(peer)
    }

    pub(crate) fn insert(&mut self, destination: IpAddr, peer: PeerId) {
        self.latest = Some((destination, peer));
        self.all.put(destination, peer);
    }

    pub(crate) fn forget(&mut self, destination: IpAddr) {
        self.latest = None;
        self.all.pop(&destination);
    }

    pub(crate) fn clear(&mut self) {
        self.latest = None;
        self.all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_and_least_used_destinations_are_unknown() {
        let ip = |n: u16| IpAddr::from([10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
        let peer = |n: u8| PeerId::from_bytes([n; 16]);
        let mut peers = PeerCache::new();
        for n in 0..1025 {
            peers.insert(ip(n), peer(1));
        }
        assert_eq!(peers.get(ip(0)), None);
        assert_eq!(peers.get(ip(1)), Some(peer(1)));
        peers.insert(ip(1), peer(2));
        assert_eq!(peers.get(ip(1)), Some(peer(2)));
        peers.forget(ip(1));
        assert_eq!(peers.get(ip(1)), None);
        assert_eq!(peers.get(ip(2)), Some(peer(1)));
        peers.clear();
        assert_eq!(peers.get(ip(2)), None);
    }
}
