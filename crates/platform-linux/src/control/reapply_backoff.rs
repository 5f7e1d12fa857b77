//! When to put our settings back that others overwrite: at once, but ever more slowly if they insist.

use tokio::time::{Duration, Instant};

/// The first delay that is not none; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// The longest delay.
const LONGEST: Duration = Duration::from_secs(60);

/// After so long without another overwrite the next one is the first again.
const RESET_AFTER: Duration = Duration::from_secs(120);

/// Overwrites in a row that mean that another program insists.
const REPEATED: u32 = 3;

/// The overwrites so far, and what is to be done about the last one.
#[derive(Debug, Default)]
pub(super) struct ReapplyBackoff {
    overwrites: u32,
    settled: Option<Instant>,
    due: Option<Instant>,
}

/// What an overwrite means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overwrite {
    /// Another program insists; reported once, until [`RESET_AFTER`] has passed without any.
    Repeated,
    /// It was noticed before and is about to be mended.
    Known,
    /// It happens now and then.
    New,
}

impl ReapplyBackoff {
    /// Our settings are overwritten; they are due to be put back at [`Self::due`].
    pub(super) fn on_overwrite(&mut self, now: Instant) -> Overwrite {
        if self.due.is_some() {
            return Overwrite::Known;
        }
        if self
            .settled
            .is_none_or(|settled| now >= settled + RESET_AFTER)
        {
            self.overwrites = 0;
        }
        let delay = match self.overwrites {
            0 => Duration::ZERO,
            overwrites => FIRST
                .saturating_mul(1 << (overwrites - 1).min(16))
                .min(LONGEST),
        };
        self.overwrites = self.overwrites.saturating_add(1);
        self.due = Some(now + delay);
        if self.overwrites == REPEATED {
            Overwrite::Repeated
        } else {
            Overwrite::New
        }
    }

    /// Our settings were put back, or at least it was tried.
    pub(super) fn on_attempt(&mut self, now: Instant) {
        self.due = None;
        self.settled = Some(now);
    }

    /// Nothing is to be put back any more.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// When to put our settings back.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_overwrites_slow_down_and_are_told_once() {
        let mut backoff = ReapplyBackoff::default();
        let mut now = Instant::now();
        let mut told = 0;
        let mut delays = vec![];
        for _ in 0..9 {
            told += u32::from(backoff.on_overwrite(now) == Overwrite::Repeated);
            // The same overwrite, seen again.
            assert_eq!(backoff.on_overwrite(now), Overwrite::Known);
            let due = backoff.due().unwrap();
            delays.push((due - now).as_secs());
            now = due;
            backoff.on_attempt(now);
            assert_eq!(backoff.due(), None);
        }
        assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(told, 1);
    }

    #[test]
    fn a_quiet_time_makes_the_next_overwrite_the_first() {
        let mut backoff = ReapplyBackoff::default();
        let mut now = Instant::now();
        for _ in 0..5 {
            backoff.on_overwrite(now);
            backoff.on_attempt(now);
        }
        now += RESET_AFTER;
        backoff.on_overwrite(now);
        assert_eq!(backoff.due(), Some(now));
        backoff.on_attempt(now);
        assert_eq!(backoff.on_overwrite(now), Overwrite::New);
        backoff.on_attempt(now);
        assert_eq!(
            backoff.on_overwrite(now),
            Overwrite::Repeated,
            "a new series is told"
        );
    }

    #[test]
    fn nothing_is_due_after_the_end_whatever_came_before() {
        let mut backoff = ReapplyBackoff::default();
        let now = Instant::now();
        for _ in 0..100 {
            backoff.on_overwrite(now);
            backoff.on_attempt(now);
        }
        backoff.on_overwrite(now);
        backoff.end();
        assert_eq!(backoff.due(), None);
        backoff.on_overwrite(now);
        assert_eq!(backoff.due(), Some(now));
    }
}
