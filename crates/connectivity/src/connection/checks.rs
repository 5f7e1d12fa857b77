//! Connectivity checks that are not answered yet, so that a lost first one costs no timeout.
//!
//! The agent repeats a check after 250 ms at the earliest, and does not check again because the
//! peer's check came in. But first checks are lost as a rule, not as an exception: the NAT or the
//! relay of the peer lets them through only once the peer has sent to us. So the last check of
//! every pair is kept, and sent again, unchanged, as soon as there is reason to believe in it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How many pairs are kept in mind: as many as are checked.
const MAX_CHECKS: usize = 100;
/// After this long the agent has repeated the check itself.
const LIFETIME: Duration = Duration::from_secs(2);
/// How often one check is repeated for a good reason.
const MAX_REPEATS: u8 = 6;
/// When checks through relays are repeated without a reason, counted from a new candidate.
const BURST: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(110),
];

/// The last check on one pair.
#[derive(Debug)]
struct Check {
    source: SocketAddr,
    destination: SocketAddr,
    message: Vec<u8>,
    sent: Instant,
    repeated: u8,
}

/// The unanswered checks of one connection.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pending: Vec<Check>,
    /// Times of repetition, the last one first.
    bursts: Vec<Instant>,
}

impl Checks {
    /// Notes a check that is about to be sent; it takes the place of an older one on the pair.
    pub(crate) fn sent(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        message: &[u8],
        now: Instant,
    ) {
        self.pending.retain(|check| {
            let is_same = check.source == source && check.destination == destination;
            !is_same && now.saturating_duration_since(check.sent) < LIFETIME
        });
        if self.pending.len() < MAX_CHECKS {
            self.pending.push(Check {
                source,
                destination,
                message: message.to_vec(),
                sent: now,
                repeated: 0,
            });
        }
    }

    /// Notes the answer to the check with this transaction id.
    pub(crate) fn answered(&mut self, id: &[u8]) {
        self.pending
            .retain(|check| check.message.get(8..20) != Some(id));
    }

    /// The peer's check came from `remote` to `local`: ours will pass the other way.
    pub(crate) fn triggered(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let check = self.pending.iter_mut().find(|check| {
            check.source == local && check.destination == remote && check.sent < now
        })?;
        check.repeat(now)
    }

    /// The relay confirmed the channel between us and `remote`: what we sent before may be lost.
    pub(crate) fn opened(
        &mut self,
        remote: SocketAddr,
        now: Instant,
    ) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.repeat_where(now, |check| check.destination == remote)
    }

    /// Plans repetitions, because a new candidate is known that may not be reachable yet.
    pub(crate) fn plan_bursts(&mut self, now: Instant) {
        self.bursts = BURST.iter().rev().map(|&after| now + after).collect();
    }

    /// There is a path: no more repetitions without a reason.
    pub(crate) fn cancel_bursts(&mut self) {
        self.bursts.clear();
    }

    /// The checks to repeat now without a reason, among those that `through_relay` selects.
    pub(crate) fn pop_burst(
        &mut self,
        now: Instant,
        through_relay: impl Fn(SocketAddr, SocketAddr) -> bool,
    ) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        if self.bursts.last().is_none_or(|&at| at > now) {
            return Vec::new();
        }
        self.bursts.retain(|&at| at > now);
        self.repeat_where(now, |check| through_relay(check.source, check.destination))
    }

    /// When the next repetition is planned.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.bursts.last().copied()
    }

    fn repeat_where(
        &mut self,
        now: Instant,
        selected: impl Fn(&Check) -> bool,
    ) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.pending
            .iter_mut()
            .filter(|check| selected(check))
            .filter_map(|check| Some((check.source, check.destination, check.repeat(now)?)))
            .collect()
    }
}

impl Check {
    /// The message once more, if it is worth it.
    fn repeat(&mut self, now: Instant) -> Option<Vec<u8>> {
        let is_recent = now.saturating_duration_since(self.sent) < LIFETIME;
        if !is_recent || self.repeated >= MAX_REPEATS {
            return None;
        }
        self.repeated += 1;
        Some(self.message.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, n], 1))
    }

    fn message(id: u8) -> Vec<u8> {
        [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[id; 12], &[9]].concat()
    }

    fn after(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_check_of_the_peer_repeats_ours_until_it_is_answered() {
        let start = Instant::now();
        let mut checks = Checks::default();
        checks.sent(address(1), address(2), &message(7), start);
        assert_eq!(
            checks.triggered(address(1), address(2), start),
            None,
            "the check has only just gone out"
        );
        let now = start + after(5);
        assert_eq!(checks.triggered(address(1), address(3), now), None);
        assert_eq!(
            checks.triggered(address(1), address(2), now),
            Some(message(7))
        );
        checks.answered(&[7; 12]);
        assert_eq!(checks.triggered(address(1), address(2), now), None);
    }

    #[test]
    fn repetitions_are_bounded_in_number_and_time() {
        let start = Instant::now();
        let mut checks = Checks::default();
        checks.sent(address(1), address(2), &message(7), start);
        let repeats = (1..100)
            .filter(|&ms| {
                let now = start + after(ms);
                checks.triggered(address(1), address(2), now).is_some()
            })
            .count();
        assert_eq!(repeats, usize::from(MAX_REPEATS));

        checks.sent(address(1), address(2), &message(8), start);
        assert!(checks.opened(address(2), start + LIFETIME).is_empty());
    }

    #[test]
    fn only_the_newest_check_of_a_pair_is_repeated() {
        let start = Instant::now();
        let mut checks = Checks::default();
        checks.sent(address(1), address(2), &message(1), start);
        checks.sent(address(1), address(2), &message(2), start + after(1));
        checks.sent(address(3), address(2), &message(3), start + after(1));
        let opened = checks.opened(address(2), start + after(2));
        let messages: Vec<_> = opened.into_iter().map(|(.., message)| message).collect();
        assert_eq!(messages, [message(2), message(3)]);
    }

    #[test]
    fn bursts_come_as_planned_and_can_be_cancelled() {
        let start = Instant::now();
        let mut checks = Checks::default();
        checks.sent(address(1), address(2), &message(1), start);
        checks.sent(address(1), address(3), &message(2), start);
        checks.plan_bursts(start);
        let relayed = |_: SocketAddr, destination| destination == address(3);
        let mut times = Vec::new();
        while let Some(at) = checks.deadline() {
            let burst = checks.pop_burst(at, relayed);
            assert_eq!(burst, [(address(1), address(3), message(2))]);
            times.push(at - start);
        }
        assert_eq!(times, BURST);

        checks.plan_bursts(start);
        checks.cancel_bursts();
        assert_eq!(checks.deadline(), None);
        assert!(checks.pop_burst(start + after(200), relayed).is_empty());
    }

    #[test]
    fn the_number_of_checks_is_bounded() {
        let now = Instant::now();
        let mut checks = Checks::default();
        for port in 0..1000 {
            let destination = SocketAddr::from(([192, 0, 2, 1], port));
            checks.sent(address(1), destination, &message(1), now);
        }
        assert_eq!(checks.pending.len(), MAX_CHECKS);
    }
}
