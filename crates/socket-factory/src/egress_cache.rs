//! Which interface and source address reach which destination outside of the tunnel.
//!
//! Shared by all sockets of a factory. No lock is held while the resolver works, so a slow resolver
//! delays only the socket that asks. spec: client-app 11.3, platform 11.2

use lru::LruCache;
use parking_lot::Mutex;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
};

/// Where packets to a destination leave the machine outside of the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Egress {
    /// Our address to send from.
    pub source: IpAddr,
    /// Index of the interface that has this address; `None` leaves the choice to the system.
    pub interface: Option<NonZeroU32>,
}

/// Finds where packets to a destination leave the machine outside of the tunnel.
///
/// `None` means that the system's own choice is right. The call may be slow; its answer is kept
/// until the factory is reset, its failure is not.
pub type EgressResolver = Arc<dyn Fn(IpAddr) -> io::Result<Option<Egress>> + Send + Sync>;

/// Destinations remembered: gateways, relays and resolvers many times over.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not zero");

/// The answers of a resolver until the network changes.
pub(crate) struct EgressCache {
    resolver: EgressResolver,
    table: Mutex<Table>,
}

struct Table {
    answers: LruCache<IpAddr, Option<Egress>>,
    // Counts resets, so that an answer computed before a reset is not stored after it.
    epoch: u64,
}

impl EgressCache {
    pub(crate) fn new(resolver: EgressResolver) -> Self {
        let table = Table {
            // Grows on demand: most processes know a handful of destinations.
            answers: LruCache::unbounded(),
            epoch: 0,
        };
        Self {
            resolver,
            table: Mutex::new(table),
        }
    }

    /// The egress for a destination; `None` lets the system choose.
    ///
    /// # Errors
    ///
    /// Those of the resolver; they are not remembered.
    pub(crate) fn egress(&self, destination: SocketAddr) -> io::Result<Option<Egress>> {
        let Some(destination) = routed(destination) else {
            return Ok(None);
        };
        let epoch = {
            let mut table = self.table.lock();
            if let Some(egress) = table.answers.get(&destination) {
                return Ok(*egress);
            }
            table.epoch
        };
        let computed = (self.resolver)(destination)?;
        Ok(self.table.lock().insert(destination, computed, epoch))
    }

    /// Forgets an egress that turned out to be outdated, and asks again.
    ///
    /// # Errors
    ///
    /// Those of the resolver.
    pub(crate) fn correct(
        &self,
        destination: SocketAddr,
        outdated: Option<Egress>,
    ) -> io::Result<Option<Egress>> {
        {
            let mut table = self.table.lock();
            // Another socket may have corrected the entry since; its answer is fresh enough.
            if table.answers.peek(&destination.ip()) == Some(&outdated) {
                table.answers.pop(&destination.ip());
            }
        }
        self.egress(destination)
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        let mut table = self.table.lock();
        table.answers.clear();
        table.epoch += 1;
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.table.lock().answers.len()
    }
}

impl Table {
    /// Stores an answer and returns the one that counts: of concurrent answers the first.
    fn insert(
        &mut self,
        destination: IpAddr,
        computed: Option<Egress>,
        epoch: u64,
    ) -> Option<Egress> {
        if epoch != self.epoch {
            return computed;
        }
        if let Some(first) = self.answers.get(&destination) {
            return *first;
        }
        if self.answers.len() >= CAPACITY.get() {
            self.answers.pop_lru();
        }
        self.answers.put(destination, computed);
        computed
    }
}

