//! Two ends and their relays on an emulated network, and a portal that passes candidates on.
#![expect(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use crate::relay::TestRelay;
use connectivity::{
    Authorization, Connectivity, Datagram, Ecn, Event, Output, PathKind, Received, Role, Upsert,
    Verdict,
};
use model::{
    Candidate, IceCredentials, PeerId, PresharedKey, PublicKey, Seed, SeedTree,
    limits::MAX_UDP_PAYLOAD,
};
use netem::{HostId, LinkConfig, NatConfig, Network};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

pub(crate) const CLIENT: PeerId = PeerId::from_bytes([0xc1; 16]);
pub(crate) const GATEWAY: PeerId = PeerId::from_bytes([0x6a; 16]);
/// Where datagrams go that stand for what the portal passes on, so that they keep their order with
/// all others.
const PORTAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 255, 1)), 443);
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

/// What the portal passes on, and to whom.
enum Signal {
    Added(Side, Vec<Candidate>),
    Removed(Side, Vec<Candidate>),
}

pub(crate) struct Node {
    pub(crate) connectivity: Connectivity,
    v4: SocketAddr,
    v6: Option<SocketAddr>,
    host: HostId,
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
    /// To be disturbed.
    pub(crate) network: Network,
    relay_hosts: BTreeMap<model::RelayId, HostId>,
    /// What the portal has yet to pass on, by the number in the datagram that stands for it.
    signals: BTreeMap<u64, Signal>,
    sequence: u64,
    portal: HostId,
    /// Marks every datagram on the way as having met congestion.
    pub(crate) congested: bool,
    pub(crate) psk: [u8; 32],
    watched: Option<SocketAddr>,
    /// Datagrams that an end sent to the watched address.
    pub(crate) drawn: Vec<Vec<u8>>,
}

impl Lab {
    /// Both ends behind a NAT of this kind, or behind none.
    pub(crate) fn new(nat: Option<NatConfig>, relays: Vec<TestRelay>) -> Self {
        Self::behind([nat, nat], relays)
    }

    /// The client behind the first NAT, the gateway behind the second one.
    pub(crate) fn behind(nats: [Option<NatConfig>; 2], relays: Vec<TestRelay>) -> Self {
        let now = Instant::now();
        let mut network = Network::new(SeedTree::new(Seed::from_bytes([42; 32])));
        let relay_hosts = relays.iter().map(|relay| {
            let addresses = [relay.v4.into()].into_iter();
            let addresses = addresses.chain(relay.v6.map(IpAddr::from));
            (relay.id, network.add_host(addresses.collect(), None))
        });
        let relay_hosts = relay_hosts.collect();
        let mut node = |role, n: u8, nat: Option<NatConfig>| {
            let outside = IpAddr::from([203, 0, 113, n]);
            let nat = nat.map(|nat| network.add_nat(outside, nat));
            let inside = match nat {
                Some(_) => IpAddr::from([192, 168, n, 2]),
                None => outside,
            };
            let (seed, epoch) = (
                Seed::from_bytes([n; 32]),
                Duration::from_secs(1_750_000_000),
            );
            Node {
                connectivity: Connectivity::new(role, seed, epoch, now),
                v4: SocketAddr::new(inside, 52625),
                v6: None,
                host: network.add_host(vec![inside], nat),
                inbox: Vec::new(),
                events: Vec::new(),
                sent: 0,
                signalled: Vec::new(),
                awake: BTreeSet::new(),
                arrived: Vec::new(),
                paused: false,
            }
        };
        let nodes = [
            node(Role::Client, 1, nats[0]),
            node(Role::Gateway, 2, nats[1]),
        ];
        let hop = if cfg!(feature = "__virtual-time") {
            5
        } else {
            0
        };
        let hop = Duration::from_millis(hop);
        network.set_uplinks(LinkConfig::delay(hop));
        let portal = network.add_host(vec![PORTAL.ip()], None);
        network.set_uplink(portal, LinkConfig::delay(hop));
        Self {
            now,
            start: now,
            nodes,
            relays,
            network,
            relay_hosts,
            signals: BTreeMap::new(),
            sequence: 0,
            portal,
            congested: false,
            psk: [9; 32],
            watched: None,
            drawn: Vec::new(),
        }
    }

