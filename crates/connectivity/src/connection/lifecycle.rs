//! The life of a connection: what it consists of, what is done when it is due, and how it ends.

use super::{
    Context,
    agent::{Agent, IceEvent, Pace},
    checks::Checks,
    packet_queue::PacketQueue,
    path::{self, Path},
    reflexive::ReflexiveSources,
    remote::RemoteCandidates,
    signals::Signals,
    timers::{Activity, Timer, Waiting},
    transactions::{Transaction, check_id, is_request},
};
use crate::{
    Authorization, CloseReason, PeerStatus, Role,
    session::{Session, Tick},
};
use model::{Candidate, PeerId, RelayId};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

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
    pub(super) reflexive: ReflexiveSources,
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
    /// [`Connection::drive`] has something to do.
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
            reflexive: ReflexiveSources::default(),
            signals: Signals::new(),
            relay: None,
            relayed: Vec::new(),
            path: None,
            packets: PacketQueue::default(),
            messages: PacketQueue::default(),
            activity: Activity::new(now),
            waiting: Waiting::new(now),
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
        // The peer may have lost its connection, and with it the candidates that were signalled before.
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
        if self.is_due(Timer::Handshake, cx.now) || self.is_due(Timer::WireGuard, cx.now) {
            self.tick(cx);
        }
        self.renew_agent();
        self.advance_agent(cx);
        self.repeat_checks(cx);
        self.check_relays(cx);
        self.set_pace(cx.now);
        self.is_dirty = false;
        self.close_reason.or_else(|| self.expired_limit(cx.now))
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

    pub(super) fn advance_agent(&mut self, cx: &mut Context<'_>) {
        let Self {
            agent,
            checks,
            relay,
            reflexive,
            origin,
            ..
        } = self;
        let now = cx.now;
        agent.advance(now, |source, destination, message| {
            if !reflexive.may_send(destination, now) {
                return;
            }
            if is_request(message) {
                checks.sent(source, destination, message, now);
                if let Some(id) = check_id(message) {
                    let transaction = Transaction {
                        slot: origin.slot,
                        source,
                        destination,
                        is_answered: false,
                    };
                    cx.transactions.insert(id, transaction, now);
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

    /// The agent forgets nothing by itself, so it starts over once it has heard of too many candidates.
    /// The path stays until the agent finds another one.
    fn renew_agent(&mut self) {
        if self.agent.is_full() {
            self.reflexive.forget_unproven();
            let (remote, reflexive) = (&self.remote, &self.reflexive);
            self.agent
                .renew(|address| remote.has_address(address) || reflexive.contains(address));
        }
    }

    /// ICE chose a pair: what waited for a path goes out, and the controlling side shakes hands.
    fn take_path(&mut self, source: SocketAddr, destination: SocketAddr, cx: &mut Context<'_>) {
        if self
            .path
            .is_some_and(|path| path.joins(source, destination))
        {
            return;
        }
        let relay = path::owner(self.relay, source, cx.relays);
        let ends_at_relay = self.agent.is_remote_relay(destination);
        let path = Path::new(source, destination, relay, ends_at_relay);
        tracing::debug!(peer = %self.origin.peer, path = %path.kind, "New path");
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
            self.send_check(source, destination, &message, cx);
        }
    }

    /// A silent peer may mean that a relay is gone, or that our address has changed on the way.
    fn check_relays(&mut self, cx: &mut Context<'_>) {
        if self.is_due(Timer::SilentPeer, cx.now) {
            self.activity.relays_checked_at = Some(cx.now);
            cx.relays.check(cx.now);
        }
    }

    /// Adapts the pace of checks to what is going on.
    fn set_pace(&mut self, now: Instant) {
        self.activity.is_idle |= self.is_due(Timer::Idle, now);
        self.agent.set_pace(if self.activity.is_idle {
            Pace::IDLE
        } else if self.is_coalesced(now) {
            Pace::COALESCED
        } else {
            Pace::DEFAULT
        });
    }
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
