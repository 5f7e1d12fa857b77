//! When to put our settings back that others replace: at once, but ever more slowly in a fight.

use tokio::time::{Duration, Instant};

/// The first delay that is not none; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// The longest delay.
const LONGEST: Duration = Duration::from_secs(60);

/// After so long without another loss the next one is the first again.
const PEACE: Duration = Duration::from_secs(120);

/// Losses in a row that make a fight.
const FIGHT: u32 = 3;

/// The losses so far and what is to be done about the last one.
#[derive(Debug, Default)]
pub(super) struct Contest {
    losses: u32,
    settled: Option<Instant>,
    due: Option<Instant>,
}

/// What a loss means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// It is the one that makes a fight of it; told once per fight.
    Fight,
    /// It was noticed before and is about to be mended.
    Known,
    /// It happens now and then.
    New,
}

impl Contest {
    /// Our settings are gone; they are due to be put back at [`Self::due`].
    pub(super) fn on_loss(&mut self, now: Instant) -> Loss {
        if self.due.is_some() {
            return Loss::Known;
        }
        if self.settled.is_none_or(|settled| now >= settled + PEACE) {
            self.losses = 0;
        }
        let delay = match self.losses {
            0 => Duration::ZERO,
            losses => FIRST.saturating_mul(1 << (losses - 1).min(16)).min(LONGEST),
        };
        self.losses = self.losses.saturating_add(1);
        self.due = Some(now + delay);
        if self.losses == FIGHT {
            Loss::Fight
        } else {
            Loss::New
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
    fn a_fight_slows_down_and_is_told_once() {
        let mut contest = Contest::default();
        let mut now = Instant::now();
        let mut told = 0;
        let mut delays = vec![];
        for _ in 0..9 {
            told += u32::from(contest.on_loss(now) == Loss::Fight);
            // The same loss, seen again.
            assert_eq!(contest.on_loss(now), Loss::Known);
            let due = contest.due().unwrap();
            delays.push((due - now).as_secs());
            now = due;
            contest.on_attempt(now);
            assert_eq!(contest.due(), None);
        }
        assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(told, 1);
    }

    #[test]
    fn peace_makes_the_next_loss_the_first() {
        let mut contest = Contest::default();
        let mut now = Instant::now();
        for _ in 0..5 {
            contest.on_loss(now);
            contest.on_attempt(now);
        }
        now += PEACE;
        contest.on_loss(now);
        assert_eq!(contest.due(), Some(now));
        contest.on_attempt(now);
        assert_eq!(contest.on_loss(now), Loss::New);
        contest.on_attempt(now);
        assert_eq!(contest.on_loss(now), Loss::Fight, "a new fight is told");
    }

    #[test]
    fn nothing_is_due_after_the_end_however_long_the_fight_was() {
        let mut contest = Contest::default();
        let now = Instant::now();
        for _ in 0..100 {
            contest.on_loss(now);
            contest.on_attempt(now);
        }
        contest.on_loss(now);
        contest.end();
        assert_eq!(contest.due(), None);
        contest.on_loss(now);
        assert_eq!(contest.due(), Some(now));
    }
}
