//! The timers of a connection: one table says when each expires, and it arms and enforces them.

use super::Connection;
use crate::{CloseReason, event::Wakeup};
use std::time::{Duration, Instant};

/// How long the peer has to signal a first candidate. spec: data-plane 2.16
const CANDIDATE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may be without any pair that works or could. spec: data-plane 2.16
const DISCONNECT_GRACE: Duration = Duration::from_secs(2);
/// How long a connection may be without a path while there are pairs to try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Without packets for this long, checks slow down. spec: data-plane 2.15
const IDLE_AFTER: Duration = Duration::from_secs(20);
/// What healthy connections do regularly happens at multiples of this, so that it costs one wake-up.
const COALESCE: Duration = Duration::from_millis(2500);
/// How long nothing new was tried before a connection coalesces its timers.
const STEADY_AFTER: Duration = Duration::from_secs(5);
/// A peer that is checked every 1.5 s and from which nothing came for this long is in trouble.
const SILENCE: Duration = Duration::from_secs(3);
/// How often relays are checked while a peer is silent.
const RELAY_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// A peer from which nothing comes for this long after we were stopped has given us up meanwhile.
const RESUME_TIMEOUT: Duration = Duration::from_secs(4);

/// What a connection waits for. Of timers that expire at the same instant the first one here counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The ICE agent has a check to send, or to give up. RFC 8445 section 14
    ConnectivityCheck,
    /// A check is repeated before the agent would, because a candidate is new.
    EarlyCheck,
    /// A handshake is to be repeated or given up. spec: data-plane 6.3
    Handshake,
    /// WireGuard's own timers are to be looked at: rekeying, keep-alives, expiry.
    WireGuard,
    /// The peer has not signalled any candidate.
    Candidates,
    /// No pair works, and none is left to try.
    Disconnect,
    /// This process was stopped, and nothing has come from the peer since.
    Resume,
    /// Nothing has come from the peer for a while, so the relays are checked.
    SilentPeer,
    /// There are pairs, but none of them became a path.
    Connect,
    /// No packet has passed for a while, so checks slow down. spec: data-plane 2.15
    Idle,
}

impl Timer {
    const ALL: [Self; 10] = [
        Self::ConnectivityCheck,
        Self::EarlyCheck,
        Self::Handshake,
        Self::WireGuard,
        Self::Candidates,
        Self::Disconnect,
        Self::Resume,
        Self::SilentPeer,
        Self::Connect,
        Self::Idle,
    ];

    /// What a wake-up for this timer is called in logs.
    const fn name(self) -> &'static str {
        match self {
            Self::ConnectivityCheck => "connectivity check",
            Self::EarlyCheck => "early connectivity check",
            Self::Handshake => "WireGuard handshake",
            Self::WireGuard => "WireGuard timers",
            Self::Candidates => "candidate timeout",
            Self::Disconnect => "disconnect grace",
            Self::Resume => "resume timeout",
            Self::SilentPeer => "silent peer",
            Self::Connect => "connect timeout",
            Self::Idle => "idle",
        }
    }

    /// Why the connection ends when this timer expires, if that is what it means.
    const fn close_reason(self) -> Option<CloseReason> {
        match self {
            Self::Candidates => Some(CloseReason::NoCandidates),
            Self::Connect | Self::Disconnect | Self::Resume => Some(CloseReason::NoPath),
            Self::ConnectivityCheck
            | Self::EarlyCheck
            | Self::Handshake
            | Self::WireGuard
            | Self::SilentPeer
            | Self::Idle => None,
        }
    }

    /// Whether a healthy connection does this late, together with others.
    const fn may_coalesce(self) -> bool {
        matches!(
            self,
            Self::ConnectivityCheck | Self::Handshake | Self::WireGuard
        )
    }
}

/// When something last happened on a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activity {
    /// When an IP packet last passed.
    pub(super) last_packet: Instant,
    /// When anything authentic last came from the peer, or was first expected.
    pub(super) last_received: Instant,
    /// When there last was something new to try.
    pub(super) changed: Instant,
    /// When relays were last checked because the peer was silent.
    pub(super) relays_checked_at: Option<Instant>,
    /// No packet has passed for a while: checks are slow.
    pub(super) is_idle: bool,
}

impl Activity {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            last_packet: now,
            last_received: now,
            changed: now,
            relays_checked_at: None,
            is_idle: false,
        }
    }

    fn is_quiet(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_packet) >= IDLE_AFTER
    }

    /// When relays are to be checked if nothing comes from the peer until then.
    fn relay_check_at(&self) -> Instant {
        let silent = self.last_received + SILENCE;
        let again = self.relays_checked_at.map(|at| at + RELAY_CHECK_INTERVAL);
        again.map_or(silent, |again| again.max(silent))
    }
}

