//! How long to wait before the channel is tried again. spec: portal 4.1

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use std::time::Duration;

/// The first wait of a series, without jitter.
const FIRST: Duration = Duration::from_millis(500);

/// The longest wait, without jitter.
const LONGEST: Duration = Duration::from_secs(60);

/// How patient a party is with its portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How much waiting one series of failures may add up to; nothing means without end.
    pub budget: Option<Duration>,
    /// What applies until the first join of the session; nothing means no special rule.
    pub initial: Option<InitialRetries>,
    /// The longest wait a portal may ask for with `Retry-After`.
    pub retry_after_cap: Duration,
}

/// What applies until the first join: constant waits, then the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitialRetries {
    /// The wait before each attempt but the first.
    pub delay: Duration,
    /// How often to try again.
    pub attempts: u32,
}

impl Default for RetryPolicy {
    /// 15 retries a second apart until the first join, patience without end afterwards.
    fn default() -> Self {
        Self {
            budget: None,
            initial: Some(InitialRetries {
                delay: Duration::from_secs(1),
                attempts: 15,
            }),
            retry_after_cap: Duration::from_secs(600),
        }
    }
}

/// A series of failures under a policy.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: RetryPolicy,
    rng: ChaCha20Rng,
    ever_joined: bool,
    failures: u32,
    step: Duration,
    spent: Duration,
}

impl Backoff {
    pub(crate) const fn new(policy: RetryPolicy, rng: ChaCha20Rng) -> Self {
        Self {
            policy,
            rng,
            ever_joined: false,
            failures: 0,
            step: FIRST,
            spent: Duration::ZERO,
        }
    }

    /// The wait after a failure, or nothing when the policy's patience is at its end.
    ///
    /// A wait that the portal asks for costs neither an attempt nor budget, but is never shorter
    /// than the first step: a portal that always says zero must not be hammered.
    pub(crate) fn delay(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        if let Some(wanted) = retry_after {
            return Some(wanted.min(self.policy.retry_after_cap).max(FIRST));
        }
        if let (Some(initial), false) = (self.policy.initial, self.ever_joined) {
            self.failures = self.failures.saturating_add(1);
            return (self.failures <= initial.attempts).then_some(initial.delay);
        }
        let mut delay = self.step + self.jitter();
        self.step = (self.step * 3 / 2).min(LONGEST);
        if let Some(budget) = self.policy.budget {
            let left = budget.saturating_sub(self.spent);
            if left.is_zero() {
                return None;
            }
            delay = delay.min(left);
        }
        self.spent += delay;
        Some(delay)
    }

    /// The channel is joined: the series is over.
    pub(crate) fn joined(&mut self) {
        self.ever_joined = true;
        self.restart();
    }

    /// Somebody asks for a connection now: a new series begins.
    pub(crate) fn restart(&mut self) {
        self.failures = 0;
        self.step = FIRST;
        self.spent = Duration::ZERO;
    }

    /// Between nothing and the current step.
    fn jitter(&mut self) -> Duration {
        let range = u64::try_from(self.step.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.rng.next_u64() % (range + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Seed, SeedTree};

    fn backoff(policy: RetryPolicy) -> Backoff {
        let tree = SeedTree::new(Seed::from_bytes([7; 32]));
        Backoff::new(policy, tree.stream("jitter"))
    }

    const PATIENT: RetryPolicy = RetryPolicy {
        budget: None,
        initial: None,
        retry_after_cap: Duration::from_secs(600),
    };

    #[test]
    fn waits_grow_by_half_up_to_a_minute_with_jitter_on_top() {
        let mut backoff = backoff(PATIENT);
        let mut base = Duration::from_millis(500);
        let mut distinct = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let delay = backoff.delay(None).unwrap();
            assert!(base <= delay && delay <= base * 2, "{delay:?}");
            distinct.insert(delay.as_nanos() * 1000 / base.as_nanos());
            base = (base * 3 / 2).min(Duration::from_secs(60));
        }
        assert!(distinct.len() > 10, "the jitter varies");
    }

    #[test]
    fn first_join_is_tried_sixteen_times_a_second_apart() {
        let mut backoff = backoff(RetryPolicy {
            budget: Some(Duration::from_secs(1)),
            ..RetryPolicy::default()
        });
        for _ in 0..15 {
            assert_eq!(backoff.delay(None), Some(Duration::from_secs(1)));
        }
        assert_eq!(backoff.delay(None), None);
        backoff.joined();
        assert!(backoff.delay(None).unwrap() <= Duration::from_secs(1));
    }

    #[test]
    fn budget_is_what_all_waits_of_a_series_may_add_up_to() {
        let mut backoff = backoff(RetryPolicy {
            budget: Some(Duration::from_secs(300)),
            ..PATIENT
        });
        for _ in 0..2 {
            let mut total = Duration::ZERO;
            while let Some(delay) = backoff.delay(None) {
                total += delay;
            }
            assert_eq!(total, Duration::from_secs(300));
            backoff.joined();
        }
    }

    #[test]
    fn portals_wishes_are_honoured_within_bounds_and_cost_nothing() {
        let mut backoff = backoff(RetryPolicy::default());
        let secs = Duration::from_secs;
        for _ in 0..100 {
            assert_eq!(backoff.delay(Some(secs(30))), Some(secs(30)));
        }
        assert_eq!(backoff.delay(Some(secs(86_400))), Some(secs(600)));
        assert_eq!(backoff.delay(Some(secs(0))), Some(FIRST));
        assert_eq!(backoff.delay(None), Some(secs(1)));
    }
}
