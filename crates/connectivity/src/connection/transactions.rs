//! Which connection a connectivity check belongs to, for routing its answer. spec: data-plane 2.10

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// How long an answer is waited for.
const LIFETIME: Duration = Duration::from_secs(10);

/// A STUN transaction id.
pub(crate) type CheckId = [u8; 12];

/// The checks under way of all connections.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    owners: BTreeMap<CheckId, usize>,
    ages: VecDeque<(Instant, CheckId)>,
}

impl Transactions {
    /// The connection in `slot` sent a check.
    pub(crate) fn insert(&mut self, id: CheckId, slot: usize, now: Instant) {
        while let Some(&(sent, old)) = self.ages.front() {
            if now.saturating_duration_since(sent) < LIFETIME {
                break;
            }
            self.ages.pop_front();
            self.owners.remove(&old);
        }
        self.owners.insert(id, slot);
        self.ages.push_back((now, id));
    }

    /// The slot of the connection that sent this check.
    pub(crate) fn owner(&self, id: &CheckId) -> Option<usize> {
        self.owners.get(id).copied()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.owners.clear();
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

    #[test]
    fn ids_are_known_for_ten_seconds() {
        let now = Instant::now();
        let mut transactions = Transactions::default();
        transactions.insert([1; 12], 7, now);
        transactions.insert([2; 12], 8, now + LIFETIME - Duration::from_millis(1));
        assert_eq!(transactions.owner(&[1; 12]), Some(7));
        transactions.insert([3; 12], 9, now + LIFETIME);
        assert_eq!(transactions.owner(&[1; 12]), None);
        assert_eq!(transactions.owner(&[2; 12]), Some(8));
        transactions.clear();
        assert_eq!(transactions.owner(&[2; 12]), None);
    }
}
