//! The little internet itself: two ends, relays, NATs, and a portal that passes candidates on.
#![expect(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use crate::nat::{Nat, NatKind};
use crate::relay::TestRelay;
use connectivity::{
    Authorization, Connectivity, Datagram, Ecn, Event, Output, PathKind, Received, Role, Upsert,
    Verdict,
};
use model::{
    Candidate, IceCredentials, PeerId, PresharedKey, PublicKey, Seed, limits::MAX_UDP_PAYLOAD,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

pub(crate) const CLIENT: PeerId = PeerId::from_bytes([0xc1; 16]);
pub(crate) const GATEWAY: PeerId = PeerId::from_bytes([0x6a; 16]);
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Gateway,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Gateway];

    fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Gateway => 1,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Gateway,
            Self::Gateway => Self::Client,
        }
    }

    /// Whom this side talks to.
    pub(crate) fn peer(self) -> PeerId {
        match self {
            Self::Client => GATEWAY,
            Self::Gateway => CLIENT,
        }
    }
}

/// What travels, and to where.
enum Cargo {
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        ecn: Ecn,
        payload: Vec<u8>,
    },
    Added(Side, Vec<Candidate>),
    Removed(Side, Vec<Candidate>),
}

pub(crate) struct Node {
    pub(crate) connectivity: Connectivity,
    v4: SocketAddr,
    v6: Option<SocketAddr>,
    pub(crate) nat: Option<Nat>,
    pub(crate) inbox: Vec<Vec<u8>>,
    pub(crate) events: Vec<Event>,
    /// Datagrams sent so far.
    pub(crate) sent: u64,
    /// The moments at which a timer woke it.
    pub(crate) awake: BTreeSet<Instant>,
    /// Candidates signalled so far, in order.
    pub(crate) signalled: Vec<Candidate>,
    /// Datagrams as they arrived.
    pub(crate) arrived: Vec<Landed>,
    /// A suspended process does nothing; the kernel's buffer overflows.
    pub(crate) paused: bool,
}

/// A datagram at its destination.
#[derive(Debug, Clone)]
pub(crate) struct Landed {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Lab {
    pub(crate) now: Instant,
    start: Instant,
    nodes: [Node; 2],
    pub(crate) relays: Vec<TestRelay>,
    cargo: BTreeMap<(Instant, u64), Cargo>,
    sequence: u64,
    /// Time one hop takes.
    pub(crate) latency: Duration,
    /// Time the portal takes to pass candidates on.
    pub(crate) signalling: Duration,
    /// Whether a datagram from the first to the second address is lost.
    pub(crate) cut: Box<dyn FnMut(SocketAddr, SocketAddr) -> bool>,
    /// Marks every datagram on the way as having met congestion.
    pub(crate) congested: bool,
    pub(crate) psk: [u8; 32],
}

impl Lab {
    pub(crate) fn new(nat: Option<NatKind>, relays: Vec<TestRelay>) -> Self {
        let now = Instant::now();
        let node = |role, n: u8| {
            let seed = Seed::from_bytes([n; 32]);
            let outside = Ipv4Addr::new(203, 0, 113, n);
            let inside = match nat {
                Some(_) => Ipv4Addr::new(192, 168, n, 2),
                None => outside,
            };
            Node {
                connectivity: Connectivity::new(
                    role,
                    seed,
                    Duration::from_secs(1_750_000_000),
                    now,
                ),
                v4: SocketAddr::from((inside, 52625)),
                v6: None,
                nat: nat.map(|kind| Nat::new(kind, outside)),
                inbox: Vec::new(),
                events: Vec::new(),
                sent: 0,
                signalled: Vec::new(),
                awake: BTreeSet::new(),
                arrived: Vec::new(),
                paused: false,
            }
        };
        let hop = if cfg!(feature = "__virtual-time") {
            5
        } else {
            0
        };
        Self {
            now,
            start: now,
            nodes: [node(Role::Client, 1), node(Role::Gateway, 2)],
            relays,
            cargo: BTreeMap::new(),
            sequence: 0,
            latency: Duration::from_millis(hop),
            signalling: Duration::from_millis(hop),
            cut: Box::new(|_, _| false),
            congested: false,
            psk: [9; 32],
        }
    }

    /// Both ends behind NATs that let a direct path come about.
    pub(crate) fn direct() -> Self {
        Self::new(
            Some(NatKind::Cone),
            vec![TestRelay::new(1), TestRelay::new(2)],
        )
    }

