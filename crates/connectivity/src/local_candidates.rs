//! Candidates of ours that every connection shares: host and server-reflexive ones. spec: data-plane 2.6

use crate::candidate;
use model::{Candidate, RelayId};
use std::{collections::BTreeMap, net::SocketAddr};

/// Most host addresses kept; the oldest goes first.
const MAX_HOSTS: usize = 16;

/// What changes about our candidates when a relay answers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CandidateChange {
    /// A host address we did not know.
    pub(crate) host_added: Option<SocketAddr>,
    /// A host address that is forgotten in its favour.
    pub(crate) host_removed: Option<SocketAddr>,
    /// A reflexive address to signal.
    pub(crate) reflexive_added: Option<Candidate>,
    /// Reflexive addresses that are no longer ours.
    pub(crate) reflexive_removed: Vec<Candidate>,
}

/// Host and server-reflexive addresses, as far as relays told us.
///
/// A reflexive address is ours for as long as a relay says so. What a relay that is gone said last
/// holds until another one of the family says something else.
#[derive(Debug, Default)]
pub(crate) struct LocalCandidates {
    hosts: Vec<SocketAddr>,
    reflexive: BTreeMap<(RelayId, Family), Candidate>,
    orphans: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

impl Family {
    const fn of(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }
}

impl LocalCandidates {
    /// Host addresses, oldest first.
    pub(crate) fn hosts(&self) -> &[SocketAddr] {
        &self.hosts
    }

    /// Reflexive addresses, each once.
    pub(crate) fn reflexive(&self) -> Vec<Candidate> {
        let mut distinct: Vec<Candidate> = Vec::new();
        for candidate in self.reflexive.values().chain(&self.orphans) {
            if !distinct
                .iter()
                .any(|known| known.address == candidate.address)
            {
                distinct.push(candidate.clone());
            }
        }
        distinct
    }

    /// Takes in a host address.
    pub(crate) fn add_host(&mut self, address: SocketAddr) -> CandidateChange {
        let mut change = CandidateChange::default();
        if !candidate::is_reachable(address) || self.hosts.contains(&address) {
            return change;
        }
        if self.hosts.len() == MAX_HOSTS {
            change.host_removed = Some(self.hosts.remove(0));
        }
        self.hosts.push(address);
        change.host_added = Some(address);
        change
    }

    /// A relay answered: it was reached from `local`, and saw us as `mapped`.
    pub(crate) fn observe(
        &mut self,
        relay: RelayId,
        local: SocketAddr,
        mapped: Option<SocketAddr>,
    ) -> CandidateChange {
        let mut change = self.add_host(local);
        let Some(candidate) = mapped
            .filter(|&mapped| candidate::is_reachable(mapped))
            .and_then(|mapped| candidate::server_reflexive(mapped, local))
        else {
            return change;
        };
        let family = Family::of(candidate.address);
        let is_known = self.is_reflexive(candidate.address);
        let old = self.reflexive.insert((relay, family), candidate.clone());
        let orphans = std::mem::take(&mut self.orphans);
        let (stale, kept): (Vec<_>, Vec<_>) = orphans
            .into_iter()
            .partition(|orphan| Family::of(orphan.address) == family);
        self.orphans = kept;
        for candidate in old.into_iter().chain(stale) {
            if !self.is_reflexive(candidate.address) {
                change.reflexive_removed.push(candidate);
            }
        }
        if !is_known {
            change.reflexive_added = Some(candidate);
        }
        change
    }

    /// The relay is gone; what it said holds until another one knows better.
    pub(crate) fn orphan(&mut self, relay: RelayId) {
        for family in [Family::V4, Family::V6] {
            if let Some(candidate) = self.reflexive.remove(&(relay, family))
                && !self.is_reflexive(candidate.address)
            {
                self.orphans.push(candidate);
            }
        }
    }

