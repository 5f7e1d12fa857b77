//! The whole: routes what comes in to relays and connections, and collects what they want.

mod inbound;
mod propagate;

use crate::{
    Authorization, DropCounters, DropReason, Event, NoRelay, Output, PeerStatus, Role, Transmit,
    Upsert, Verdict,
    connection::{Connection, Connections, Context, Origin, Probes, Transactions},
    deadlines::{Deadlines, Owner},
    local_candidates::{CandidateChange, LocalCandidates},
    relay::Relays,
    session::{Identity, Indices, Session},
    transmit::SendQueue,
};
use model::{Candidate, PeerId, PublicKey, Relay, RelayId, Seed, SeedTree};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// If we are called this much too late, this process was stopped or the host asleep: peers may have
/// given up on us meanwhile.
const SUSPENDED_AFTER: Duration = Duration::from_secs(12);

/// Connections to peers over direct and relayed paths, as one state machine.
///
/// # Kinds of method
///
/// * **Inputs** say what happened, and take the time at which it did: [`update_relays`], [`upsert`],
///   [`remove`], [`add_host_candidate`], [`add_remote_candidate`], [`remove_remote_candidate`],
///   [`send`], [`handle_datagram`], [`handle_timeout`] and [`reset`]. Each does all that follows from
///   it before it returns.
/// * **Outputs**: [`poll`] hands out what is to be done, one thing at a time, and [`recycle`] takes a
///   buffer back.
/// * **Questions** change nothing, and may be asked at any time: [`public_key`], [`has_peer`],
///   [`is_connected`], [`peers`], [`counters`].
///
/// # Order of calls
///
/// Call inputs, any number of them, then [`poll`] until it returns [`Output::Idle`]. It names the time
/// at which to call [`handle_timeout`], unless another input comes first. Whoever polls after every
/// input has the shortest delay; whoever hands in a batch of packets first gets larger batches out.
///
/// Of [`poll`], datagrams come first, in the order of their making for each route; then events, in the
/// order in which they happened; then candidates to signal, all of one peer together, so that a peer
/// never hears of a candidate that was withdrawn in the same turn.
///
/// # Time
///
/// No clock is read, but for that of `boringtun` (see the page of the crate). Instants passed in must
/// not go back; if they do, nothing worse happens than that something is late. Calling
/// [`handle_timeout`] early, late or for no reason is harmless. If it is called more than twelve
/// seconds late, this process is taken to have been asleep: peers get four seconds to show that they
/// have not given up on us.
///
/// Of inputs at the same instant, the one that is called first is the one that happened first. Hand in
/// datagrams before calling [`handle_timeout`] for the same instant, or an answer that is there counts
/// as missing. What is due at the same instant is done for connections before relays, and on one
/// connection in the order in which its timers are listed in the source.
///
/// # What never happens
///
/// * No input from the network or the portal panics. Misuse by the caller is an error or does nothing.
/// * After [`Output::Idle`] nothing is handed out before the next input.
/// * No event comes for a packet, and none for what the caller asked for: [`remove`], [`reset`] and the
///   replacement of a connection by [`upsert`] are silent.
/// * A connection that is closed does not come back without another [`upsert`].
/// * Nothing is dropped without being counted in [`counters`], except what `boringtun` and the ICE agent
///   discard inside, which they do not tell.
///
/// [`add_host_candidate`]: Self::add_host_candidate
/// [`add_remote_candidate`]: Self::add_remote_candidate
/// [`counters`]: Self::counters
/// [`handle_datagram`]: Self::handle_datagram
/// [`handle_timeout`]: Self::handle_timeout
/// [`has_peer`]: Self::has_peer
/// [`is_connected`]: Self::is_connected
/// [`peers`]: Self::peers
/// [`poll`]: Self::poll
/// [`public_key`]: Self::public_key
/// [`recycle`]: Self::recycle
/// [`remove`]: Self::remove
/// [`remove_remote_candidate`]: Self::remove_remote_candidate
/// [`reset`]: Self::reset
/// [`send`]: Self::send
/// [`update_relays`]: Self::update_relays
/// [`upsert`]: Self::upsert
#[derive(Debug)]
pub struct Connectivity {
    role: Role,
    identity: Identity,
    /// An instant and the time since the Unix epoch at that instant.
    epoch: (Instant, Duration),
    randomness: Randomness,
    relays: Relays,
    local_candidates: LocalCandidates,
    connections: Connections,
    transactions: Transactions,
    probes: Probes,
    queue: SendQueue,
    events: VecDeque<Event>,
    deadlines: Deadlines,
    counters: DropCounters<DropReason>,
}

