//! A client, two gateways and a relay on a network without delay, at whose ends anybody may speak.

use connectivity::{
    Authorization, Connectivity, Datagram, Ecn, Event as PeerEvent, Received as PeerReceived, Role,
};
use model::{
    Candidate, GatewayId, IceCredentials, PeerId, PresharedKey, PublicKey, Relay, Seed, SeedTree,
    limits,
};
use netsim::{Relayed, VirtualRelay};
use secrecy::SecretString;
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use tunnel_core::{Config, Output, PortalUpdate, Received, Tunnel};

const CLIENT: PeerId = PeerId::from_bytes([0x11; 16]);
/// The wall clock at the beginning.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);
/// Datagrams that may follow from one input, of the client or of time. More never come to rest.
const MAX_EXCHANGE: usize = 20_000;
/// Datagrams that are remembered, to be played again.
const MAX_HEARD: usize = 64;

/// The two gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    A,
    B,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(crate) const fn id(self) -> GatewayId {
        match self {
            Self::A => GatewayId::from_bytes([0xaa; 16]),
            Self::B => GatewayId::from_bytes([0xbb; 16]),
        }
    }

    pub(crate) fn of(id: GatewayId) -> Option<Self> {
        Self::BOTH.into_iter().find(|side| side.id() == id)
    }

    /// Its addresses inside the tunnel.
    pub(crate) const fn inside(self) -> (Ipv4Addr, Ipv6Addr) {
        let last = match self {
            Self::A => 9,
            Self::B => 10,
        };
        let ipv6 = Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, last);
        (Ipv4Addr::new(100, 64, 0, last.to_be_bytes()[1]), ipv6)
    }

    /// Its address on the network.
    pub(crate) const fn outside(self) -> SocketAddr {
        let last = match self {
            Self::A => 111,
            Self::B => 112,
        };
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, last)), 52625)
    }

    const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// The client's address on the network.
pub(crate) const CLIENT_AT: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 101)), 52625);
/// The relay's.
pub(crate) const RELAY_AT: SocketAddr = SocketAddr::V4(VirtualRelay::ADDRESS);

/// A datagram on its way, or one that arrived.
#[derive(Debug, Clone)]
pub(crate) struct OnTheWay {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

/// What a gateway that accepted the client has for it.
#[derive(Debug, Clone)]
pub(crate) struct Acceptance {
    pub(crate) public_key: PublicKey,
    pub(crate) preshared_key: PresharedKey,
    pub(crate) client_ice: IceCredentials,
    pub(crate) gateway_ice: IceCredentials,
}

/// What came of an input, in order.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The client writes a packet of some gateway to its TUN device.
    Delivered(Vec<u8>),
    /// A gateway gets a packet of the client.
    Arrived(Side, Vec<u8>),
    /// The client wants something done.
    Wanted(Output),
}