/// The address that routes are looked up for, unless the destination names its interface itself.
fn routed(destination: SocketAddr) -> Option<IpAddr> {
    match destination {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() != 0 => None,
        _ => Some(destination.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::{Ipv4Addr, SocketAddrV6},
        sync::{
            Arc, Barrier,
            atomic::{AtomicU8, AtomicUsize, Ordering},
            mpsc,
        },
    };

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 53);

    fn egress(last: u8) -> Option<Egress> {
        Some(Egress {
            source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)),
            interface: NonZeroU32::new(u32::from(last)),
        })
    }

    fn to(address: u32) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), 53)
    }

    /// A cache whose resolver answers 192.0.2.1, then 192.0.2.2 and so on.
    fn counting() -> (Arc<EgressCache>, Arc<AtomicU8>) {
        let calls = Arc::new(AtomicU8::new(0));
        let counter = Arc::clone(&calls);
        let resolver: EgressResolver =
            Arc::new(move |_| Ok(egress(counter.fetch_add(1, Ordering::SeqCst) + 1)));
        (Arc::new(EgressCache::new(resolver)), calls)
    }

    #[test]
    fn second_look_up_asks_nobody() {
        let (cache, calls) = counting();
        assert_eq!(cache.egress(PEER).unwrap(), egress(1));
        assert_eq!(cache.egress(PEER).unwrap(), egress(1));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn reset_forgets_everything() {
        let (cache, _) = counting();
        assert_eq!(cache.egress(PEER).unwrap(), egress(1));
        cache.reset();
        assert_eq!(cache.egress(PEER).unwrap(), egress(2));
    }

    #[test]
    fn failed_look_up_is_repeated() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let cache = EgressCache::new(Arc::new(move |_| {
            match counter.fetch_add(1, Ordering::SeqCst) {
                0 => Err(io::ErrorKind::HostUnreachable.into()),
                _ => Ok(egress(9)),
            }
        }));
        let fault = cache.egress(PEER).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::HostUnreachable);
        assert_eq!(cache.egress(PEER).unwrap(), egress(9));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn absence_of_a_source_is_an_answer_too() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let cache = EgressCache::new(Arc::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(None)
        }));
        assert_eq!(cache.egress(PEER).unwrap(), None);
        assert_eq!(cache.egress(PEER).unwrap(), None);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn corrected_entry_is_not_corrected_again_by_a_late_complaint() {
        let (cache, calls) = counting();
        assert_eq!(cache.egress(PEER).unwrap(), egress(1));
        assert_eq!(cache.correct(PEER, egress(1)).unwrap(), egress(2));
        assert_eq!(cache.correct(PEER, egress(1)).unwrap(), egress(2));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn least_recently_used_destination_makes_room() {
        let (cache, calls) = counting();
        let resolver: EgressResolver = Arc::new(|_| Ok(None));
        let cache = EgressCache {
            resolver,
            ..Arc::into_inner(cache).unwrap()
        };
        for i in 0..2000_u32 {
            cache.egress(to(i)).unwrap();
            cache.egress(to(0)).unwrap();
        }
        assert_eq!(cache.len(), CAPACITY.get());
        let mut table = cache.table.lock();
        assert!(table.answers.get(&IpAddr::from([0, 0, 0, 0])).is_some());
        assert!(table.answers.get(&IpAddr::from([0, 0, 0, 1])).is_none());
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn concurrent_misses_agree() {
        let threads = 8;
        let barrier = Arc::new(Barrier::new(threads));
        let calls = Arc::new(AtomicU8::new(0));
        let (gate, counter) = (Arc::clone(&barrier), Arc::clone(&calls));
        // All threads are inside the resolver before the first may leave it.
        let cache = Arc::new(EgressCache::new(Arc::new(move |_| {
            gate.wait();
            Ok(egress(counter.fetch_add(1, Ordering::SeqCst)))
        })));
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let cache = Arc::clone(&cache);
                std::thread::spawn(move || cache.egress(PEER).unwrap())
            })
            .collect();
        let answers: Vec<_> = handles.into_iter().map(|h| h.join().unwrap()).collect();
        assert_eq!(usize::from(calls.load(Ordering::SeqCst)), threads);
        assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
    }

    #[test]
    fn resolver_may_use_the_cache_because_no_lock_is_held() {
        let (entered_tx, entered) = mpsc::channel();
        let (leave, leave_rx) = mpsc::channel::<()>();
        let leave_rx = Mutex::new(leave_rx);
        let slow = SocketAddr::from(([203, 0, 113, 1], 53));
        let cache = Arc::new(EgressCache::new(Arc::new(move |destination| {
            if destination == slow.ip() {
                entered_tx.send(()).unwrap();
                leave_rx.lock().recv().unwrap();
            }
            Ok(egress(7))
        })));
        let other = Arc::clone(&cache);
        let thread = std::thread::spawn(move || other.egress(slow).unwrap());
        entered.recv().unwrap();
        // The resolver is still busy with the slow destination.
        assert_eq!(cache.egress(PEER).unwrap(), egress(7));
        cache.reset();
        leave.send(()).unwrap();
        assert_eq!(thread.join().unwrap(), egress(7));
        assert_eq!(cache.len(), 0, "an answer from before the reset was kept");
    }

    #[test]
    fn port_and_scope_make_no_difference() {
        let (cache, calls) = counting();
        let v6 = |scope| SocketAddrV6::new("2001:db8::1".parse().unwrap(), 1, 0, scope).into();
        for destination in [PEER, SocketAddr::new(PEER.ip(), 443), v6(0), v6(7)] {
            cache.egress(destination).unwrap();
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn destination_that_names_its_interface_asks_nobody() {
        let (cache, calls) = counting();
        let link_local = |scope| SocketAddrV6::new("fe80::1".parse().unwrap(), 1, 0, scope).into();
        assert_eq!(cache.egress(link_local(3)).unwrap(), None);
        assert_eq!(cache.correct(link_local(3), None).unwrap(), None);
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        assert_eq!(cache.egress(link_local(0)).unwrap(), egress(1));
    }
}
