//! One deadline for each thing that waits for something, in order of time.

use crate::event::Wakeup;
use model::RelayId;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
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
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Timer)>,
    set: BTreeMap<Timer, Wakeup>,
}

impl Timers {
    /// Replaces the deadline of `timer`; `None` clears it.
    pub(crate) fn set(&mut self, timer: Timer, wakeup: Option<Wakeup>) {
        let old = match wakeup {
            Some(new) => self.set.insert(timer, new),
            None => self.set.remove(&timer),
        };
        let (old, new) = (old.map(|old| old.at), wakeup.map(|new| new.at));
        if old == new {
            return;
        }
        if let Some(at) = old {
            self.queue.remove(&(at, timer));
        }
        if let Some(at) = new {
            self.queue.insert((at, timer));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Wakeup> {
        let (_, timer) = self.queue.first()?;
        self.set.get(timer).copied()
    }

    /// Takes one timer whose deadline is not after `now`, with that deadline.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Timer, Instant)> {
        let &(at, timer) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.set(timer, None);
        Some((timer, at))
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
    fn timers_fire_in_order_and_once() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Connection(1), wakeup(start + 2 * second, "late"));
        timers.set(Timer::Connection(2), wakeup(start + second, "early"));
        timers.set(Timer::Connection(1), wakeup(start + 3 * second, "later"));
        assert_eq!(timers.next().map(|next| next.why), Some("early"));
        assert_eq!(timers.pop_due(start), None);

        let due = start + 3 * second;
        assert_eq!(
            timers.pop_due(due),
            Some((Timer::Connection(2), start + second))
        );
        assert_eq!(timers.next().map(|next| next.why), Some("later"));
        assert_eq!(timers.pop_due(due), Some((Timer::Connection(1), due)));
        assert_eq!(timers.pop_due(due), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn cleared_timers_do_not_fire() {
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.set(Timer::Connection(1), wakeup(now, "a"));
        timers.set(Timer::Connection(1), None);
        timers.set(Timer::Connection(2), None);
        assert_eq!(timers.pop_due(now), None);
        timers.set(Timer::Connection(1), wakeup(now, "a"));
        timers.clear();
        assert_eq!(timers.pop_due(now), None);
    }
}
