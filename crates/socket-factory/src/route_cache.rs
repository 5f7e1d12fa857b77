//! Which source address reaches which destination outside of the tunnel.
//!
//! Shared by all sockets of a factory. No lock is held while the resolver works, so a slow resolver
//! delays only the socket that asks. spec: client-app 11.3, platform 11.2

use lru::LruCache;
use parking_lot::Mutex;
use std::{io, net::IpAddr, num::NonZeroUsize, sync::Arc};

/// Finds the source address that reaches a destination outside of the tunnel.
///
/// `None` means that the system's own choice is right. The call may be slow; its answer is kept
/// until the factory is reset, its failure is not.
pub type SourceResolver = Arc<dyn Fn(IpAddr) -> io::Result<Option<IpAddr>> + Send + Sync>;

/// Destinations remembered: gateways, relays and resolvers many times over.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not zero");

/// The answers of a resolver until the network changes.
pub(crate) struct RouteCache {
    resolver: SourceResolver,
    table: Mutex<Table>,
}

struct Table {
    sources: LruCache<IpAddr, Option<IpAddr>>,
    // Counts resets, so that an answer computed before a reset is not stored after it.
    epoch: u64,
}

impl RouteCache {
    pub(crate) fn new(resolver: SourceResolver) -> Self {
        let table = Table {
            // Grows on demand: most processes know a handful of destinations.
            sources: LruCache::unbounded(),
            epoch: 0,
        };
        Self {
            resolver,
            table: Mutex::new(table),
        }
    }

    /// The source for a destination; `None` lets the system choose.
    ///
    /// # Errors
    ///
    /// Those of the resolver; they are not remembered.
    pub(crate) fn source(&self, destination: IpAddr) -> io::Result<Option<IpAddr>> {
        let epoch = {
            let mut table = self.table.lock();
            if let Some(source) = table.sources.get(&destination) {
                return Ok(*source);
            }
            table.epoch
        };
        let computed = (self.resolver)(destination)?;
        Ok(self.table.lock().insert(destination, computed, epoch))
    }

    /// Forgets a source that turned out to be outdated, and asks again.
    ///
    /// # Errors
    ///
    /// Those of the resolver.
    pub(crate) fn correct(
        &self,
        destination: IpAddr,
        outdated: Option<IpAddr>,
    ) -> io::Result<Option<IpAddr>> {
        {
            let mut table = self.table.lock();
            // Another socket may have corrected the entry since; its answer is fresh enough.
            if table.sources.peek(&destination) == Some(&outdated) {
                table.sources.pop(&destination);
            }
        }
        self.source(destination)
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        let mut table = self.table.lock();
        table.sources.clear();
        table.epoch += 1;
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.table.lock().sources.len()
    }
}

impl Table {
    /// Stores an answer and returns the one that counts: of concurrent answers the first.
    fn insert(
        &mut self,
        destination: IpAddr,
        computed: Option<IpAddr>,
        epoch: u64,
    ) -> Option<IpAddr> {
        if epoch != self.epoch {
            return computed;
        }
        if let Some(first) = self.sources.get(&destination) {
            return *first;
        }
        if self.sources.len() >= CAPACITY.get() {
            self.sources.pop_lru();
        }
        self.sources.put(destination, computed);
        computed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::Ipv4Addr,
        sync::{
            Arc, Barrier,
            atomic::{AtomicU8, AtomicUsize, Ordering},
            mpsc,
        },
    };

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

    fn source(last: u8) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    /// A cache whose resolver answers 192.0.2.1, then 192.0.2.2 and so on.
    fn counting() -> (Arc<RouteCache>, Arc<AtomicU8>) {
        let calls = Arc::new(AtomicU8::new(0));
        let counter = Arc::clone(&calls);
        let resolver: SourceResolver =
            Arc::new(move |_| Ok(source(counter.fetch_add(1, Ordering::SeqCst) + 1)));
        (Arc::new(RouteCache::new(resolver)), calls)
    }

    #[test]
    fn second_look_up_asks_nobody() {
        let (cache, calls) = counting();
        assert_eq!(cache.source(PEER).unwrap(), source(1));
        assert_eq!(cache.source(PEER).unwrap(), source(1));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn reset_forgets_everything() {
        let (cache, _) = counting();
        assert_eq!(cache.source(PEER).unwrap(), source(1));
        cache.reset();
        assert_eq!(cache.source(PEER).unwrap(), source(2));
    }

    #[test]
    fn failed_look_up_is_repeated() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let cache = RouteCache::new(Arc::new(move |_| {
            match counter.fetch_add(1, Ordering::SeqCst) {
                0 => Err(io::ErrorKind::HostUnreachable.into()),
                _ => Ok(source(9)),
            }
        }));
        let fault = cache.source(PEER).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::HostUnreachable);
        assert_eq!(cache.source(PEER).unwrap(), source(9));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn absence_of_a_source_is_an_answer_too() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let cache = RouteCache::new(Arc::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(None)
        }));
        assert_eq!(cache.source(PEER).unwrap(), None);
        assert_eq!(cache.source(PEER).unwrap(), None);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn corrected_entry_is_not_corrected_again_by_a_late_complaint() {
        let (cache, calls) = counting();
        assert_eq!(cache.source(PEER).unwrap(), source(1));
        assert_eq!(cache.correct(PEER, source(1)).unwrap(), source(2));
        assert_eq!(cache.correct(PEER, source(1)).unwrap(), source(2));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn least_recently_used_destination_makes_room() {
        let (cache, calls) = counting();
        let resolver: SourceResolver = Arc::new(|_| Ok(None));
        let cache = RouteCache {
            resolver,
            ..Arc::into_inner(cache).unwrap()
        };
        for i in 0..2000_u32 {
            cache.source(IpAddr::V4(Ipv4Addr::from(i))).unwrap();
            cache.source(IpAddr::V4(Ipv4Addr::from(0))).unwrap();
        }
        assert_eq!(cache.len(), CAPACITY.get());
        let mut table = cache.table.lock();
        assert!(table.sources.get(&IpAddr::from([0, 0, 0, 0])).is_some());
        assert!(table.sources.get(&IpAddr::from([0, 0, 0, 1])).is_none());
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn concurrent_misses_agree() {
        let threads = 8;
        let barrier = Arc::new(Barrier::new(threads));
        let calls = Arc::new(AtomicU8::new(0));
        let (gate, counter) = (Arc::clone(&barrier), Arc::clone(&calls));
        // All threads are inside the resolver before the first may leave it.
        let cache = Arc::new(RouteCache::new(Arc::new(move |_| {
            gate.wait();
            Ok(source(counter.fetch_add(1, Ordering::SeqCst)))
        })));
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let cache = Arc::clone(&cache);
                std::thread::spawn(move || cache.source(PEER).unwrap())
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
        let slow = IpAddr::from([203, 0, 113, 1]);
        let cache = Arc::new(RouteCache::new(Arc::new(move |destination| {
            if destination == slow {
                entered_tx.send(()).unwrap();
                leave_rx.lock().recv().unwrap();
            }
            Ok(source(7))
        })));
        let other = Arc::clone(&cache);
        let thread = std::thread::spawn(move || other.source(slow).unwrap());
        entered.recv().unwrap();
        // The resolver is still busy with the slow destination.
        assert_eq!(cache.source(PEER).unwrap(), source(7));
        cache.reset();
        leave.send(()).unwrap();
        assert_eq!(thread.join().unwrap(), source(7));
        assert_eq!(cache.len(), 0, "an answer from before the reset was kept");
    }
}