/// Everything that is drawn from the seed after the key.
#[derive(Debug)]
struct Randomness {
    seeds: SeedTree,
    indices: Indices,
    tie_breakers: ChaCha20Rng,
    sessions: u64,
}

impl Randomness {
    fn new(seeds: SeedTree) -> Self {
        Self {
            indices: Indices::new(&mut seeds.stream("session indices")),
            tie_breakers: seeds.stream("tie breakers"),
            seeds,
            sessions: 0,
        }
    }

    fn jitter(&mut self) -> ChaCha20Rng {
        self.sessions += 1;
        self.seeds.stream(&format!("jitter {}", self.sessions))
    }
}

impl Connectivity {
    /// Starts without relays and peers, and with a fresh key from the seed.
    ///
    /// `unix_time` is the time since the Unix epoch at `now`; it only serves the status.
    pub fn new(role: Role, seed: Seed, unix_time: Duration, now: Instant) -> Self {
        let seeds = SeedTree::new(seed);
        Self {
            role,
            identity: Identity::new(&seeds),
            epoch: (now, unix_time),
            probes: Probes::new(seeds.stream("probes"), now),
            relays: Relays::new(seeds.branch("relays")),
            randomness: Randomness::new(seeds),
            local_candidates: LocalCandidates::default(),
            connections: Connections::default(),
            transactions: Transactions::default(),
            queue: SendQueue::default(),
            events: VecDeque::new(),
            deadlines: Deadlines::default(),
            counters: DropCounters::default(),
        }
    }

    /// The public key the portal needs to know.
    pub fn public_key(&self) -> PublicKey {
        self.identity.public_key()
    }

    /// Starts over on another network ("roaming"): a new key, no connection, no relay. spec: data-plane 2.17
    ///
    /// No event comes. What has not been polled is gone, and what waited is counted as
    /// [`DropReason::Reset`]; counters stay. The portal has to learn the new [`Self::public_key`], and
    /// relays have to be listed again by [`Self::update_relays`].
    pub fn reset(&mut self, seed: Seed, now: Instant) {
        let seeds = SeedTree::new(seed);
        self.identity = Identity::new(&seeds);
        self.relays = Relays::new(seeds.branch("relays"));
        self.probes = Probes::new(seeds.stream("probes"), now);
        self.randomness = Randomness::new(seeds);
        self.local_candidates = LocalCandidates::default();
        let waiting: usize = self.connections.iter().map(Connection::waiting).sum();
        self.connections.clear();
        self.transactions.clear();
        let unsent = self.queue.clear();
        self.counters.add(DropReason::Reset, waiting + unsent);
        self.events.clear();
        self.deadlines.clear();
        let uptime = now.saturating_duration_since(self.epoch.0);
        let after_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(after_ms, "Reset");
    }

    /// Applies what the portal says about relays: at the start, with nothing disconnected, and
    /// whenever their presence changes. spec: data-plane 4.1
    pub fn update_relays(&mut self, disconnected: &[RelayId], listed: Vec<Relay>, now: Instant) {
        let gone = self.relays.update(disconnected, listed, now);
        for &relay in &gone {
            self.forget_relay(relay, now);
        }
        self.propagate(now);
        if !gone.is_empty() {
            self.report_exhaustion();
        }
    }

