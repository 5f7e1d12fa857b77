//! Addresses that checks of the peer come from though nobody signalled them. RFC 8445 section 7.3.1.3
//!
//! Integrity says that the peer made a check, and nothing about where it was sent from or when:
//! whoever has seen one can send it again from any address. So until an address has answered a
//! check of ours, it gets little, and few of them are known to the agent at a time.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How many addresses the agent learns of before they have answered. They are the first ones, and
/// keep their places: whoever comes later has to answer first, and needs no place for that.
const MAX_UNPROVEN: usize = 8;
/// How many that have answered are kept, the latest ones.
const MAX_PROVEN: usize = 16;
/// Datagrams that one check of an address that has not answered is worth: the answer, our check and
/// a repetition of it.
const CREDIT: u8 = 3;
/// How long an answer counts: longer than two checks of an idle connection are apart.
const PROOF: Duration = Duration::from_secs(60);

/// An address that checks came from.
#[derive(Debug)]
struct Source {
    address: SocketAddr,
    /// When it last answered.
    proven: Option<Instant>,
    /// How many datagrams it may be sent without an answer.
    credit: u8,
}

/// The addresses of the peer that we only know from its checks.
#[derive(Debug, Default)]
pub(crate) struct ReflexiveSources(VecDeque<Source>);

impl ReflexiveSources {
    /// Whether the agent may know this address; if not, it has to answer first.
    pub(crate) fn admit(&mut self, address: SocketAddr) -> bool {
        if self.find(address).is_some() {
            return true;
        }
        let unproven = self.0.iter().filter(|source| source.proven.is_none());
        let has_place = unproven.count() < MAX_UNPROVEN;
        if has_place {
            self.0.push_back(Source {
                address,
                proven: None,
                credit: 0,
            });
        }
        has_place
    }

    /// A valid check came from this address.
    pub(crate) fn on_check(&mut self, address: SocketAddr) {
        if let Some(source) = self.find(address) {
            source.credit = source.credit.saturating_add(CREDIT);
        }
    }

    /// A check of ours was answered from this address, which is taken in if it is `new`.
    pub(crate) fn prove(&mut self, address: SocketAddr, is_new: bool, now: Instant) {
        let known = self.0.iter().position(|source| source.address == address);
        if known.is_none() && !is_new {
            return;
        }
        let known = known.and_then(|index| self.0.remove(index));
        self.0.push_back(Source {
            address,
            proven: Some(now),
            credit: known.map_or(0, |source| source.credit),
        });
        let proven = |source: &Source| source.proven.is_some();
        if self.0.iter().filter(|source| proven(source)).count() > MAX_PROVEN
            && let Some(oldest) = self.0.iter().position(proven)
        {
            self.0.remove(oldest);
        }
    }

    /// Whether a datagram may go to this address, which is counted: always, if it has answered lately
    /// or the peer has signalled it.
    pub(crate) fn may_send(&mut self, address: SocketAddr, now: Instant) -> bool {
        let Some(source) = self.find(address) else {
            return true;
        };
        let is_proven = source
            .proven
            .is_some_and(|at| now.saturating_duration_since(at) < PROOF);
        if is_proven {
            return true;
        }
        let has_credit = source.credit > 0;
        source.credit = source.credit.saturating_sub(1);
        has_credit
    }

    /// Forgets an address, because the peer has signalled it.
    pub(crate) fn remove(&mut self, address: SocketAddr) {
        self.0.retain(|source| source.address != address);
    }

    /// Forgets the addresses that have never answered.
    pub(crate) fn forget_unproven(&mut self) {
        self.0.retain(|source| source.proven.is_some());
    }

    /// Whether this is such an address.
    pub(crate) fn contains(&self, address: SocketAddr) -> bool {
        self.0.iter().any(|source| source.address == address)
    }

    fn find(&mut self, address: SocketAddr) -> Option<&mut Source> {
        self.0.iter_mut().find(|source| source.address == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], n))
    }

    #[test]
    fn the_first_eight_have_places_and_keep_them() {
        let mut sources = ReflexiveSources::default();
        for n in 0..20 {
            assert_eq!(sources.admit(address(n)), n < 8, "{n}");
        }
        for n in 0..20 {
            assert_eq!(sources.admit(address(n)), n < 8, "{n}, again");
        }
        sources.remove(address(3));
        assert!(!sources.contains(address(3)));
        assert!(sources.admit(address(9)), "a place is free");
        assert!(!sources.admit(address(10)));
    }

    #[test]
    fn a_check_is_worth_three_datagrams_until_it_is_answered() {
        let now = Instant::now();
        let mut sources = ReflexiveSources::default();
        assert!(sources.admit(address(1)));
        assert!(!sources.may_send(address(1), now), "nothing valid came");
        sources.on_check(address(1));
        let sent = (0..10).filter(|_| sources.may_send(address(1), now));
        assert_eq!(sent.count(), 3);
        sources.on_check(address(1));
        sources.on_check(address(1));
        let sent = (0..10).filter(|_| sources.may_send(address(1), now));
        assert_eq!(sent.count(), 6);
        sources.prove(address(1), false, now);
        assert!((0..100).all(|_| sources.may_send(address(1), now)));
        let almost = now + PROOF - Duration::from_millis(1);
        assert!(sources.may_send(address(1), almost));
        assert!(!sources.may_send(address(1), now + PROOF), "long ago");
        assert!(sources.may_send(address(2), now), "none of ours");
    }

    #[test]
    fn credit_survives_the_proof_and_is_not_used_by_it() {
        let now = Instant::now();
        let mut sources = ReflexiveSources::default();
        sources.admit(address(1));
        sources.on_check(address(1));
        sources.prove(address(1), false, now);
        assert!(sources.may_send(address(1), now));
        let sent = (0..10).filter(|_| sources.may_send(address(1), now + PROOF));
        assert_eq!(sent.count(), 3);
    }

    #[test]
    fn proven_sources_leave_their_places_and_the_latest_sixteen_stay() {
        let now = Instant::now();
        let mut sources = ReflexiveSources::default();
        for n in 0..8 {
            sources.admit(address(n));
        }
        sources.prove(address(100), false, now);
        assert!(!sources.contains(address(100)), "neither known nor new");
        for n in 0..16 {
            sources.prove(address(n), true, now);
        }
        assert!((0..16).all(|n| sources.contains(address(n))));
        for n in 20..28 {
            assert!(sources.admit(address(n)), "{n} has a place");
        }
        // The first one answers again; the second one is the oldest then.
        sources.prove(address(0), false, now);
        sources.prove(address(16), true, now);
        assert!(sources.contains(address(0)) && !sources.contains(address(1)));
        sources.forget_unproven();
        let left: Vec<u16> = (0..30).filter(|&n| sources.contains(address(n))).collect();
        let expected: Vec<u16> = [0].into_iter().chain(2..17).collect();
        assert_eq!(left, expected);
    }
}
