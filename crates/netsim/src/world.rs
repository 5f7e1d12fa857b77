//! A client, a gateway, a relay and a portal on an emulated network.

use crate::{Relayed, VirtualRelay};
use connectivity::Datagram;
use devnet::gateway;
use model::{
    CidrResource, ClientId, DnsResource, DomainName, GatewayId, IceCredentials, Interface, IpStack,
    PresharedKey, Resource, ResourceId, Seed, SeedTree, Site, SiteId, limits,
};
use netem::{HostId, LinkConfig, NatConfig, Network};
use portal_client::v1::gateway::{
    AuthorizeFlow, ClientPeer, FromPortal, GatewayInterface, Init, Masquerade, ToPortal,
};
use secrecy::SecretString;
use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use tunnel_core::{
    Authorized, Config, DnsQuery, Event, Output, PortalRequest, PortalUpdate, Received, Tunnel,
    Verdict,
};

const CLIENT: ClientId = ClientId::from_bytes([0x11; 16]);
const GATEWAY: GatewayId = GatewayId::from_bytes([0x22; 16]);
const SITE: SiteId = SiteId::from_bytes([0x55; 16]);
const PORT: u16 = 52625;

/// What a world looks like.
#[derive(Debug, Clone)]
pub struct WorldConfig {
    /// The NAT in front of the client, if there is one.
    pub client_nat: Option<NatConfig>,
    /// The NAT in front of the gateway, if there is one.
    pub gateway_nat: Option<NatConfig>,
    /// The way from each host to all others.
    pub uplink: LinkConfig,
    /// What all randomness comes from.
    pub seed: [u8; 32],
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            client_nat: None,
            gateway_nat: None,
            uplink: LinkConfig::delay(Self::DELAY),
            seed: [7; 32],
        }
    }
}

impl WorldConfig {
    /// One way between any two hosts, unless a test says otherwise.
    pub const DELAY: Duration = Duration::from_millis(5);

    /// Client and gateway behind a NAT of this kind each, or behind none.
    pub fn behind(nat: Option<NatConfig>) -> Self {
        Self {
            client_nat: nat,
            gateway_nat: nat,
            ..Self::default()
        }
    }
}

/// How many datagrams between client and gateway went which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Path {
    /// Straight.
    pub direct: u64,
    /// To the relay, be it by our allocation or to the gateway's.
    pub relayed: u64,
}