    fn is_reflexive(&self, address: SocketAddr) -> bool {
        self.reflexive
            .values()
            .chain(&self.orphans)
            .any(|candidate| candidate.address == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RelayId = RelayId::from_bytes([1; 16]);
    const B: RelayId = RelayId::from_bytes([2; 16]);

    fn host(n: u16) -> SocketAddr {
        SocketAddr::from(([192, 168, 1, 1], n))
    }

    fn mapped(n: u16) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, 1], n))
    }

    fn addresses(candidates: &[Candidate]) -> Vec<SocketAddr> {
        candidates
            .iter()
            .map(|candidate| candidate.address)
            .collect()
    }

    #[test]
    fn first_answer_teaches_both_addresses_and_repetition_nothing() {
        let mut local_candidates = LocalCandidates::default();
        let change = local_candidates.observe(A, host(1), Some(mapped(1)));
        assert_eq!(change.host_added, Some(host(1)));
        assert_eq!(change.reflexive_added.unwrap().address, mapped(1));
        assert!(change.reflexive_removed.is_empty());
        for relay in [A, B] {
            let change = local_candidates.observe(relay, host(1), Some(mapped(1)));
            assert_eq!(change, CandidateChange::default());
        }
        assert_eq!(local_candidates.hosts(), [host(1)]);
        assert_eq!(addresses(&local_candidates.reflexive()), [mapped(1)]);
    }

    #[test]
    fn a_changed_mapping_replaces_the_old_one_once_no_relay_sees_it() {
        let mut local_candidates = LocalCandidates::default();
        local_candidates.observe(A, host(1), Some(mapped(1)));
        local_candidates.observe(B, host(1), Some(mapped(1)));
        let change = local_candidates.observe(A, host(1), Some(mapped(2)));
        assert_eq!(change.reflexive_added.unwrap().address, mapped(2));
        assert!(
            change.reflexive_removed.is_empty(),
            "the other relay still sees it"
        );
        let change = local_candidates.observe(B, host(1), Some(mapped(2)));
        assert_eq!(change.reflexive_added, None);
        assert_eq!(addresses(&change.reflexive_removed), [mapped(1)]);
    }

    #[test]
    fn behind_a_symmetric_nat_each_relay_has_its_own_mapping() {
        let mut local_candidates = LocalCandidates::default();
        local_candidates.observe(A, host(1), Some(mapped(1)));
        let change = local_candidates.observe(B, host(1), Some(mapped(2)));
        assert!(change.reflexive_removed.is_empty());
        assert_eq!(
            addresses(&local_candidates.reflexive()),
            [mapped(1), mapped(2)]
        );
    }

    #[test]
    fn what_a_lost_relay_said_holds_until_another_knows_better() {
        let mut local_candidates = LocalCandidates::default();
        local_candidates.observe(A, host(1), Some(mapped(1)));
        local_candidates.orphan(A);
        assert_eq!(addresses(&local_candidates.reflexive()), [mapped(1)]);
        let v6 = "[2001:db8::1]:1".parse().unwrap();
        let change = local_candidates.observe(B, v6, Some(v6));
        assert!(change.reflexive_removed.is_empty(), "another family");
        let change = local_candidates.observe(B, host(1), Some(mapped(1)));
        assert_eq!(change, CandidateChange::default());
        local_candidates.orphan(B);
        let change = local_candidates.observe(A, host(1), Some(mapped(2)));
        assert_eq!(addresses(&change.reflexive_removed), [mapped(1)]);
    }

    #[test]
    fn unreachable_addresses_are_ignored_and_hosts_are_bounded() {
        let mut local_candidates = LocalCandidates::default();
        let nowhere = "0.0.0.0:1".parse().unwrap();
        assert_eq!(
            local_candidates.observe(A, nowhere, Some(nowhere)),
            CandidateChange::default()
        );
        for n in 1..=16 {
            assert_eq!(local_candidates.add_host(host(n)).host_removed, None);
        }
        assert_eq!(
            local_candidates.add_host(host(17)).host_removed,
            Some(host(1))
        );
        assert_eq!(local_candidates.hosts().len(), MAX_HOSTS);
    }
}
