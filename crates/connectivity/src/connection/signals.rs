//! What a peer is to be told about our candidates, collected over one turn. spec: data-plane 2.8

use model::Candidate;
use std::cmp::Reverse;

/// Candidates as the peer knows them, and what it does not know yet.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    current: Vec<Candidate>,
    added: Vec<Candidate>,
    removed: Vec<Candidate>,
    best_first: bool,
}

impl Signals {
    /// For a new connection: everything known goes out at once, the best first.
    pub(crate) fn new() -> Self {
        Self {
            best_first: true,
            ..Self::default()
        }
    }

    /// A candidate is ours.
    pub(crate) fn add(&mut self, candidate: Candidate) {
        self.current.retain(|current| !is_same(current, &candidate));
        self.removed.retain(|removed| !is_same(removed, &candidate));
        self.current.push(candidate.clone());
        self.added.push(candidate);
    }

    /// A candidate is no longer ours.
    pub(crate) fn remove(&mut self, candidate: &Candidate) {
        let before = self.current.len();
        self.current.retain(|current| !is_same(current, candidate));
        if self.current.len() == before {
            return;
        }
        let waiting = self.added.len();
        self.added.retain(|added| !is_same(added, candidate));
        if self.added.len() == waiting {
            self.removed.push(candidate.clone());
        }
    }

    /// Signals everything that is current once more.
    pub(crate) fn repeat(&mut self) {
        self.added = self.current.clone();
        self.best_first = true;
    }

    /// Whether there is nothing to signal.
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// The candidates to withdraw, sorted by their text.
    pub(crate) fn take_removed(&mut self) -> Option<Vec<Candidate>> {
        sorted_by_text(std::mem::take(&mut self.removed))
    }

    /// The candidates to signal, sorted by their text; by priority, the best first, for a new connection.
    pub(crate) fn take_added(&mut self) -> Option<Vec<Candidate>> {
        let mut added = sorted_by_text(std::mem::take(&mut self.added))?;
        if std::mem::take(&mut self.best_first) {
            added.sort_by_key(|candidate| Reverse(candidate.priority));
        }
        Some(added)
    }
}

fn is_same(a: &Candidate, b: &Candidate) -> bool {
    a.address == b.address && a.kind == b.kind
}

fn sorted_by_text(mut candidates: Vec<Candidate>) -> Option<Vec<Candidate>> {
    candidates.sort_by_cached_key(ToString::to_string);
    (!candidates.is_empty()).then_some(candidates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(foundation: &str, priority: u32, port: u16) -> Candidate {
        let text = format!("candidate:{foundation} 1 udp {priority} 192.0.2.1 {port} typ host");
        text.parse().unwrap()
    }

    fn ports(candidates: Option<Vec<Candidate>>) -> Vec<u16> {
        let candidates = candidates.into_iter().flatten();
        candidates
            .map(|candidate| candidate.address.port())
            .collect()
    }

    #[test]
    fn first_batch_is_best_first_and_later_ones_go_by_text() {
        let mut signals = Signals::new();
        signals.add(candidate("a", 1, 1));
        signals.add(candidate("c", 3, 3));
        signals.add(candidate("b", 2, 2));
        assert_eq!(ports(signals.take_added()), [3, 2, 1]);
        assert!(signals.is_empty());
        signals.add(candidate("f", 9, 6));
        signals.add(candidate("e", 8, 5));
        assert_eq!(ports(signals.take_added()), [5, 6]);
        assert_eq!(signals.take_added(), None);
    }

    #[test]
    fn what_comes_and_goes_within_a_turn_is_not_told() {
        let mut signals = Signals::new();
        signals.add(candidate("a", 1, 1));
        signals.remove(&candidate("a", 1, 1));
        assert!(signals.is_empty());
        signals.add(candidate("a", 1, 1));
        signals.take_added();
        signals.remove(&candidate("a", 1, 1));
        signals.remove(&candidate("b", 1, 2));
        assert_eq!(ports(signals.take_removed()), [1], "only what was told");
        signals.add(candidate("a", 1, 1));
        signals.take_added();
        signals.remove(&candidate("a", 1, 1));
        signals.add(candidate("a", 1, 1));
        assert_eq!(signals.take_removed(), None, "it is back");
        assert_eq!(ports(signals.take_added()), [1]);
    }

    #[test]
    fn repetition_tells_what_is_current() {
        let mut signals = Signals::new();
        signals.add(candidate("a", 1, 1));
        signals.add(candidate("b", 2, 2));
        signals.take_added();
        signals.remove(&candidate("a", 1, 1));
        signals.take_removed();
        signals.repeat();
        assert_eq!(ports(signals.take_added()), [2]);
    }
}