/// Everything, at one instant.
pub struct World {
    /// The client under test.
    pub tunnel: Tunnel,
    /// The network, to be disturbed.
    pub network: Network,
    /// The instant.
    pub now: Instant,
    /// What the tunnel wrote to its TUN device.
    pub delivered: Vec<Vec<u8>>,
    /// The latest datagrams that reached the client, at most [`Self::HEARD`].
    pub heard: VecDeque<netem::Received>,
    /// What arrived at the resource network.
    pub arrived: Vec<Vec<u8>>,
    /// What the tunnel asked DNS servers.
    pub queries: Vec<DnsQuery>,
    /// What the tunnel asked the portal.
    pub requests: Vec<PortalRequest>,
    /// What the tunnel told the application.
    pub events: Vec<Event>,
    /// The latest interface.
    pub plan: Option<model::InterfacePlan>,
    /// What the datagrams of the client took.
    pub path: Path,
    /// Names that the gateway resolves.
    pub names: BTreeMap<DomainName, Vec<IpAddr>>,
    /// Resolvers that the portal wants at the next [`Self::greet_client`].
    pub upstream_dns: Vec<SocketAddr>,
    /// Whether the portal answers requests.
    pub portal_answers: bool,
    /// The other end of the tunnel.
    pub gateway: gateway::Core,
    relay: VirtualRelay,
    hosts: Hosts,
    start: Instant,
    resources: BTreeMap<ResourceId, Resource>,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Hosts {
    client: HostId,
    gateway: HostId,
    relay: HostId,
}

fn v4(text: &str) -> IpAddr {
    IpAddr::V4(text.parse().expect("written as an address"))
}

impl World {
    /// The client's addresses inside the tunnel.
    pub const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 7);
    /// The client's addresses inside the tunnel.
    pub const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 7);
    /// How many datagrams are kept in [`Self::heard`].
    pub const HEARD: usize = 64;
    /// The resource `10.20.0.0/16`.
    pub const CIDR: ResourceId = ResourceId::from_bytes([0x32; 16]);
    /// The resource `*.app.test`.
    pub const DNS: ResourceId = ResourceId::from_bytes([0x31; 16]);

    /// A world in which nothing has happened yet.
    pub fn new(config: WorldConfig) -> Self {
        let seeds = SeedTree::new(Seed::from_bytes(config.seed));
        let start = Instant::now();
        let mut network = Network::new(seeds.branch("network"));
        let mut host = |inside: &str, outside: &str, nat: Option<NatConfig>| {
            let nat = nat.map(|nat| network.add_nat(v4(outside), nat));
            network.add_host(vec![v4(inside)], nat)
        };
        let hosts = Hosts {
            client: host("10.1.0.2", "203.0.113.101", config.client_nat),
            gateway: host("10.2.0.2", "203.0.113.111", config.gateway_nat),
            relay: host("203.0.113.21", "203.0.113.21", None),
        };
        network.set_uplinks(config.uplink);
        let seed = |byte: u8| Seed::from_bytes([byte ^ config.seed[0]; 32]);
        let unix_time = Duration::from_secs(1_700_000_000);
        let mut world = Self {
            tunnel: Tunnel::new(Config::default(), seed(1), unix_time, start),
            gateway: gateway::Core::new(seed(2), unix_time, start),
            relay: VirtualRelay::new(&seeds),
            network,
            now: start,
            start,
            hosts,
            delivered: vec![],
            heard: VecDeque::new(),
            arrived: vec![],
            queries: vec![],
            requests: vec![],
            events: vec![],
            plan: None,
            path: Path::default(),
            names: BTreeMap::new(),
            upstream_dns: vec![],
            portal_answers: true,
            resources: resources(),
            buffer: vec![0; limits::MAX_UDP_PAYLOAD],
        };
        world
            .tunnel
            .set_system_resolvers(vec![SocketAddr::new(v4("192.0.2.53"), 53).into()]);
        world
    }

    /// Lets the portal greet both sides, and both sides find the relay.
    pub fn run_until_ready(&mut self) {
        self.greet_client();
        let interface = GatewayInterface {
            ipv4: Ipv4Addr::new(100, 64, 0, 9),
            ipv6: Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 9),
        };
        let init = FromPortal::Init(Init {
            interface,
            config: Masquerade {
                ipv4: true,
                ipv6: true,
            },
            account_slug: None,
            relays: vec![VirtualRelay::entry("gateway")],
            authorizations: vec![],
        });
        self.gateway.handle_portal(init, self.now);
        self.run_for(Duration::from_secs(3));
    }

    /// The portal's `init` to the client, as after each join.
    pub fn greet_client(&mut self) {
        let interface = Interface {
            ipv4: Self::CLIENT_V4,
            ipv6: Self::CLIENT_V6,
            upstream_dns: self.upstream_dns.clone(),
            search_domain: None,
        };
        let resources = self.resources.values().cloned().collect();
        let relays = vec![VirtualRelay::entry("client")];
        let init = PortalUpdate::Init {
            interface,
            resources,
            relays,
        };
        self.tunnel.handle_portal(init, self.now);
    }

    /// Adds a resource, for the portal and for the client.
    pub fn add_resource(&mut self, resource: Resource) {
        self.resources.insert(resource.id(), resource.clone());
        self.tunnel
            .handle_portal(PortalUpdate::Resource(resource), self.now);
    }

    /// A program on the client's host sends a packet.
    pub fn send(&mut self, packet: &[u8]) -> Verdict {
        let verdict = self.tunnel.handle_tun(packet, self.now);
        self.drain();
        verdict
    }

    /// The resource network sends a packet to the client.
    pub fn send_back(&mut self, packet: &mut [u8]) {
        self.gateway.handle_tun(packet, self.now);
        self.drain();
    }

    /// The client changes networks.
    pub fn reset(&mut self) {
        self.tunnel.reset(Seed::from_bytes([0x77; 32]), self.now);
        self.forget_mappings();
        self.drain();
    }

    /// The client's NAT forgets all mappings, as when it restarts.
    pub fn forget_mappings(&mut self) {
        self.network.forget_mappings(self.hosts.client);
    }

    /// Nothing passes directly between client and gateway any more.
    pub fn block_direct(&mut self) {
        self.network.block(self.hosts.client, self.hosts.gateway);
    }

    /// Time passes.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
    }

    /// Time passes until a condition holds, at most this long; says whether it does.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if condition(self) {
                return true;
            }
            if !self.step(end) {
                return condition(self);
            }
        }
    }

    /// Moves to the next thing that happens, not beyond `end`; says whether there was one.
    fn step(&mut self, end: Instant) -> bool {
        let next = self.drain();
        let next = next.into_iter().chain(self.network.deadline()).min();
        let at = next.map_or(end, |at| at.max(self.now)).min(end);
        let is_end = next.is_none_or(|at| at > end);
        self.advance(at);
        self.tunnel.handle_timeout(at);
        let unix_now = 1_700_000_000 + (at - self.start).as_secs();
        self.gateway.handle_timeout(at, unix_now);
        self.relay.handle_timeout(at);
        while let Some(received) = self.network.receive(at) {
            self.deliver(&received);
        }
        self.drain();
        !is_end
    }

    fn advance(&mut self, at: Instant) {
        let _elapsed = at.saturating_duration_since(self.now);
        #[cfg(feature = "__virtual-time")]
        mock_instant::MockClock::advance(_elapsed);
        self.now = at;
    }

    /// Lets both sides and the portal do what they want at this instant.
    fn drain(&mut self) -> Option<Instant> {
        loop {
            let (client, client_busy) = self.drain_client();
            let (gateway, gateway_busy) = self.drain_gateway();
            if !client_busy && !gateway_busy {
                return client.into_iter().chain(gateway).min();
            }
        }
    }

    fn drain_client(&mut self) -> (Option<Instant>, bool) {
        let mut busy = false;
        loop {
            match self.tunnel.poll() {
                Output::Idle(wakeup) => return (wakeup.map(|wakeup| wakeup.at), busy),
                Output::Send(transmit) => {
                    self.emit(self.hosts.client, transmit.source, &transmit);
                    self.tunnel.recycle(transmit);
                }
                Output::Deliver(packet) => self.delivered.push(packet),
                Output::Request(request) => self.handle_request(request),
                Output::Plan(plan) => self.plan = Some(plan),
                Output::Query(query) => self.queries.push(query),
                Output::Event(event) => self.events.push(event),
            }
            busy = true;
        }
    }

    fn drain_gateway(&mut self) -> (Option<Instant>, bool) {
        let mut busy = false;
        loop {
            match self.gateway.poll() {
                gateway::Output::Idle(wakeup) => return (wakeup.map(|wakeup| wakeup.at), busy),
                gateway::Output::Send(transmit) => {
                    self.emit(self.hosts.gateway, transmit.source, &transmit);
                    self.gateway.recycle(transmit);
                }
                gateway::Output::Tell(message) => self.handle_gateway(message),
                gateway::Output::Resolve(lookup) => {
                    let addresses = self.names.get(&lookup.domain).cloned();
                    self.gateway
                        .handle_resolved(lookup, addresses.as_deref(), self.now);
                }
                gateway::Output::Reconnect => {}
            }
            busy = true;
        }
    }

    fn emit(&mut self, host: HostId, source: Option<SocketAddr>, transmit: &tunnel_core::Transmit) {
        let to = transmit.destination;
        let Some(address) = self.network.address(host, to.is_ipv4()) else {
            return;
        };
        let from = source.unwrap_or(SocketAddr::new(address, PORT));
        for payload in transmit.segments() {
            if host == self.hosts.client {
                let relay = self.network.address(self.hosts.relay, to.is_ipv4());
                if relay == Some(to.ip()) {
                    self.path.relayed += 1;
                } else {
                    self.path.direct += 1;
                }
            }
            let datagram = netem::Datagram {
                from,
                to,
                ecn: transmit.ecn,
                payload: payload.to_vec(),
            };
            self.network.send(host, datagram, self.now);
        }
    }

    fn deliver(&mut self, received: &netem::Received) {
        if received.host == self.hosts.relay {
            self.relay_datagram(received);
            return;
        }
        let datagram = Datagram {
            local: received.local,
            remote: received.remote,
            ecn: received.ecn,
            payload: &received.payload,
        };
        if received.host == self.hosts.client {
            if self.heard.len() == Self::HEARD {
                self.heard.pop_front();
            }
            self.heard.push_back(received.clone());
            let result = self.tunnel.handle_udp(datagram, &mut self.buffer, self.now);
            if let Received::Deliver(length) = result {
                self.delivered.push(self.buffer[..length].to_vec());
            }
        } else {
            let result = self
                .gateway
                .handle_udp(datagram, &mut self.buffer, self.now);
            if let gateway::Received::Deliver(length) = result {
                self.arrived.push(self.buffer[..length].to_vec());
            }
        }
    }

    fn relay_datagram(&mut self, received: &netem::Received) {
        let clock = (self.now, Duration::from_secs(1_700_000_000));
        let ends = (received.remote, received.local);
        let Some(relayed) = self.relay.receive(ends, &received.payload, clock) else {
            return;
        };
        let Relayed { from, to, payload } = relayed;
        let datagram = netem::Datagram {
            from,
            to,
            ecn: received.ecn,
            payload,
        };
        self.network.send(self.hosts.relay, datagram, self.now);
    }

    /// The portal as the client sees it.
    fn handle_request(&mut self, request: PortalRequest) {
        if self.portal_answers {
            match &request {
                PortalRequest::CreateFlow { resource, .. } => self.authorize(*resource),
                PortalRequest::AddCandidates { candidates, .. } => {
                    let (client_id, candidates) = (CLIENT, candidates.clone());
                    let of = portal_client::v1::gateway::ClientCandidates {
                        client_id,
                        candidates,
                    };
                    self.gateway
                        .handle_portal(FromPortal::IceCandidates(of), self.now);
                }
                PortalRequest::RemoveCandidates { candidates, .. } => {
                    let (client_id, candidates) = (CLIENT, candidates.clone());
                    let of = portal_client::v1::gateway::ClientCandidates {
                        client_id,
                        candidates,
                    };
                    self.gateway
                        .handle_portal(FromPortal::InvalidateIceCandidates(of), self.now);
                }
                PortalRequest::Reconnect => self.greet_client(),
            }
        }
        self.requests.push(request);
    }

    fn authorize(&mut self, id: ResourceId) {
        let Some(resource) = self.resources.get(&id).cloned() else {
            return;
        };
        let (client_ice, gateway_ice) = self.ice_credentials();
        let flow = AuthorizeFlow {
            reference: id.to_string(),
            resource,
            client: ClientPeer {
                id: CLIENT,
                public_key: self.tunnel.public_key(),
                preshared_key: PresharedKey::from_bytes([0x99; 32]),
                ipv4: Self::CLIENT_V4,
                ipv6: Self::CLIENT_V6,
            },
            client_ice_credentials: client_ice,
            gateway_ice_credentials: gateway_ice,
            expires_at: None,
        };
        self.gateway
            .handle_portal(FromPortal::AuthorizeFlow(Box::new(flow)), self.now);
    }

    /// New keys get new credentials, as at a real portal.
    fn ice_credentials(&self) -> (IceCredentials, IceCredentials) {
        let key = self.tunnel.public_key().to_string();
        let text: String = key
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(4)
            .collect();
        let credentials = |side: &str| IceCredentials {
            username: format!("{side}{text}"),
            password: SecretString::from(format!("{side}-password-of-{text}-padded")),
        };
        (credentials("c"), credentials("g"))
    }

    /// The portal as the gateway sees it.
    fn handle_gateway(&mut self, message: ToPortal) {
        if !self.portal_answers {
            return;
        }
        let update = match message {
            ToPortal::FlowAuthorized { reference } => {
                let Ok(resource) = reference.parse() else {
                    return;
                };
                let (client_ice, gateway_ice) = self.ice_credentials();
                PortalUpdate::Authorized(Box::new(Authorized {
                    resource,
                    gateway: GATEWAY,
                    site: SITE,
                    public_key: self.gateway.public_key(),
                    ipv4: Ipv4Addr::new(100, 64, 0, 9),
                    ipv6: Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 9),
                    preshared_key: PresharedKey::from_bytes([0x99; 32]),
                    client_ice,
                    gateway_ice,
                }))
            }
            ToPortal::BroadcastIceCandidates(of) => PortalUpdate::CandidatesAdded {
                gateway: GATEWAY,
                candidates: of.candidates,
            },
            ToPortal::BroadcastInvalidatedIceCandidates(of) => PortalUpdate::CandidatesRemoved {
                gateway: GATEWAY,
                candidates: of.candidates,
            },
        };
        self.tunnel.handle_portal(update, self.now);
    }
}

fn resources() -> BTreeMap<ResourceId, Resource> {
    let sites = vec![Site {
        id: SITE,
        name: "site".into(),
    }];
    let cidr = Resource::Cidr(CidrResource {
        id: World::CIDR,
        name: "net".into(),
        address: "10.20.0.0/16".parse().expect("written as a network"),
        address_description: None,
        sites: sites.clone(),
        filters: vec![],
    });
    let dns = Resource::Dns(DnsResource {
        id: World::DNS,
        name: "app".into(),
        address: "*.app.test".into(),
        address_description: None,
        ip_stack: IpStack::Dual,
        sites,
        filters: vec![],
    });
    [cidr, dns].map(|resource| (resource.id(), resource)).into()
}
