//! Which connection a connectivity check belongs to, for routing its answer. spec: data-plane 2.10

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long an answer is waited for.
const LIFETIME: Duration = Duration::from_secs(10);

/// How many checks of one connection are waited for; of more, the oldest are forgotten. There is room
/// for several on each of a hundred pairs.
const MAX_CHECKS: usize = 1024;

/// A STUN transaction id.
pub(crate) type CheckId = [u8; 12];

/// A check under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// The slot of the connection that sent it.
    pub(crate) slot: usize,
    /// Where it was sent from.
    pub(crate) source: SocketAddr,
    /// Where it was sent to.
    pub(crate) destination: SocketAddr,
    /// It was answered.
    pub(crate) is_answered: bool,
}

/// The checks under way of all connections.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    sent: BTreeMap<CheckId, Transaction>,
    /// By slot, the oldest first.
    ages: BTreeMap<usize, VecDeque<(Instant, CheckId)>>,
}

impl Transactions {
    /// A connection sent a check.
    pub(crate) fn insert(&mut self, id: CheckId, transaction: Transaction, now: Instant) {
        let ages = self.ages.entry(transaction.slot).or_default();
        while let Some(&(sent, old)) = ages.front() {
            if ages.len() < MAX_CHECKS && now.saturating_duration_since(sent) < LIFETIME {
                break;
            }
            ages.pop_front();
            self.sent.remove(&old);
        }
        ages.push_back((now, id));
        self.sent.insert(id, transaction);
    }

    /// Forgets the checks of a connection that is gone.
    pub(crate) fn remove(&mut self, slot: usize) {
        for (_, id) in self.ages.remove(&slot).into_iter().flatten() {
            self.sent.remove(&id);
        }
    }

    /// The check that an answer is to. The answer has to come the way back that the check went.
    /// RFC 8445 section 7.2.5.2.1
    pub(crate) fn find(
        &self,
        id: &CheckId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Option<Transaction> {
        let is_symmetric = |transaction: &Transaction| {
            transaction.source == local && transaction.destination == remote
        };
        self.sent.get(id).copied().filter(is_symmetric)
    }

    /// A check was answered: no other answer to it counts.
    pub(crate) fn answered(&mut self, id: &CheckId) {
        if let Some(transaction) = self.sent.get_mut(id) {
            transaction.is_answered = true;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.sent.clear();
        self.ages.clear();
    }
}

/// The transaction id of a STUN message.
pub(crate) fn check_id(message: &[u8]) -> Option<CheckId> {
    message.get(8..20)?.try_into().ok()
}

/// Whether a message is a Binding request.
pub(crate) fn is_request(message: &[u8]) -> bool {
    message.starts_with(&[0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(n: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], n))
    }

    fn sent(slot: usize) -> Transaction {
        Transaction {
            slot,
            source: end(1),
            destination: end(2),
            is_answered: false,
        }
    }

    fn owner(transactions: &Transactions, n: u8) -> Option<usize> {
        let found = transactions.find(&[n; 12], end(1), end(2));
        found.map(|transaction| transaction.slot)
    }

    #[test]
    fn ids_are_known_for_ten_seconds() {
        let now = Instant::now();
        let mut transactions = Transactions::default();
        transactions.insert([1; 12], sent(7), now);
        transactions.insert([2; 12], sent(8), now + LIFETIME - Duration::from_millis(1));
        assert_eq!(owner(&transactions, 1), Some(7));
        transactions.insert([3; 12], sent(9), now + LIFETIME);
        assert_eq!(owner(&transactions, 2), Some(8));
        assert_eq!(
            transactions.sent.len(),
            3,
            "each connection counts for itself"
        );
        transactions.insert([4; 12], sent(7), now + LIFETIME);
        assert_eq!(owner(&transactions, 1), None);
        assert_eq!(transactions.sent.len(), 3);
        transactions.clear();
        assert_eq!(owner(&transactions, 2), None);
        assert_eq!(transactions.ages.len(), 0);
    }

    #[test]
    fn an_answer_comes_back_the_same_way_and_counts_once() {
        let mut transactions = Transactions::default();
        transactions.insert([1; 12], sent(7), Instant::now());
        for (local, remote) in [(end(1), end(3)), (end(3), end(2)), (end(2), end(1))] {
            assert_eq!(transactions.find(&[1; 12], local, remote), None);
        }
        let find = |transactions: &Transactions| transactions.find(&[1; 12], end(1), end(2));
        assert_eq!(find(&transactions), Some(sent(7)));
        transactions.answered(&[1; 12]);
        let answered = Transaction {
            is_answered: true,
            ..sent(7)
        };
        assert_eq!(find(&transactions), Some(answered));
    }

    #[test]
    fn a_connection_has_a_thousand_checks_at_most_and_none_when_it_is_gone() {
        let now = Instant::now();
        let mut transactions = Transactions::default();
        let id = |n: usize| {
            let mut id = [0; 12];
            id[..8].copy_from_slice(&n.to_be_bytes());
            id
        };
        transactions.insert([0xff; 12], sent(8), now);
        for n in 0..=MAX_CHECKS {
            transactions.insert(id(n), sent(7), now);
        }
        let known = |transactions: &Transactions, n| transactions.find(&id(n), end(1), end(2));
        assert_eq!(known(&transactions, 0), None);
        assert_eq!(known(&transactions, 1), Some(sent(7)));
        assert_eq!(transactions.sent.len(), MAX_CHECKS + 1);
        transactions.remove(7);
        assert_eq!((transactions.sent.len(), transactions.ages.len()), (1, 1));
        assert_eq!(owner(&transactions, 0xff), Some(8));
    }
}