    /// Connects to a peer, or keeps the connection that serves this authorization already.
    ///
    /// # Errors
    ///
    /// No relay is known, even if a direct path would do. Nothing changes then: an older connection with
    /// this peer lives on, though it does not serve the authorization. spec: data-plane 2.13
    pub fn upsert(
        &mut self,
        peer: PeerId,
        authorization: Authorization,
        now: Instant,
    ) -> Result<Upsert, NoRelay> {
        let older = self.connections.with_peer(peer);
        if let Some(slot) = older {
            let reused = self.with_connection(slot, now, |connection, cx| {
                let serves = connection.serves(&authorization);
                if serves {
                    connection.reuse(cx.now);
                }
                serves
            });
            if reused == Some(true) {
                self.propagate(now);
                return Ok(Upsert::Reused);
            }
        }
        if self.relays.is_empty() {
            self.events.push_back(Event::NoRelays);
            return Err(NoRelay);
        }
        if let Some(slot) = older {
            self.discard(slot);
        }
        self.connect(peer, authorization, now);
        self.propagate(now);
        Ok(Upsert::Created)
    }

    /// Drops the connection with a peer, without an event; does nothing if there is none.
    pub fn remove(&mut self, peer: PeerId, now: Instant) {
        if let Some(slot) = self.connections.with_peer(peer) {
            self.discard(slot);
        }
        self.propagate(now);
    }

    /// Whether there is a connection with this peer, in whatever state.
    pub fn has_peer(&self, peer: PeerId) -> bool {
        self.connections.with_peer(peer).is_some()
    }

    /// Whether there are a path and a session, so that packets to this peer go out at once.
    pub fn is_connected(&self, peer: PeerId) -> bool {
        self.connections
            .with_peer(peer)
            .and_then(|slot| self.connections.get(slot))
            .is_some_and(Connection::is_connected)
    }

    /// The peer signalled a candidate; ignored if there is no connection.
    pub fn add_remote_candidate(&mut self, peer: PeerId, candidate: &Candidate, now: Instant) {
        if let Some(slot) = self.connections.with_peer(peer) {
            self.with_connection(slot, now, |connection, cx| {
                connection.add_remote(candidate, cx);
            });
            self.propagate(now);
        }
    }

    /// The peer signalled that a candidate is no longer valid; ignored if it is not known.
    pub fn remove_remote_candidate(&mut self, peer: PeerId, candidate: &Candidate, now: Instant) {
        if let Some(slot) = self.connections.with_peer(peer) {
            self.with_connection(slot, now, |connection, cx| {
                connection.remove_remote(candidate, cx);
            });
            self.propagate(now);
        }
    }

    /// Adds a socket address of this host that no relay has told us about; 16 are kept, and the oldest
    /// one goes first.
    pub fn add_host_candidate(&mut self, address: SocketAddr, now: Instant) {
        let change = self.local_candidates.add_host(address);
        self.broadcast(&change, now);
        self.propagate(now);
    }

    /// Encrypts an IP packet of at most [`MTU`](model::limits::MTU) bytes straight into the batch for its
    /// path. Its content is looked at for the ECN bits alone, and not changed.
    ///
    /// While there is no session, packets of a client wait (the newest 128); those of a gateway
    /// are dropped.
    pub fn send(&mut self, peer: PeerId, packet: &[u8], now: Instant) -> Verdict {
        let verdict = match self.connections.with_peer(peer) {
            Some(slot) => self
                .with_connection(slot, now, |connection, cx| connection.send(packet, cx))
                .unwrap_or(Verdict::Dropped(DropReason::UnknownPeer)),
            None => Verdict::Dropped(DropReason::UnknownPeer),
        };
        if let Verdict::Dropped(reason) = verdict {
            self.counters.count(reason);
        }
        self.propagate(now);
        verdict
    }