/// What a connection lacks, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// Since when there has been no path; of no meaning while there is one.
    pub(super) since: Instant,
    /// The peer has signalled a candidate.
    pub(super) has_remote_candidate: bool,
    /// Since when there has been no pair to try.
    pub(super) disconnected: Option<Instant>,
    /// When this process ran again after it had been stopped, while nothing has come from the peer
    /// since.
    pub(super) resumed: Option<Instant>,
}

impl Waiting {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            has_remote_candidate: false,
            disconnected: None,
            resumed: None,
        }
    }
}

impl Connection {
    /// When [`Self::drive`] is to be called, and why. Coalesced timers are counted from `epoch`.
    pub(crate) fn deadline(&mut self, now: Instant, epoch: Instant) -> Option<Wakeup> {
        let is_coalesced = self.is_coalesced(now);
        let wakeups = Timer::ALL.into_iter().filter_map(|timer| {
            let exact = self.expiry(timer, now)?;
            let at = if is_coalesced && timer.may_coalesce() {
                align_up(exact, epoch)
            } else {
                exact
            };
            let why = timer.name();
            Some(Wakeup { at, why })
        });
        wakeups.min_by_key(|wakeup| wakeup.at)
    }

    /// Whether a timer has expired.
    pub(super) fn is_due(&mut self, timer: Timer, now: Instant) -> bool {
        self.expiry(timer, now).is_some_and(|at| at <= now)
    }

    /// Why the connection ends, if one of its limits is reached.
    pub(super) fn expired_limit(&mut self, now: Instant) -> Option<CloseReason> {
        Timer::ALL.into_iter().find_map(|timer| {
            let reason = timer.close_reason()?;
            self.is_due(timer, now).then_some(reason)
        })
    }

    /// Whether all is well and nothing new is tried, so that no timer has to be exact.
    pub(super) fn is_coalesced(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        self.path.is_some()
            && !self.session.is_handshaking()
            && since(self.activity.changed) >= STEADY_AFTER
            && (self.activity.is_idle || since(self.activity.last_received) < SILENCE)
    }

    /// The table: when each timer expires; `None` while it does not run.
    fn expiry(&mut self, timer: Timer, now: Instant) -> Option<Instant> {
        let (activity, waiting) = (self.activity, self.waiting);
        let has_path = self.path.is_some();
        let is_active = has_path && !activity.is_idle;
        match timer {
            Timer::ConnectivityCheck => self.agent.deadline(),
            Timer::EarlyCheck => self.checks.deadline(),
            Timer::Handshake => self.session.handshake_deadline().filter(|_| has_path),
            Timer::WireGuard => {
                has_path.then(|| self.session.tick_deadline(activity.is_quiet(now)))
            }
            Timer::Candidates => {
                (!waiting.has_remote_candidate).then(|| waiting.since + CANDIDATE_TIMEOUT)
            }
            Timer::Disconnect => Some(waiting.disconnected? + DISCONNECT_GRACE),
            Timer::Resume => Some(waiting.resumed? + RESUME_TIMEOUT),
            Timer::SilentPeer => is_active.then(|| activity.relay_check_at()),
            Timer::Connect => (!has_path).then(|| waiting.since + CONNECT_TIMEOUT),
            Timer::Idle => is_active.then(|| activity.last_packet + IDLE_AFTER),
        }
    }
}

/// The first multiple of [`COALESCE`] since `epoch` that is not before `at`.
fn align_up(at: Instant, epoch: Instant) -> Instant {
    let past = at.saturating_duration_since(epoch).as_nanos() % COALESCE.as_nanos();
    let rest = u64::try_from((COALESCE.as_nanos() - past) % COALESCE.as_nanos()).unwrap_or(0);
    at + Duration::from_nanos(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coalesced_timers_expire_at_the_next_multiple() {
        let epoch = Instant::now();
        for (exact, aligned) in [(0, 0), (1, 2500), (2499, 2500), (2500, 2500), (2501, 5000)] {
            let at = align_up(epoch + Duration::from_millis(exact), epoch);
            assert_eq!(at - epoch, Duration::from_millis(aligned), "{exact}");
        }
    }

    #[test]
    fn timers_that_end_a_connection_are_exact() {
        for timer in Timer::ALL {
            let ends = timer.close_reason().is_some();
            assert!(!(ends && timer.may_coalesce()), "{timer:?}");
        }
    }

    #[test]
    fn every_timer_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Timer::ALL.map(Timer::name).into();
        assert_eq!(names.len(), Timer::ALL.len());
    }
}
