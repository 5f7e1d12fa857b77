//! When the thread wakes up by itself.

use std::time::{Duration, Instant};

/// Longest sleep, so that a clock that stood still while suspended is noticed.
const LONGEST: Duration = Duration::from_secs(10);

/// A sleep of at least this is rounded up.
const LONG: Duration = Duration::from_secs(1);

/// To a multiple of this since the runtime was built. The runtime keeps distant deadlines in slots
/// as wide as this and would wake up at the start of a slot just to look closer.
const SLOT: Duration = Duration::from_millis(64);

/// Turns what the tunnel asks for into deadlines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alarm {
    /// When the runtime was built, or a little earlier.
    pub(super) origin: Instant,
}

impl Alarm {
    /// When to wake up for something due at `at`, if anything is.
    pub(super) fn deadline(&self, at: Option<Instant>, now: Instant) -> Instant {
        let latest = now + LONGEST;
        let at = at.map_or(latest, |at| at.min(latest));
        if at.saturating_duration_since(now) < LONG {
            return at;
        }
        let past = at.saturating_duration_since(self.origin).as_nanos() % SLOT.as_nanos();
        let rest = (SLOT.as_nanos() - past) % SLOT.as_nanos();
        at + Duration::from_nanos(u64::try_from(rest).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_is_due_soon_is_done_in_time() {
        let origin = Instant::now();
        let (alarm, now) = (Alarm { origin }, origin + millis(77));
        for wait in [0, 1, 250, 999] {
            let at = now + millis(wait);
            assert_eq!(alarm.deadline(Some(at), now), at);
        }
        let past = origin + millis(3);
        assert_eq!(alarm.deadline(Some(past), now), past);
    }

    #[test]
    fn what_is_due_later_waits_for_the_next_slot() {
        let origin = Instant::now();
        let (alarm, now) = (Alarm { origin }, origin + millis(77));
        let at = |wait| alarm.deadline(Some(now + millis(wait)), now) - origin;
        assert_eq!(at(1000), millis(17 * 64));
        assert_eq!(at(18 * 64 - 77), millis(18 * 64));
        assert_eq!(at(18 * 64 - 76), millis(19 * 64));
    }

    #[test]
    fn no_sleep_is_longer_than_ten_seconds_and_a_slot() {
        let origin = Instant::now();
        let alarm = Alarm { origin };
        for at in [None, Some(origin + millis(100_000))] {
            let deadline = alarm.deadline(at, origin);
            assert!((LONGEST..LONGEST + SLOT).contains(&(deadline - origin)));
        }
    }
}
