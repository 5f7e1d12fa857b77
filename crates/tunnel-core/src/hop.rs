//! Remembers where settled flows go.

use lru::LruCache;
use model::PeerId;
use std::{net::IpAddr, num::NonZeroUsize};

/// Destinations that are remembered.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not 0");

/// The next hop of destinations whose packets simply pass.
#[derive(Debug)]
pub(crate) struct HopCache {
    /// The latest one again: bulk transfers ask for nothing else.
    latest: Option<(IpAddr, PeerId)>,
    all: LruCache<IpAddr, PeerId>,
}

impl HopCache {
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
        let mut hops = HopCache::new();
        for n in 0..1025 {
            hops.insert(ip(n), peer(1));
        }
        assert_eq!(hops.get(ip(0)), None);
        assert_eq!(hops.get(ip(1)), Some(peer(1)));
        hops.insert(ip(1), peer(2));
        assert_eq!(hops.get(ip(1)), Some(peer(2)));
        hops.forget(ip(1));
        assert_eq!(hops.get(ip(1)), None);
        assert_eq!(hops.get(ip(2)), Some(peer(1)));
        hops.clear();
        assert_eq!(hops.get(ip(2)), None);
    }
}
