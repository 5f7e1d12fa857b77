//! The life of a connection: what it consists of, what time does to it, and how it ends.

use super::{
    Context,
    agent::{Agent, IceEvent, Pace},
    checks::Checks,
    packet_queue::PacketQueue,
    path::{self, Path},
    remote::RemoteCandidates,
    signals::Signals,
    transactions::{check_id, is_request},
};
use crate::{
    Authorization, CloseReason, PeerStatus, Role,
    event::Wakeup,
    session::{Session, Tick},
};
use model::{Candidate, PeerId, RelayId};
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
/// A peer that is checked every 1.5 s and has not been heard for this long is in trouble.
const SILENCE: Duration = Duration::from_secs(3);
/// How often relays are checked while a peer is silent.
const RELAY_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// A peer that is not heard for this long after we were stopped has given us up meanwhile.
const RESUME_TIMEOUT: Duration = Duration::from_secs(4);
/// Room for any message that WireGuard's timers produce.
const SCRATCH: usize = 256;

/// What a connection starts from.
pub(crate) struct Origin {
    /// With whom.
    pub(crate) peer: PeerId,
    /// What the portal handed out.
    pub(crate) authorization: Authorization,
    /// Which end this is.
    pub(crate) role: Role,
    /// Its place in the table.
    pub(crate) slot: usize,
    /// For ICE role conflicts.
    pub(crate) tie_breaker: u64,
}

/// How lively a connection is.
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
    pub(super) is_idle: bool,
}

/// What may end a connection that has no path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// Since when there has been no path.
    pub(super) since: Instant,
    /// The peer has signalled a candidate.
    pub(super) has_remote_candidate: bool,
    /// Since when there has been no pair to try.
    pub(super) disconnected: Option<Instant>,
    /// When this process ran again after it had been stopped, while the peer has not been heard since.
    pub(super) resumed: Option<Instant>,
}

/// IP traffic so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// A connection to a peer.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) origin: Origin,
    pub(super) agent: Agent,
    pub(super) session: Session,
    pub(super) checks: Checks,
    pub(super) remote: RemoteCandidates,
    pub(super) signals: Signals,
    pub(super) relay: Option<RelayId>,
    /// What our relay opened for this connection, as the agent and the peer know it.
    pub(super) relayed: Vec<(is::Candidate, Candidate)>,
    pub(super) path: Option<Path>,
    pub(super) packets: PacketQueue,
    pub(super) messages: PacketQueue,
    pub(super) activity: Activity,
    pub(super) waiting: Waiting,
    pub(super) traffic: Traffic,
    /// The owner was told that the session is there.
    pub(super) is_announced: bool,
    /// Why this must end.
    pub(super) close_reason: Option<CloseReason>,
    /// Something happened that time or the agent has to follow up.
    pub(super) is_dirty: bool,
}

impl Connection {
    pub(crate) fn new(origin: Origin, session: Session, now: Instant) -> Self {
        Self {
            agent: Agent::new(origin.role, &origin.authorization, origin.tie_breaker),
            origin,
            session,
            checks: Checks::default(),
            remote: RemoteCandidates::default(),
            signals: Signals::new(),
            relay: None,
            relayed: Vec::new(),
            path: None,
            packets: PacketQueue::default(),
            messages: PacketQueue::default(),
            activity: Activity {
                last_packet: now,
                last_received: now,
                changed: now,
                relays_checked_at: None,
                is_idle: false,
            },
            waiting: Waiting {
                since: now,
                has_remote_candidate: false,
                disconnected: None,
                resumed: None,
            },
            traffic: Traffic::default(),
            is_announced: false,
            close_reason: None,
            is_dirty: true,
        }
    }

    /// With whom this is.
    pub(crate) fn peer(&self) -> PeerId {
        self.origin.peer
    }

    /// What the portal handed out for it.
    pub(crate) fn authorization(&self) -> &Authorization {
        &self.origin.authorization
    }

    /// Whether another authorization is about the same connection. spec: data-plane 2.13
    ///
    /// The pre-shared key may differ: portals of this generation draw a new one for every resource.
    pub(crate) fn serves(&self, other: &Authorization) -> bool {
        let own = &self.origin.authorization;
        own.local_ice == other.local_ice
            && own.remote_ice == other.remote_ice
            && own.public_key == other.public_key
    }

    /// The same peer was authorized again.
    pub(crate) fn reuse(&mut self, now: Instant) {
        self.wake(now);
        // The other side may have lost its half and be waiting for what we said long ago.
        if self.origin.role == Role::Gateway || self.path.is_none() {
            self.signals.repeat();
            self.is_dirty = true;
        }
    }

