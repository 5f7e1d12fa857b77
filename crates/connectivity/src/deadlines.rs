//! The next deadline of every connection and allocation, in order of time.

use crate::event::Wakeup;
use model::RelayId;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The connection in this slot.
    Connection(usize),
    /// The allocation with this relay.
    Relay(RelayId),
}

/// The deadlines of all connections and allocations.
///
/// Looking at the next one costs nothing; setting one costs the logarithm of their number, and
/// nothing at all when it does not change.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    queue: BTreeSet<(Instant, Owner)>,
    set: BTreeMap<Owner, Wakeup>,
}

impl Deadlines {
    /// Replaces the deadline of `owner`; `None` clears it.
    pub(crate) fn set(&mut self, owner: Owner, wakeup: Option<Wakeup>) {
        let old = match wakeup {
            Some(new) => self.set.insert(owner, new),
            None => self.set.remove(&owner),
        };
        let (old, new) = (old.map(|old| old.at), wakeup.map(|new| new.at));
        if old == new {
            return;
        }
        if let Some(at) = old {
            self.queue.remove(&(at, owner));
        }
        if let Some(at) = new {
            self.queue.insert((at, owner));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Wakeup> {
        let (_, owner) = self.queue.first()?;
        self.set.get(owner).copied()
    }

    /// Takes the earliest owner whose deadline is not after `now`, with that deadline.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Owner, Instant)> {
        let &(at, owner) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.set(owner, None);
        Some((owner, at))
    }

    /// Clears every deadline.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.set.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn wakeup(at: Instant, why: &'static str) -> Option<Wakeup> {
        Some(Wakeup { at, why })
    }

    #[test]
    fn deadlines_come_in_order_and_once() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.next(), None);
        deadlines.set(Owner::Connection(1), wakeup(start + 2 * second, "late"));
        deadlines.set(Owner::Connection(2), wakeup(start + second, "early"));
        deadlines.set(Owner::Connection(1), wakeup(start + 3 * second, "later"));
        assert_eq!(deadlines.next().map(|next| next.why), Some("early"));
        assert_eq!(deadlines.pop_due(start), None);

        let due = start + 3 * second;
        assert_eq!(
            deadlines.pop_due(due),
            Some((Owner::Connection(2), start + second))
        );
        assert_eq!(deadlines.next().map(|next| next.why), Some("later"));
        assert_eq!(deadlines.pop_due(due), Some((Owner::Connection(1), due)));
        assert_eq!(deadlines.pop_due(due), None);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn cleared_deadlines_do_not_come() {
        let now = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.set(Owner::Connection(1), wakeup(now, "a"));
        deadlines.set(Owner::Connection(1), None);
        deadlines.set(Owner::Connection(2), None);
        assert_eq!(deadlines.pop_due(now), None);
        deadlines.set(Owner::Connection(1), wakeup(now, "a"));
        deadlines.clear();
        assert_eq!(deadlines.pop_due(now), None);
    }
}