    /// Does what is due at `now`; see [`Wakeup`](crate::Wakeup).
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((owner, at)) = self.deadlines.pop_due(now) {
            let is_late = now.saturating_duration_since(at) >= SUSPENDED_AFTER;
            match owner {
                Owner::Connection(slot) if is_late => {
                    self.with_connection(slot, now, |connection, cx| connection.resume(cx.now));
                }
                Owner::Connection(slot) => self.connections.mark(slot),
                Owner::Relay(id) => {
                    if let Some(allocation) = self.relays.get_mut(id) {
                        allocation.handle_timeout(now);
                    }
                }
            }
        }
        self.propagate(now);
    }

    /// The next thing for the caller to do; cheap if there is none. Call it until [`Output::Idle`].
    pub fn poll(&mut self) -> Output {
        if let Some(transmit) = self.queue.pop() {
            return Output::Send(transmit);
        }
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        while let Some(connection) = self.connections.signalling() {
            if let Some(event) = connection.poll_signal() {
                return Output::Event(event);
            }
        }
        Output::Idle(self.deadlines.next())
    }

    /// Takes back a batch that was sent, so that its buffer is used again. Dropping a batch costs an
    /// allocation and is otherwise harmless.
    pub fn recycle(&mut self, transmit: Transmit) {
        self.queue.recycle(transmit);
    }

    /// All connections at a glance, in no order that means anything.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> + '_ {
        let (start, unix) = self.epoch;
        self.connections.iter().map(move |connection| {
            connection.status(|at| unix + at.saturating_duration_since(start))
        })
    }

    /// How many packets and datagrams were dropped so far, by reason: also those that a
    /// [`Verdict::Dropped`] or [`Received::Dropped`](crate::Received::Dropped) told of.
    pub fn counters(&self) -> &DropCounters<DropReason> {
        &self.counters
    }

    fn connect(&mut self, peer: PeerId, authorization: Authorization, now: Instant) {
        let index = loop {
            let index = self.randomness.indices.next();
            if !self.connections.has_index(index) {
                break index;
            }
        };
        let session = Session::new(
            &self.identity,
            authorization.public_key,
            &authorization.preshared_key,
            index,
            self.randomness.jitter(),
            now,
        );
        let origin = Origin {
            peer,
            authorization,
            role: self.role,
            slot: self.connections.vacant(),
            tie_breaker: self.randomness.tie_breakers.next_u64(),
        };
        let mut connection = Connection::new(origin, session, now);
        for &host in self.local_candidates.hosts() {
            connection.add_host(host);
        }
        for candidate in self.local_candidates.reflexive() {
            connection.add_reflexive(candidate);
        }
        let slot = self.connections.insert(connection, index);
        self.with_connection(slot, now, |connection, cx| connection.join_relay(cx));
    }

    /// Drops a connection without a word.
    fn discard(&mut self, slot: usize) {
        if let Some(connection) = self.connections.remove(slot) {
            self.counters
                .add(DropReason::ConnectionClosed, connection.waiting());
            let relay = connection.relay().and_then(|id| self.relays.get_mut(id));
            if let Some(allocation) = relay {
                allocation.release_all(connection.peer());
            }
        }
        self.transactions.remove(slot);
        self.deadlines.set(Owner::Connection(slot), None);
    }

    /// Lends everything a connection may use to one of its methods.
    fn with_connection<T>(
        &mut self,
        slot: usize,
        now: Instant,
        act: impl FnOnce(&mut Connection, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let (connections, mut cx) = self.parts(now);
        let connection = connections.get_mut(slot)?;
        cx.peer = Some(connection.peer());
        let result = act(connection, &mut cx);
        if connection.is_dirty() {
            connections.mark(slot);
        }
        Some(result)
    }

    /// The same for every connection.
    fn with_connections(
        &mut self,
        now: Instant,
        mut act: impl FnMut(&mut Connection, &mut Context<'_>),
    ) {
        let (connections, mut cx) = self.parts(now);
        connections.for_each(|connection| {
            cx.peer = Some(connection.peer());
            act(connection, &mut cx);
        });
    }

    fn parts(&mut self, now: Instant) -> (&mut Connections, Context<'_>) {
        let cx = Context {
            relays: &mut self.relays,
            peer: None,
            queue: &mut self.queue,
            counters: &mut self.counters,
            transactions: &mut self.transactions,
            probes: &self.probes,
            now,
        };
        (&mut self.connections, cx)
    }

    /// Tells all connections about candidates of ours that came or went.
    fn broadcast(&mut self, change: &CandidateChange, now: Instant) {
        if *change == CandidateChange::default() {
            return;
        }
        self.with_connections(now, |connection, cx| {
            if let Some(host) = change.host_removed {
                connection.remove_host(host, cx);
            }
            if let Some(host) = change.host_added {
                connection.add_host(host);
            }
            for candidate in &change.reflexive_removed {
                connection.remove_reflexive(candidate);
            }
            if let Some(candidate) = &change.reflexive_added {
                connection.add_reflexive(candidate.clone());
            }
        });
    }
}

#[cfg(test)]
mod tests;
