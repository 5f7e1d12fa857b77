//! Remembers which peer the packets of a flow go to, and which one they may come from.

use lru::LruCache;
use model::PeerId;
use std::{net::IpAddr, num::NonZeroUsize};

/// Addresses that are remembered in each direction.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not 0");

/// The peers of addresses for which everything has been checked, until something changes.
#[derive(Debug, Default)]
pub(crate) struct PeerCache {
    destinations: Recent,
    sources: Recent,
}

impl PeerCache {
    /// The peer to which packets to this address go.
    pub(crate) fn destination(&mut self, address: IpAddr) -> Option<PeerId> {
        self.destinations.get(address)
    }

    pub(crate) fn insert_destination(&mut self, address: IpAddr, peer: PeerId) {
        self.destinations.insert(address, peer);
    }

    /// The packets to this address have to be checked anew.
    pub(crate) fn forget_destination(&mut self, address: IpAddr) {
        self.destinations.forget(address);
    }

    /// The peer that may send packets from this address.
    pub(crate) fn source(&mut self, address: IpAddr) -> Option<PeerId> {
        self.sources.get(address)
    }

    pub(crate) fn insert_source(&mut self, address: IpAddr, peer: PeerId) {
        self.sources.insert(address, peer);
    }

    pub(crate) fn clear(&mut self) {
        self.destinations.clear();
        self.sources.clear();
    }
}

/// The addresses of one direction that were in use lately.
#[derive(Debug)]
struct Recent {
    /// The latest one again: bulk transfers ask for nothing else.
    latest: Option<(IpAddr, PeerId)>,
    all: LruCache<IpAddr, PeerId>,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            latest: None,
            all: LruCache::new(CAPACITY),
        }
    }
}

impl Recent {
    fn get(&mut self, address: IpAddr) -> Option<PeerId> {
        if let Some((latest, peer)) = self.latest
            && latest == address
        {
            return Some(peer);
        }
        let peer = *self.all.get(&address)?;
        self.latest = Some((address, peer));
        Some(peer)
    }

    fn insert(&mut self, address: IpAddr, peer: PeerId) {
        self.latest = Some((address, peer));
        self.all.put(address, peer);
    }

    fn forget(&mut self, address: IpAddr) {
        self.latest = None;
        self.all.pop(&address);
    }

    fn clear(&mut self) {
        self.latest = None;
        self.all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u16) -> IpAddr {
        IpAddr::from([10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]])
    }

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    #[test]
    fn forgotten_and_least_used_addresses_are_unknown() {
        let mut recent = Recent::default();
        for n in 0..1025 {
            recent.insert(ip(n), peer(1));
        }
        assert_eq!(recent.get(ip(0)), None);
        assert_eq!(recent.get(ip(1)), Some(peer(1)));
        recent.insert(ip(1), peer(2));
        assert_eq!(recent.get(ip(1)), Some(peer(2)));
        recent.forget(ip(1));
        assert_eq!(recent.get(ip(1)), None);
        assert_eq!(recent.get(ip(2)), Some(peer(1)));
        recent.clear();
        assert_eq!(recent.get(ip(2)), None);
        recent.insert(ip(1), peer(1));
        assert_eq!(recent.get(ip(2)), None);
    }

    #[test]
    fn directions_know_nothing_of_each_other() {
        let mut peers = PeerCache::default();
        peers.insert_destination(ip(1), peer(1));
        peers.insert_source(ip(2), peer(2));
        assert_eq!(peers.destination(ip(1)), Some(peer(1)));
        assert_eq!(peers.destination(ip(2)), None);
        assert_eq!(peers.source(ip(2)), Some(peer(2)));
        assert_eq!(peers.source(ip(1)), None);
        peers.insert_source(ip(1), peer(3));
        peers.forget_destination(ip(1));
        assert_eq!(peers.destination(ip(1)), None);
        assert_eq!(peers.source(ip(1)), Some(peer(3)));
        peers.clear();
        assert_eq!((peers.source(ip(1)), peers.source(ip(2))), (None, None));
    }
}
