//! When to look after a burst of messages.

use tokio::time::{Duration, Instant};

/// A while after the last message, but not too long after the first.
#[derive(Debug)]
pub(super) struct Debounce {
    quiet: Duration,
    patience: Duration,
    minimum: Duration,
    burst: Option<Burst>,
}

#[derive(Debug, Clone, Copy)]
struct Burst {
    first: Instant,
    last: Instant,
}

impl Debounce {
    /// Looks `quiet` after the last message, and at the latest `patience` after the first.
    pub(super) const fn new(quiet: Duration, patience: Duration) -> Self {
        Self {
            quiet,
            patience,
            minimum: Duration::ZERO,
            burst: None,
        }
    }

    pub(super) fn on_message(&mut self, now: Instant) {
        let first = self.burst.map_or(now, |burst| burst.first);
        self.burst = Some(Burst { first, last: now });
    }

    /// The burst that is going on lasts at least so long.
    pub(super) fn at_least(&mut self, minimum: Duration) {
        self.minimum = minimum;
    }

    pub(super) fn clear(&mut self) {
        self.burst = None;
        self.minimum = Duration::ZERO;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let Burst { first, last } = self.burst?;
        let usual = (last + self.quiet).min(first + self.patience);
        Some(usual.max(first + self.minimum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(500);
    const PATIENCE: Duration = Duration::from_secs(2);

    #[test]
    fn look_waits_for_quiet_but_not_for_ever() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET, PATIENCE);
        assert_eq!(debounce.deadline(), None);
        debounce.on_message(start);
        assert_eq!(debounce.deadline(), Some(start + QUIET));
        let step = Duration::from_millis(400);
        debounce.on_message(start + step);
        assert_eq!(debounce.deadline(), Some(start + step + QUIET));
        for i in 2..100 {
            debounce.on_message(start + step * i);
        }
        assert_eq!(debounce.deadline(), Some(start + PATIENCE));
        debounce.clear();
        assert_eq!(debounce.deadline(), None);
    }

    #[test]
    fn minimum_holds_for_one_burst() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET, PATIENCE);
        let minimum = Duration::from_secs(5);
        debounce.at_least(minimum);
        debounce.on_message(start);
        assert_eq!(debounce.deadline(), Some(start + minimum));
        debounce.clear();
        debounce.on_message(start);
        assert_eq!(debounce.deadline(), Some(start + QUIET));
    }
}