    /// Whether packets can be sent.
    pub(crate) fn is_connected(&self) -> bool {
        self.path.is_some() && self.session.is_established()
    }

    /// A snapshot; `unix` turns an instant into time since the epoch.
    pub(crate) fn status(&self, unix: impl Fn(Instant) -> Duration) -> PeerStatus {
        PeerStatus {
            peer: self.origin.peer,
            path: self.path.map(|path| path.kind),
            relay: self.path.and_then(|path| path.relay),
            rtt: self.agent.rtt(),
            sent: self.traffic.sent,
            received: self.traffic.received,
            last_handshake: self.session.last_handshake().map(unix),
            idle: self.activity.is_idle,
        }
    }

    /// Whether [`Self::drive`] has something to do.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Does all that is due. Returns why the connection has to end, if it has to.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        if self.path.is_some() && self.session_deadline(cx.now).at <= cx.now {
            self.tick(cx);
        }
        self.advance_agent(cx);
        self.repeat_checks(cx);
        self.check_relays(cx);
        self.set_pace(cx.now);
        self.is_dirty = false;
        self.failure(cx.now)
    }

    /// When [`Self::drive`] is to be called, and why. Coalesced timers are counted from `epoch`.
    pub(crate) fn deadline(&mut self, now: Instant, epoch: Instant) -> Option<Wakeup> {
        let due = |at: Option<Instant>, why| at.map(|at| Wakeup { at, why });
        let waiting = self.waiting;
        let no_path = self.path.is_none();
        let session = (!no_path).then(|| self.session_deadline(now));
        let is_coalesced = self.is_coalesced(now);
        let paced = |at| {
            if is_coalesced {
                align_up(at, epoch)
            } else {
                at
            }
        };
        let is_lively = !no_path && !self.activity.is_idle;
        [
            due(self.agent.deadline().map(paced), "connectivity check"),
            due(self.checks.deadline(), "early connectivity check"),
            session.map(|wakeup| Wakeup {
                at: paced(wakeup.at),
                ..wakeup
            }),
            due(
                (!waiting.has_remote_candidate).then(|| waiting.since + CANDIDATE_TIMEOUT),
                "candidate timeout",
            ),
            due(
                waiting.disconnected.map(|since| since + DISCONNECT_GRACE),
                "disconnect grace",
            ),
            due(
                waiting.resumed.map(|since| since + RESUME_TIMEOUT),
                "resume timeout",
            ),
            due(is_lively.then(|| self.relay_check_at()), "silent peer"),
            due(
                no_path.then(|| waiting.since + CONNECT_TIMEOUT),
                "connect timeout",
            ),
            due(
                is_lively.then(|| self.activity.last_packet + IDLE_AFTER),
                "idle",
            ),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|wakeup| wakeup.at)
    }

    /// This process had been stopped for longer than peers wait.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.wake(now);
        self.activity.last_received = now;
        self.waiting.resumed = Some(now);
        self.is_dirty = true;
    }

    /// Something authentic came from the peer.
    pub(super) fn on_authenticated(&mut self, now: Instant) {
        self.activity.last_received = now;
        self.waiting.resumed = None;
    }

    /// Lets WireGuard's timers catch up.
    pub(super) fn tick(&mut self, cx: &mut Context<'_>) {
        let mut scratch = [0; SCRATCH];
        match self.session.tick(&mut scratch, cx.now) {
            Tick::Send(length) => self.send_message(&scratch[..length], cx),
            Tick::Done => {}
            Tick::Dead(reason) => self.close_reason = self.close_reason.or(Some(reason)),
        }
        self.is_dirty = true;
    }

    /// Leaves idle mode: something is going on.
    pub(super) fn wake(&mut self, now: Instant) {
        self.activity.last_packet = now;
        if self.activity.is_idle {
            self.activity.is_idle = false;
            self.activity.last_received = now;
            self.activity.changed = now;
            self.agent.set_pace(Pace::DEFAULT);
            self.is_dirty = true;
        }
    }

    /// There is no path any more.
    pub(super) fn lose_path(&mut self, now: Instant) {
        if self.path.take().is_some() {
            self.waiting.since = now;
        }
        self.is_dirty = true;
    }

    fn advance_agent(&mut self, cx: &mut Context<'_>) {
        let Self {
            agent,
            checks,
            relay,
            origin,
            ..
        } = self;
        let now = cx.now;
        agent.advance(now, |source, destination, message| {
            if is_request(message) {
                checks.sent(source, destination, message, now);
                if let Some(id) = check_id(message) {
                    cx.transactions.insert(id, origin.slot, now);
                }
            }
            path::send_between(*relay, source, destination, message, cx);
        });
        while let Some(event) = self.agent.poll() {
            match event {
                IceEvent::Nominated {
                    source,
                    destination,
                } => self.take_path(source, destination, cx),
                IceEvent::Disconnected => self.waiting.disconnected = Some(now),
                IceEvent::Checking => self.waiting.disconnected = None,
            }
        }
    }

    /// ICE chose a pair: what waited for a path goes out, and the controlling side shakes hands.
    fn take_path(
        &mut self,
        source: std::net::SocketAddr,
        destination: std::net::SocketAddr,
        cx: &mut Context<'_>,
    ) {
        if self
            .path
            .is_some_and(|path| path.joins(source, destination))
        {
            return;
        }
        let relay = path::owner(self.relay, source, cx.relays);
        let ends_at_relay = self.agent.is_remote_relay(destination);
        let path = Path::new(source, destination, relay, ends_at_relay);
        tracing::debug!(peer = %self.origin.peer, kind = ?path.kind, "New path");
        self.path = Some(path);
        self.activity.changed = cx.now;
        self.waiting.disconnected = None;
        self.checks.cancel_bursts();
        while let Some(message) = self.messages.pop() {
            path.send_control(&message, cx);
        }
        if self.origin.role == Role::Client {
            self.start_handshake(cx);
        }
        self.flush_packets(cx);
    }

    fn repeat_checks(&mut self, cx: &mut Context<'_>) {
        let (agent, relay, relays) = (&self.agent, self.relay, &*cx.relays);
        let repeated = self.checks.pop_burst(cx.now, |source, destination| {
            path::owner(relay, source, relays).is_some() || agent.is_remote_relay(destination)
        });
        for (source, destination, message) in repeated {
            path::send_between(self.relay, source, destination, &message, cx);
        }
    }

    /// A silent peer may mean that a relay is gone, or that our address has changed on the way.
    fn check_relays(&mut self, cx: &mut Context<'_>) {
        let is_lively = self.path.is_some() && !self.activity.is_idle;
        if is_lively && self.relay_check_at() <= cx.now {
            self.activity.relays_checked_at = Some(cx.now);
            cx.relays.check(cx.now);
        }
    }

    fn relay_check_at(&self) -> Instant {
        let silent = self.activity.last_received + SILENCE;
        let again = self
            .activity
            .relays_checked_at
            .map(|at| at + RELAY_CHECK_INTERVAL);
        again.map_or(silent, |again| again.max(silent))
    }

    /// Adapts the pace of checks to what is going on.
    fn set_pace(&mut self, now: Instant) {
        let is_quiet = now.saturating_duration_since(self.activity.last_packet) >= IDLE_AFTER;
        self.activity.is_idle |= is_quiet && self.path.is_some();
        self.agent.set_pace(if self.activity.is_idle {
            Pace::IDLE
        } else if self.is_coalesced(now) {
            Pace::COALESCED
        } else {
            Pace::DEFAULT
        });
    }

    /// Whether all is well and nothing new is tried, so that no timer has to be exact.
    fn is_coalesced(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        self.path.is_some()
            && !self.session.is_handshaking()
            && since(self.activity.changed) >= STEADY_AFTER
            && (self.activity.is_idle || since(self.activity.last_received) < SILENCE)
    }

    fn session_deadline(&self, now: Instant) -> Wakeup {
        let is_quiet = now.saturating_duration_since(self.activity.last_packet) >= IDLE_AFTER;
        self.session.deadline(is_quiet)
    }

    fn failure(&self, now: Instant) -> Option<CloseReason> {
        let waiting = self.waiting;
        let lasted = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        if let Some(reason) = self.close_reason {
            return Some(reason);
        }
        if !waiting.has_remote_candidate && lasted(waiting.since, CANDIDATE_TIMEOUT) {
            return Some(CloseReason::NoCandidates);
        }
        let is_cut_off = waiting
            .disconnected
            .is_some_and(|since| lasted(since, DISCONNECT_GRACE));
        let is_given_up = waiting
            .resumed
            .is_some_and(|since| lasted(since, RESUME_TIMEOUT));
        let is_stuck = self.path.is_none() && lasted(waiting.since, CONNECT_TIMEOUT);
        (is_cut_off || is_given_up || is_stuck).then_some(CloseReason::NoPath)
    }
}

/// The first multiple of [`COALESCE`] since `epoch` that is not before `at`.
fn align_up(at: Instant, epoch: Instant) -> Instant {
    let past = at.saturating_duration_since(epoch).as_nanos() % COALESCE.as_nanos();
    let rest = u64::try_from((COALESCE.as_nanos() - past) % COALESCE.as_nanos()).unwrap_or(0);
    at + Duration::from_nanos(rest)
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin")
            .field("peer", &self.peer)
            .field("role", &self.role)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