    /// Both ends behind NATs that let a direct path come about.
    pub(crate) fn direct() -> Self {
        Self::new(
            Some(NatConfig::PORT_RESTRICTED),
            vec![TestRelay::new(1), TestRelay::new(2)],
        )
    }

    /// Both ends behind NATs that leave only relays.
    pub(crate) fn relayed() -> Self {
        Self::new(
            Some(NatConfig::SYMMETRIC),
            vec![TestRelay::new(1), TestRelay::new(2)],
        )
    }

    /// Gives both ends an IPv6 address; NATs are for IPv4 only.
    pub(crate) fn with_ipv6(mut self) -> Self {
        for (n, node) in (1..).zip(&mut self.nodes) {
            let ip = Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 2);
            node.v6 = Some(SocketAddr::from((ip, 52625)));
            self.network.add_address(node.host, ip.into());
        }
        self
    }

    pub(crate) fn node(&mut self, side: Side) -> &mut Node {
        &mut self.nodes[side.index()]
    }

    pub(crate) fn status(&mut self, side: Side) -> Option<connectivity::PeerStatus> {
        let mut peers = self.node(side).connectivity.peers();
        peers.find(|status| status.peer == side.peer())
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
        self.deliver_all();
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
    pub(crate) fn deliver_all(&mut self) {
        while let Some(at) = self.network.deadline() {
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
        let (now, mut payload) = (self.now, payload.to_vec());
        let (mut host, mut from, mut to) = (self.node(side).host, self.node(side).v4, to);
        loop {
            let (_, local, remote) = self.network.trace(host, from, to, now).unwrap();
            let Some(relay) = self.relays.iter_mut().find(|relay| relay.owns(local)) else {
                return Landed {
                    local,
                    remote,
                    payload,
                };
            };
            host = self.relay_hosts[&relay.id];
            (from, to, payload) = relay.handle(remote, local, &payload, now).remove(0);
        }
    }

    /// Has the NAT in front of one end forget all mappings.
    pub(crate) fn forget_mappings(&mut self, side: Side) {
        let host = self.node(side).host;
        self.network.forget_mappings(host);
    }

    /// Gives every hop this behaviour.
    pub(crate) fn set_hops(&mut self, config: LinkConfig) {
        for node in &self.nodes {
            self.network.set_uplink(node.host, config);
        }
        for &host in self.relay_hosts.values() {
            self.network.set_uplink(host, config);
        }
    }

    /// Has the portal take this much time to pass candidates on.
    pub(crate) fn set_signalling(&mut self, delay: Duration) {
        let config = LinkConfig::delay(delay);
        self.network.set_uplink(self.portal, config);
    }

    /// Drops datagrams of this source and destination on the way; the portal is out of its reach.
    pub(crate) fn cut(&mut self, mut cut: impl FnMut(SocketAddr, SocketAddr) -> bool + 'static) {
        let cut = move |from, to| to != PORTAL && cut(from, to);
        self.network.cut(cut);
    }

    /// Notes from now on what the ends send to this address.
    pub(crate) fn watch(&mut self, address: SocketAddr) {
        self.watched = Some(address);
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
        let arrival = self.network.deadline();
        let wakeups = Side::BOTH.map(|side| self.wakeup(side));
        let next = wakeups.into_iter().flatten().chain(arrival).min();
        let Some(next) = next.filter(|&next| next <= end) else {
            return false;
        };
        if !cfg!(feature = "__virtual-time") && arrival.is_none() {
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
        while let Some(received) = self.network.receive(self.now) {
            self.deliver(received);
        }
    }

    fn pass_on(&mut self, signal: Signal) {
        match signal {
            Signal::Added(side, candidates) => {
                for candidate in &candidates {
                    self.signal(side, candidate);
                }
            }
            Signal::Removed(side, candidates) => self.retract(side, &candidates),
        }
    }

    fn deliver(&mut self, received: netem::Received) {
        let (now, ecn) = (self.now, received.ecn);
        let netem::Received {
            host,
            local,
            remote,
            payload,
            ..
        } = received;
        if let Some(relay) = self.relays.iter_mut().find(|relay| relay.owns(local)) {
            for (from, to, payload) in relay.handle(remote, local, &payload, now) {
                let datagram = netem::Datagram {
                    from,
                    to,
                    ecn,
                    payload,
                };
                self.network.send(host, datagram, now);
            }
            return;
        }
        if host == self.portal {
            let number = u64::from_be_bytes(payload[..].try_into().unwrap());
            let signal = self.signals.remove(&number).unwrap();
            self.pass_on(signal);
            return;
        }
        let its_host = |side: &Side| self.nodes[side.index()].host == host;
        let Some(side) = Side::BOTH.into_iter().find(its_host) else {
            return;
        };
        let node = &mut self.nodes[side.index()];
        if node.paused {
            return;
        }
        let mut plain = [0; MAX_UDP_PAYLOAD];
        let datagram = Datagram {
            local,
            remote,
            ecn,
            payload: &payload,
        };
        if let Received::Packet { peer, len } =
            node.connectivity.handle_datagram(datagram, &mut plain, now)
        {
            assert_eq!(peer, side.peer());
            node.inbox.push(plain[..len].to_vec());
        }
        node.arrived.push(Landed {
            local,
            remote,
            payload,
        });
        self.collect(side);
    }

    /// Takes everything a node has to say and puts it on the wire.
    pub(crate) fn collect(&mut self, side: Side) {
        let node = &mut self.nodes[side.index()];
        loop {
            match node.connectivity.poll() {
                Output::Send(transmit) => {
                    check_batch(&transmit);
                    let to = transmit.destination;
                    let own = if to.is_ipv4() { Some(node.v4) } else { node.v6 };
                    for segment in transmit.segments() {
                        node.sent += 1;
                        if self.watched == Some(to) {
                            self.drawn.push(segment.to_vec());
                        }
                        // A host without the family meets an error when it sends.
                        let Some(from) = own else { continue };
                        assert!(transmit.source.is_none_or(|source| source == from));
                        let datagram = netem::Datagram {
                            from,
                            to,
                            ecn: if self.congested {
                                Ecn::Ce
                            } else {
                                transmit.ecn
                            },
                            payload: segment.to_vec(),
                        };
                        self.network.send(node.host, datagram, self.now);
                    }
                    node.connectivity.recycle(transmit);
                }
                Output::Event(event) => {
                    let signal = match &event {
                        Event::CandidatesAdded { peer, candidates } if *peer == side.peer() => {
                            node.signalled.extend(candidates.iter().cloned());
                            Some(Signal::Added(side.other(), candidates.clone()))
                        }
                        Event::CandidatesRemoved { peer, candidates } if *peer == side.peer() => {
                            Some(Signal::Removed(side.other(), candidates.clone()))
                        }
                        _ => None,
                    };
                    if let Some(signal) = signal {
                        self.sequence += 1;
                        self.signals.insert(self.sequence, signal);
                        let datagram = netem::Datagram {
                            from: PORTAL,
                            to: PORTAL,
                            ecn: Ecn::NotEct,
                            payload: self.sequence.to_be_bytes().into(),
                        };
                        self.network.send(self.portal, datagram, self.now);
                    }
                    node.events.push(event);
                }
                Output::Idle(_) => return,
            }
        }
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