/// All of it, at one instant.
pub(crate) struct World {
    pub(crate) tunnel: Tunnel,
    pub(crate) now: Instant,
    start: Instant,
    gateways: [Connectivity; 2],
    relay: VirtualRelay,
    wire: VecDeque<OnTheWay>,
    /// The latest datagrams that reached the client.
    pub(crate) heard: VecDeque<OnTheWay>,
    /// What happened since it was last looked at.
    pub(crate) happened: VecDeque<Happening>,
    /// Datagrams that the client sent so far.
    pub(crate) sent: usize,
    /// Nothing passes directly between client and gateways.
    pub(crate) only_relayed: bool,
    /// Datagrams from now on that are lost.
    pub(crate) losses: u8,
    buffer: Vec<u8>,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let start = Instant::now();
        let seed = |n: u8| Seed::from_bytes([n; 32]);
        let gateway = |n| Connectivity::new(Role::Gateway, seed(n), EPOCH, start);
        let mut world = Self {
            tunnel: Tunnel::new(config, seed(1), EPOCH, start),
            now: start,
            start,
            gateways: [gateway(2), gateway(3)],
            relay: VirtualRelay::new(&SeedTree::new(seed(4))),
            wire: VecDeque::new(),
            heard: VecDeque::new(),
            happened: VecDeque::new(),
            sent: 0,
            only_relayed: false,
            losses: 0,
            buffer: vec![0; limits::MAX_UDP_PAYLOAD],
        };
        for side in Side::BOTH {
            let relays = vec![VirtualRelay::entry("gateway")];
            world.gateway(side).update_relays(&[], relays, start);
        }
        world.settle();
        world
    }

    /// The relay, as the portal lists it for the client.
    pub(crate) fn relay() -> Relay {
        VirtualRelay::entry("client")
    }

    fn gateway(&mut self, side: Side) -> &mut Connectivity {
        &mut self.gateways[side.index()]
    }

    /// The gateway accepts the client, which learns nothing of it yet.
    pub(crate) fn accept(&mut self, side: Side) -> Acceptance {
        let credentials = |party: &str, key: &str| IceCredentials {
            username: format!("{party}{}", key.get(..4).unwrap_or_default()),
            password: SecretString::from(format!("{party}-password-of-{key}")),
        };
        let key = self.tunnel.public_key();
        let text: String = key
            .to_string()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let (client, own) = (credentials("c", &text), credentials("g", &text));
        let preshared_key = PresharedKey::from_bytes([0x99; 32]);
        let authorization = Authorization {
            public_key: key,
            preshared_key: preshared_key.clone(),
            local_ice: own.clone(),
            remote_ice: client.clone(),
        };
        let now = self.now;
        // What it gave up in a time of losses, the portal offers again.
        let relays = vec![VirtualRelay::entry("gateway")];
        let gateway = self.gateway(side);
        gateway.update_relays(&[], relays, now);
        let accepted = gateway.upsert(CLIENT, authorization, now);
        accepted.expect("the gateways know a relay");
        Acceptance {
            public_key: self.gateway(side).public_key(),
            preshared_key,
            client_ice: client,
            gateway_ice: own,
        }
    }

    /// A gateway sends a packet to the client.
    pub(crate) fn send_from(&mut self, side: Side, packet: &[u8]) {
        let now = self.now;
        let _verdict = self.gateway(side).send(CLIENT, packet, now);
    }

    /// The client's candidates reach a gateway.
    pub(crate) fn signal(&mut self, side: Side, candidates: &[Candidate], added: bool) {
        let now = self.now;
        for candidate in candidates {
            match added {
                true => self
                    .gateway(side)
                    .add_remote_candidate(CLIENT, candidate, now),
                false => self
                    .gateway(side)
                    .remove_remote_candidate(CLIENT, candidate, now),
            }
        }
    }

    /// A datagram from wherever.
    pub(crate) fn inject(&mut self, datagram: OnTheWay) {
        self.wire.push_back(datagram);
    }

    /// Time passes: a few timers fire, and then the clock jumps, as when a machine was suspended.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..64 {
            let next = self.settle();
            match next {
                Some(at) if at <= end => self.advance(at.max(self.now)),
                _ => break,
            }
        }
        self.advance(end);
        self.settle();
    }

    fn advance(&mut self, at: Instant) {
        let _elapsed = at.saturating_duration_since(self.now);
        #[cfg(feature = "__virtual-time")]
        mock_instant::MockClock::advance(_elapsed);
        self.now = at;
        self.tunnel.handle_timeout(at);
        for gateway in &mut self.gateways {
            gateway.handle_timeout(at);
        }
        self.relay.handle_timeout(at);
    }

    /// Lets everybody do what they want at this instant; when something is due next.
    pub(crate) fn settle(&mut self) -> Option<Instant> {
        for _ in 0..MAX_EXCHANGE {
            let client = self.drain_client();
            let gateways = Side::BOTH.map(|side| self.drain_gateway(side));
            let Some(datagram) = self.wire.pop_front() else {
                let relay = self.relay.deadline();
                let next = gateways.into_iter().chain([client, relay]).flatten();
                return next.min();
            };
            self.deliver(datagram);
        }
        panic!("an exchange that never ends");
    }

    fn drain_client(&mut self) -> Option<Instant> {
        loop {
            match self.tunnel.poll() {
                Output::Idle(wakeup) => return wakeup.map(|wakeup| wakeup.at),
                Output::Send(transmit) => {
                    let to = transmit.destination;
                    let from = transmit.source.unwrap_or(CLIENT_AT);
                    self.sent += transmit.segments().count();
                    self.send(from, to, &transmit);
                    self.tunnel.recycle(transmit);
                }
                output => self.happened.push_back(Happening::Wanted(output)),
            }
        }
    }

    fn drain_gateway(&mut self, side: Side) -> Option<Instant> {
        loop {
            match self.gateway(side).poll() {
                connectivity::Output::Idle(wakeup) => return wakeup.map(|wakeup| wakeup.at),
                connectivity::Output::Send(transmit) => {
                    let from = transmit.source.unwrap_or(side.outside());
                    self.send(from, transmit.destination, &transmit);
                    self.gateway(side).recycle(transmit);
                }
                connectivity::Output::Event(event) => self.pass_on(side, event),
            }
        }
    }

    /// The portal passes on what a gateway signals.
    fn pass_on(&mut self, side: Side, event: PeerEvent) {
        let gateway = side.id();
        let update = match event {
            PeerEvent::CandidatesAdded { candidates, .. } => PortalUpdate::CandidatesAdded {
                gateway,
                candidates,
            },
            PeerEvent::CandidatesRemoved { candidates, .. } => PortalUpdate::CandidatesRemoved {
                gateway,
                candidates,
            },
            _ => return,
        };
        self.tunnel.handle_portal(update, self.now);
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, transmit: &tunnel_core::Transmit) {
        for payload in transmit.segments() {
            let payload = payload.to_vec();
            self.wire.push_back(OnTheWay { from, to, payload });
        }
    }

    fn deliver(&mut self, datagram: OnTheWay) {
        let relay = RELAY_AT.ip();
        let is_direct = datagram.from.ip() != relay && datagram.to.ip() != relay;
        if self.losses > 0 || is_direct && self.only_relayed {
            self.losses = self.losses.saturating_sub(1);
            return;
        }
        if datagram.to == CLIENT_AT {
            self.deliver_to_client(datagram);
        } else if datagram.to.ip() == relay {
            self.deliver_to_relay(&datagram);
        } else if let Some(side) = Side::BOTH.into_iter().find(|s| s.outside() == datagram.to) {
            let (now, mut buffer) = (self.now, std::mem::take(&mut self.buffer));
            let arrived = arrival(&datagram);
            let received = self
                .gateway(side)
                .handle_datagram(arrived, &mut buffer, now);
            if let PeerReceived::Packet { len, .. } = received {
                let packet = buffer[..len].to_vec();
                self.happened.push_back(Happening::Arrived(side, packet));
            }
            self.buffer = buffer;
        }
    }

    fn deliver_to_client(&mut self, datagram: OnTheWay) {
        let arrived = arrival(&datagram);
        let received = self.tunnel.handle_udp(arrived, &mut self.buffer, self.now);
        if let Received::Deliver(length) = received {
            let packet = self.buffer[..length].to_vec();
            self.happened.push_back(Happening::Delivered(packet));
        }
        if self.heard.len() == MAX_HEARD {
            self.heard.pop_front();
        }
        self.heard.push_back(datagram);
    }

    fn deliver_to_relay(&mut self, datagram: &OnTheWay) {
        let clock = (
            self.now,
            EPOCH + self.now.saturating_duration_since(self.start),
        );
        let ends = (datagram.from, datagram.to);
        if let Some(relayed) = self.relay.receive(ends, &datagram.payload, clock) {
            let Relayed { from, to, payload } = relayed;
            self.wire.push_back(OnTheWay { from, to, payload });
        }
    }
}

fn arrival(datagram: &OnTheWay) -> Datagram<'_> {
    Datagram {
        local: datagram.to,
        remote: datagram.from,
        ecn: Ecn::NotEct,
        payload: &datagram.payload,
    }
}