    /// Both ends behind NATs that leave only relays.
    pub(crate) fn relayed() -> Self {
        Self::new(
            Some(NatKind::Symmetric),
            vec![TestRelay::new(1), TestRelay::new(2)],
        )
    }

    /// Gives both ends an IPv6 address; NATs are for IPv4 only.
    pub(crate) fn with_ipv6(mut self) -> Self {
        for (n, node) in (1..).zip(&mut self.nodes) {
            let ip = Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 2);
            node.v6 = Some(SocketAddr::from((ip, 52625)));
        }
        self
    }

    pub(crate) fn node(&mut self, side: Side) -> &mut Node {
        &mut self.nodes[side.index()]
    }

    pub(crate) fn status(&mut self, side: Side) -> Option<connectivity::PeerStatus> {
        self.node(side).connectivity.peers().next()
    }

    pub(crate) fn path(&mut self, side: Side) -> Option<PathKind> {
        self.status(side)?.path
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Tells both ends about all relays that are up, and waits until they have answered.
    pub(crate) fn start_relays(&mut self) {
        let listed: Vec<_> = self.relays.iter().map(TestRelay::listed).collect();
        for side in Side::BOTH {
            let now = self.now;
            let node = self.node(side);
            node.connectivity.update_relays(&[], listed.clone(), now);
            self.collect(side);
        }
        self.settle();
    }

    pub(crate) fn authorization(&mut self, side: Side) -> Authorization {
        let keys = Side::BOTH.map(|side| self.node(side).connectivity.public_key());
        let ice = |of: Side| {
            let key: PublicKey = keys[of.index()];
            let word = format!("{key}");
            IceCredentials {
                username: word[..4].to_owned(),
                password: word[4..26].to_owned().into(),
            }
        };
        Authorization {
            public_key: keys[side.other().index()],
            preshared_key: PresharedKey::from_bytes(self.psk),
            local_ice: ice(side),
            remote_ice: ice(side.other()),
        }
    }

    pub(crate) fn upsert(&mut self, side: Side) -> Upsert {
        let authorization = self.authorization(side);
        let now = self.now;
        let node = self.node(side);
        let upsert = node.connectivity.upsert(side.peer(), authorization, now);
        self.collect(side);
        upsert.expect("a relay")
    }

    /// Authorizes both ends, the gateway first, as the portal does.
    pub(crate) fn authorize(&mut self) {
        self.upsert(Side::Gateway);
        self.upsert(Side::Client);
    }

    /// Starts relays, connects and waits for the session.
    pub(crate) fn connect(&mut self) {
        self.start_relays();
        self.authorize();
        self.run_until(Duration::from_secs(5), |lab| lab.is_established());
        assert!(
            self.is_established(),
            "no connection after {:?}",
            self.elapsed()
        );
    }

    pub(crate) fn is_established(&mut self) -> bool {
        Side::BOTH.into_iter().all(|side| {
            self.nodes[side.index()]
                .connectivity
                .is_connected(side.peer())
        })
    }

    pub(crate) fn send(&mut self, side: Side, packet: &[u8]) -> Verdict {
        let now = self.now;
        let verdict = self.node(side).connectivity.send(side.peer(), packet, now);
        self.collect(side);
        verdict
    }

    /// Sends a packet each way and expects both to arrive.
    pub(crate) fn ping(&mut self) {
        for side in Side::BOTH {
            let packet = ipv4_packet(b"ping");
            let before = self.node(side.other()).inbox.len();
            assert_eq!(self.send(side, &packet), Verdict::Sent, "{side:?}");
            self.run_until(Duration::from_secs(1), |lab| {
                lab.node(side.other()).inbox.len() > before
            });
            assert_eq!(
                self.node(side.other()).inbox[before..],
                [packet],
                "{side:?}"
            );
        }
    }

    /// Runs until nothing is under way; deadlines do not count.
    pub(crate) fn settle(&mut self) {
        while let Some((&(at, _), _)) = self.cargo.first_key_value() {
            self.advance_to(at);
            self.deliver_due();
        }
    }

    /// Runs until `done` or until `limit` has passed.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        for _ in 0..1_000_000 {
            if done(self) {
                return;
            }
            if !self.step(end) {
                return;
            }
        }
        panic!("no end: something is due all the time");
    }

    /// Lets this much time pass.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run_until(duration, |_| false);
        self.advance_to(end);
    }

    /// Takes all that relays hold against a test's will: the portal says they are gone.
    pub(crate) fn disconnect_relays(&mut self, ids: &[model::RelayId]) {
        for side in Side::BOTH {
            let now = self.now;
            self.node(side)
                .connectivity
                .update_relays(ids, Vec::new(), now);
            self.collect(side);
        }
    }

    /// Takes a datagram all the way to the other end, outside time; as it arrives there.
    pub(crate) fn carry(&mut self, side: Side, to: SocketAddr, payload: &[u8]) -> Landed {
        let now = self.now;
        let node = self.node(side);
        let mut from = node.nat.as_mut().unwrap().outbound(node.v4, to);
        let (mut to, mut payload) = (to, payload.to_vec());
        while let Some(relay) = self.relays.iter_mut().find(|relay| relay.owns(to)) {
            (from, to, payload) = relay.handle(from, to, &payload, now).remove(0);
        }
        let nat = self.node(side.other()).nat.as_ref().unwrap();
        Landed {
            local: nat.inbound(from, to).unwrap(),
            remote: from,
            payload,
        }
    }

    /// Hands a datagram to one end, outside time and links.
    pub(crate) fn hand_over(&mut self, side: Side, landed: &Landed) -> Received {
        let now = self.now;
        let datagram = Datagram {
            local: landed.local,
            remote: landed.remote,
            ecn: Ecn::NotEct,
            payload: &landed.payload,
        };
        let node = self.node(side);
        let received = node
            .connectivity
            .handle_datagram(datagram, &mut [0; MAX_UDP_PAYLOAD], now);
        self.collect(side);
        received
    }

    /// The portal tells one end about a candidate of the other one.
    pub(crate) fn signal(&mut self, side: Side, candidate: &Candidate) {
        let now = self.now;
        let node = self.node(side);
        node.connectivity
            .add_remote_candidate(side.peer(), candidate, now);
        self.collect(side);
    }

    /// The portal tells one end that these candidates of the other one are no longer valid.
    pub(crate) fn retract(&mut self, side: Side, candidates: &[Candidate]) {
        let now = self.now;
        for candidate in candidates {
            let node = self.node(side);
            node.connectivity
                .remove_remote_candidate(side.peer(), candidate, now);
        }
        self.collect(side);
    }

    fn step(&mut self, end: Instant) -> bool {
        let cargo = self.cargo.first_key_value().map(|(&(at, _), _)| at);
        let wakeups = Side::BOTH.map(|side| self.wakeup(side));
        let next = wakeups.into_iter().flatten().chain(cargo).min();
        let Some(next) = next.filter(|&next| next <= end) else {
            return false;
        };
        if !cfg!(feature = "__virtual-time") && cargo.is_none() {
            return false;
        }
        self.advance_to(next);
        for side in Side::BOTH {
            let now = self.now;
            let is_due = self.wakeup(side).is_some_and(|at| at <= now);
            if is_due {
                self.node(side).awake.insert(now);
                self.node(side).connectivity.handle_timeout(now);
                self.collect(side);
            }
        }
        self.deliver_due();
        true
    }

    fn wakeup(&mut self, side: Side) -> Option<Instant> {
        if self.node(side).paused {
            return None;
        }
        match self.node(side).connectivity.poll() {
            Output::Idle(wakeup) => wakeup.map(|wakeup| wakeup.at),
            other => panic!("output after it was drained: {other:?}"),
        }
    }

    fn advance_to(&mut self, at: Instant) {
        #[cfg(feature = "__virtual-time")]
        {
            let elapsed = at.saturating_duration_since(self.now);
            mock_instant::MockClock::advance(elapsed);
            self.now += elapsed;
        }
        #[cfg(not(feature = "__virtual-time"))]
        {
            self.now = at.max(Instant::now());
        }
    }

    fn deliver_due(&mut self) {
        while let Some(entry) = self.cargo.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            match entry.remove() {
                Cargo::Datagram {
                    from,
                    to,
                    ecn,
                    payload,
                } => self.deliver(from, to, ecn, &payload),
                Cargo::Added(side, candidates) => {
                    let now = self.now;
                    let node = self.node(side);
                    for candidate in &candidates {
                        node.connectivity
                            .add_remote_candidate(side.peer(), candidate, now);
                    }
                    self.collect(side);
                }
                Cargo::Removed(side, candidates) => {
                    let now = self.now;
                    let node = self.node(side);
                    for candidate in &candidates {
                        node.connectivity
                            .remove_remote_candidate(side.peer(), candidate, now);
                    }
                    self.collect(side);
                }
            }
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, ecn: Ecn, payload: &[u8]) {
        if (self.cut)(from, to) {
            return;
        }
        let now = self.now;
        if let Some(relay) = self.relays.iter_mut().find(|relay| relay.owns(to)) {
            for (from, to, payload) in relay.handle(from, to, payload, now) {
                self.ship(from, to, ecn, payload);
            }
            return;
        }
        for side in Side::BOTH {
            let node = &mut self.nodes[side.index()];
            let local = match &node.nat {
                Some(nat) if nat.owns(to) => match nat.inbound(from, to) {
                    Some(inside) => inside,
                    None => return,
                },
                Some(_) if to.is_ipv4() => continue,
                _ if to == node.v4 || Some(to) == node.v6 => to,
                _ => continue,
            };
            if node.paused {
                return;
            }
            node.arrived.push(Landed {
                local,
                remote: from,
                payload: payload.to_vec(),
            });
            let mut plain = [0; MAX_UDP_PAYLOAD];
            let datagram = Datagram {
                local,
                remote: from,
                ecn,
                payload,
            };
            if let Received::Packet { peer, len } =
                node.connectivity.handle_datagram(datagram, &mut plain, now)
            {
                assert_eq!(peer, side.peer());
                node.inbox.push(plain[..len].to_vec());
            }
            self.collect(side);
        }
    }

    /// Takes everything a node has to say and puts it on the wire.
    fn collect(&mut self, side: Side) {
        let mut datagrams = VecDeque::new();
        let mut signals = Vec::new();
        let node = &mut self.nodes[side.index()];
        loop {
            match node.connectivity.poll() {
                Output::Send(transmit) => {
                    check_batch(&transmit);
                    let to = transmit.destination;
                    let own = if to.is_ipv4() { Some(node.v4) } else { node.v6 };
                    for segment in transmit.segments() {
                        node.sent += 1;
                        // A host without the family meets an error when it sends.
                        let Some(own) = own else { continue };
                        assert!(transmit.source.is_none_or(|source| source == own));
                        let from = match &mut node.nat {
                            Some(nat) if to.is_ipv4() => nat.outbound(own, to),
                            _ => own,
                        };
                        datagrams.push_back((from, to, transmit.ecn, segment.to_vec()));
                    }
                    node.connectivity.recycle(transmit);
                }
                Output::Event(event) => {
                    match &event {
                        Event::CandidatesAdded { peer, candidates } => {
                            assert_eq!(*peer, side.peer());
                            node.signalled.extend(candidates.iter().cloned());
                            signals.push(Cargo::Added(side.other(), candidates.clone()));
                        }
                        Event::CandidatesRemoved { peer, candidates } => {
                            assert_eq!(*peer, side.peer());
                            signals.push(Cargo::Removed(side.other(), candidates.clone()));
                        }
                        _ => {}
                    }
                    node.events.push(event);
                }
                Output::Idle(_) => break,
            }
        }
        for (from, to, ecn, payload) in datagrams {
            let ecn = if self.congested { Ecn::Ce } else { ecn };
            self.ship(from, to, ecn, payload);
        }
        for signal in signals {
            let at = self.now + self.signalling;
            self.load(at, signal);
        }
    }

    pub(crate) fn ship(&mut self, from: SocketAddr, to: SocketAddr, ecn: Ecn, payload: Vec<u8>) {
        let at = self.now + self.latency;
        self.load(
            at,
            Cargo::Datagram {
                from,
                to,
                ecn,
                payload,
            },
        );
    }

    fn load(&mut self, at: Instant, cargo: Cargo) {
        self.sequence += 1;
        self.cargo.insert((at, self.sequence), cargo);
    }
}

/// What every batch must obey. spec: data-plane 7, 18.2
fn check_batch(transmit: &connectivity::Transmit) {
    let payload = transmit.payload();
    assert!(!payload.is_empty() && payload.len() <= 65_000);
    assert!(transmit.segment_size <= MAX_UDP_PAYLOAD, "{transmit:?}");
    assert!(transmit.segments().count() <= 64, "{transmit:?}");
    let is_data = payload[0] == 4 || (64..80).contains(&payload[0]) && payload.get(4) == Some(&4);
    assert!(is_data || transmit.ecn == Ecn::NotEct, "{transmit:?}");
}

/// A well-formed IPv4 packet around some bytes.
pub(crate) fn ipv4_packet(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap();
    let mut packet = vec![0; 20];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[8] = 64;
    packet[9] = 17;
    packet[12..20].copy_from_slice(&[100, 64, 0, 1, 100, 64, 0, 2]);
    packet.extend_from_slice(payload);
    packet
}
