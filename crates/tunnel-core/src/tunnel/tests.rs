//! The coordinator, with one gateway at the other end of a wire without loss or delay.

mod bursts;
mod drops;
mod news;
mod requests;
mod rights;
mod sources;

use super::*;
use crate::{
    event::{Authorized, DnsQuery, Event, PortalRequest, PortalUpdate},
    fixtures::udp,
};
use connectivity::{Authorization, Datagram, Ecn};
use ip_packet::{Control, DomainStatus, IpPacket, MAX_CONTROL};
use model::{
    Candidate, CidrResource, DnsResource, IceCredentials, InternetResource, IpStack, PeerId,
    PresharedKey, Relay, RelayId, Resource, SiteId, limits,
};

const PROGRAM: &str = "100.64.0.7:4000";
const GATEWAY: GatewayId = GatewayId::from_bytes([0x22; 16]);
const SITE: SiteId = SiteId::from_bytes([0x55; 16]);
const CLIENT: PeerId = PeerId::from_bytes([0x11; 16]);
const SENTINEL: &str = "100.100.111.1:53";

/// The resource `10.20.0.0/16`.
const NETWORK: ResourceId = ResourceId::from_bytes([1; 16]);
/// The resource `*.app.test`.
const NAMES: ResourceId = ResourceId::from_bytes([2; 16]);
/// The Internet Resource, which is off.
const INTERNET: ResourceId = ResourceId::from_bytes([3; 16]);

fn network(id: ResourceId, address: &str) -> Resource {
    Resource::Cidr(CidrResource {
        id,
        name: address.into(),
        address: address.parse().unwrap(),
        address_description: None,
        sites: vec![],
        filters: vec![],
    })
}

/// The resource `10.(128 + n / 256).(n % 256).0/24`.
fn range(n: u16) -> (Resource, String) {
    let [a, b] = n.to_be_bytes();
    let mut id = [7; 16];
    id[..2].copy_from_slice(&[a, b]);
    let id = ResourceId::from_bytes(id);
    let resource = network(id, &format!("10.{}.{b}.0/24", 128 + a));
    (resource, format!("10.{}.{b}.1:80", 128 + a))
}

fn names(id: ResourceId, address: &str) -> Resource {
    Resource::Dns(DnsResource {
        id,
        name: address.into(),
        address: address.into(),
        address_description: None,
        ip_stack: IpStack::Dual,
        sites: vec![],
        filters: vec![],
    })
}

fn resources() -> Vec<Resource> {
    let internet = Resource::Internet(InternetResource {
        id: INTERNET,
        name: "internet".into(),
        sites: vec![],
    });
    vec![
        network(NETWORK, "10.20.0.0/16"),
        names(NAMES, "*.app.test"),
        internet,
    ]
}

fn relay() -> Relay {
    Relay {
        id: RelayId::from_bytes([0x44; 16]),
        v4: Some("203.0.113.21:3478".parse().unwrap()),
        v6: None,
        username: "2000000000:salt".into(),
        password: "password".into(),
    }
}

fn ice(side: &str) -> IceCredentials {
    IceCredentials {
        username: side.repeat(4),
        password: side.repeat(24).into(),
    }
}

fn interface() -> Interface {
    Interface {
        ipv4: "100.64.0.7".parse().unwrap(),
        ipv6: "fd00:2021:1111::7".parse().unwrap(),
        upstream_dns: vec![],
        search_domain: None,
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A tunnel, a gateway, and what came out of both.
struct Fixture {
    tunnel: Tunnel,
    gateway: Connectivity,
    now: Instant,
    /// What the gateway received, control messages excluded.
    arrived: Vec<Vec<u8>>,
    /// Control messages that the gateway received.
    controls: Vec<Control>,
    /// What the tunnel wrote to its TUN device.
    delivered: Vec<Vec<u8>>,
    requests: Vec<PortalRequest>,
    plans: Vec<InterfacePlan>,
    /// How often the application heard that resources changed.
    told_of_resources: usize,
    /// What else it heard.
    events: Vec<Event>,
    queries: Vec<DnsQuery>,
    /// Those of the gateway.
    candidates: Vec<Candidate>,
    /// When the tunnel wants to be woken up.
    wakeup: Option<Instant>,
    /// Whether the gateway confirms names at once.
    confirms: bool,
    /// Packets and datagrams that went into the tunnel.
    inputs: u64,
    /// Those that came out of it, were answered, or were for the tunnel itself.
    outputs: u64,
}

impl Fixture {
    /// Before the portal said anything.
    fn new() -> Self {
        let now = Instant::now();
        let seed = |n| Seed::from_bytes([n; 32]);
        let config = Config {
            system_resolvers: vec![socket("192.0.2.53:53").into()],
            ..Config::default()
        };
        Self {
            tunnel: Tunnel::new(config, seed(1), Duration::ZERO, now),
            gateway: Connectivity::new(Role::Gateway, seed(2), Duration::ZERO, now),
            now,
            arrived: vec![],
            controls: vec![],
            delivered: vec![],
            requests: vec![],
            plans: vec![],
            told_of_resources: 0,
            events: vec![],
            queries: vec![],
            candidates: vec![],
            wakeup: None,
            confirms: true,
            inputs: 0,
            outputs: 0,
        }
    }

    /// After the portal's greeting.
    fn greeted() -> Self {
        let mut fixture = Self::new();
        fixture.portal(PortalUpdate::Init {
            interface: interface(),
            resources: resources(),
            relays: vec![relay()],
        });
        fixture
    }

    /// With a connection to the gateway, over which packets to `10.20.0.0/16` go.
    fn connected() -> Self {
        let mut fixture = Self::greeted();
        assert_eq!(fixture.send("10.20.0.1:80", b"first"), Verdict::Consumed);
        fixture.authorize(NETWORK);
        fixture.run();
        assert_eq!(fixture.arrived.len(), 1, "no connection");
        fixture.arrived.clear();
        fixture
    }

    fn portal(&mut self, update: PortalUpdate) {
        self.tunnel.handle_portal(update, self.now);
        self.drain();
    }

    /// A program sends a datagram.
    fn send(&mut self, to: &str, payload: &[u8]) -> Verdict {
        let program = match socket(to).is_ipv4() {
            true => PROGRAM,
            false => "[fd00:2021:1111::7]:4000",
        };
        self.tun(&udp(program, to, payload))
    }

    fn tun(&mut self, packet: &[u8]) -> Verdict {
        self.inputs += 1;
        let verdict = self.tunnel.handle_tun(packet, self.now);
        self.drain();
        verdict
    }

    fn udp(&mut self, payload: &[u8]) -> Received {
        self.inputs += 1;
        let datagram = Datagram {
            local: socket("10.1.0.2:52625"),
            remote: socket("10.2.0.2:52625"),
            ecn: Ecn::NotEct,
            payload,
        };
        let mut plain = vec![0; limits::MTU];
        let received = self.tunnel.handle_udp(datagram, &mut plain, self.now);
        self.outputs += u64::from(!matches!(received, Received::Dropped(_)));
        if let Received::Deliver(length) = received {
            self.delivered.push(plain[..length].to_vec());
        }
        received
    }

    /// How many packets and queries wait.
    fn waiting(&self) -> usize {
        let tunnel = &self.tunnel;
        tunnel.waiting.len() + tunnel.dns.waiting()
    }

    /// Asks for the addresses of a name, which are answered at once.
    fn ask(&mut self, name: &str) -> Vec<IpAddr> {
        let query = dns_message::compose_query(7, name, dns_message::rtype::A).unwrap();
        assert_eq!(self.send(SENTINEL, &query), Verdict::Consumed);
        let reply = self.delivered.pop().unwrap();
        let reply = IpPacket::parse(&reply[..]).unwrap();
        let response = dns_message::Response::parse(reply.udp_payload()).unwrap();
        response.addresses().collect()
    }

    /// The portal lets the gateway carry a resource.
    fn authorize(&mut self, resource: ResourceId) {
        self.connect_gateway();
        self.portal(self.authorized(resource));
        self.meet();
    }

    /// The gateway is told to expect us.
    fn connect_gateway(&mut self) {
        let authorization = Authorization {
            public_key: self.tunnel.public_key(),
            preshared_key: PresharedKey::from_bytes([9; 32]),
            local_ice: ice("g"),
            remote_ice: ice("c"),
        };
        self.gateway.update_relays(&[], vec![relay()], self.now);
        let accepted = self.gateway.upsert(CLIENT, authorization, self.now);
        accepted.unwrap();
    }

    /// Both ends learn their addresses, and talk for a second.
    fn meet(&mut self) {
        self.tunnel
            .connectivity
            .add_host_candidate(socket("10.1.0.2:52625"), self.now);
        self.gateway
            .add_host_candidate(socket("10.2.0.2:52625"), self.now);
        self.run();
    }

    fn authorized(&self, resource: ResourceId) -> PortalUpdate {
        PortalUpdate::Authorized(Box::new(Authorized {
            resource,
            gateway: GATEWAY,
            site: SITE,
            public_key: self.gateway.public_key(),
            ipv4: "100.64.0.9".parse().unwrap(),
            ipv6: "fd00:2021:1111::9".parse().unwrap(),
            preshared_key: PresharedKey::from_bytes([9; 32]),
            client_ice: ice("c"),
            gateway_ice: ice("g"),
        }))
    }

    /// The gateway sends a packet into the tunnel.
    fn receive(&mut self, packet: &[u8]) -> Vec<Received> {
        let verdict = self.gateway.send(CLIENT, packet, self.now);
        assert_eq!(verdict, connectivity::Verdict::Sent);
        let mut received = vec![];
        while let connectivity::Output::Send(transmit) = self.gateway.poll() {
            for payload in transmit.segments() {
                received.push(self.udp(payload));
            }
            self.gateway.recycle(transmit);
        }
        self.drain();
        received
    }

    fn receive_control(&mut self, control: &Control) -> Vec<Received> {
        let mut packet = [0; MAX_CONTROL];
        let length = control.emit(&mut packet).unwrap();
        self.receive(&packet[..length])
    }

    /// The gateway says what became of a name.
    fn confirm(&mut self, domain: &str, status: DomainStatus) {
        self.receive_control(&Control::DomainStatus {
            resource: NAMES,
            domain: domain.parse().unwrap(),
            status,
        });
    }

    /// The user switches off these resources and no others.
    fn switch_off(&mut self, off: &[ResourceId]) {
        let off = off.iter().copied().collect();
        self.tunnel.set_disabled_resources(off, self.now);
        self.drain();
    }

    /// The client changes networks.
    fn reset(&mut self) {
        self.gateway.remove(CLIENT, self.now);
        self.tunnel.reset(Seed::from_bytes([5; 32]), self.now);
        let relays = PortalUpdate::Relays {
            disconnected: vec![],
            connected: vec![relay()],
        };
        self.portal(relays);
    }

    /// Whether packets pass between both ends.
    fn is_connected(&self) -> bool {
        self.tunnel.connectivity.is_connected(GATEWAY.into()) && self.gateway.is_connected(CLIENT)
    }

    /// The gateway ends the connection.
    fn say_goodbye(&mut self) {
        self.receive_control(&Control::Goodbye);
        self.gateway.remove(CLIENT, self.now);
    }

    /// Time passes in which nothing comes in; the tunnel is woken up when it wanted to be.
    fn later(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        while let Some(at) = self.wakeup.filter(|at| *at <= end) {
            assert!(at > self.now, "a wake-up for what is done");
            self.now = at;
            self.tunnel.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Lets both ends talk for a second.
    fn run(&mut self) {
        self.pass(Duration::from_secs(1));
    }

    /// Lets both ends talk for a while.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        while self.now < end {
            self.now += Duration::from_millis(20);
            self.tunnel.handle_timeout(self.now);
            self.gateway.handle_timeout(self.now);
            self.drain();
        }
    }

    /// Hands over what both ends want to send.
    fn drain(&mut self) {
        while self.drain_tunnel() | self.drain_gateway() {}
    }

    fn drain_tunnel(&mut self) -> bool {
        let mut any = false;
        loop {
            match self.tunnel.poll() {
                Output::Idle(wakeup) => {
                    self.wakeup = wakeup.map(|wakeup| wakeup.at);
                    return any;
                }
                Output::Send(transmit) => {
                    if transmit.destination == socket("10.2.0.2:52625") {
                        for payload in transmit.segments() {
                            self.arrive(payload);
                        }
                    }
                    self.tunnel.recycle(transmit);
                }
                Output::Deliver(packet) => {
                    self.delivered.push(packet);
                    self.outputs += 1;
                }
                Output::Request(request) => {
                    if let PortalRequest::AddCandidates { candidates, .. } = &request {
                        self.signal(candidates);
                    }
                    self.requests.push(request);
                }
                Output::Query(query) => self.queries.push(query),
                Output::Plan(plan) => self.plans.push(plan),
                Output::Event(Event::ResourcesChanged) => self.told_of_resources += 1,
                Output::Event(event) => self.events.push(event),
            }
            any = true;
        }
    }

    fn signal(&mut self, candidates: &[Candidate]) {
        for candidate in candidates {
            self.gateway
                .add_remote_candidate(CLIENT, candidate, self.now);
        }
    }

    fn arrive(&mut self, payload: &[u8]) {
        let mut plain = vec![0; limits::MTU];
        let datagram = Datagram {
            local: socket("10.2.0.2:52625"),
            remote: socket("10.1.0.2:52625"),
            ecn: Ecn::NotEct,
            payload,
        };
        let received = self.gateway.handle_datagram(datagram, &mut plain, self.now);
        let connectivity::Received::Packet { len, .. } = received else {
            return;
        };
        let packet = IpPacket::parse(&plain[..len]).unwrap();
        if !Control::recognize(&packet) {
            self.arrived.push(plain[..len].to_vec());
            // What goes to the gateway itself is a query that the resolver made.
            let is_query = packet.destination() == socket("100.64.0.9:0").ip();
            self.outputs += u64::from(!is_query);
            return;
        }
        let control = Control::parse(&packet).unwrap();
        if let Control::AssignedIps {
            resource, domain, ..
        } = &control
            && self.confirms
        {
            let status = Control::DomainStatus {
                resource: *resource,
                domain: domain.clone(),
                status: DomainStatus::Active,
            };
            let mut packet = [0; MAX_CONTROL];
            let length = status.emit(&mut packet).unwrap();
            self.gateway.send(CLIENT, &packet[..length], self.now);
        }
        self.controls.push(control);
    }

    fn drain_gateway(&mut self) -> bool {
        let mut any = false;
        loop {
            match self.gateway.poll() {
                connectivity::Output::Idle(_) => return any,
                connectivity::Output::Send(transmit) => {
                    if transmit.destination == socket("10.1.0.2:52625") {
                        for payload in transmit.segments() {
                            self.udp(payload);
                        }
                    }
                    self.gateway.recycle(transmit);
                }
                connectivity::Output::Event(connectivity::Event::CandidatesAdded {
                    candidates,
                    ..
                }) => {
                    let gateway = GATEWAY;
                    self.candidates.extend(candidates.iter().cloned());
                    let update = PortalUpdate::CandidatesAdded {
                        gateway,
                        candidates,
                    };
                    self.tunnel.handle_portal(update, self.now);
                }
                connectivity::Output::Event(_) => {}
            }
            any = true;
        }
    }

    /// How often the portal was asked for a resource.
    fn asked_for(&self, wanted: ResourceId) -> usize {
        let is_wanted = |request: &&PortalRequest| matches!(request, PortalRequest::CreateFlow { resource, .. } if *resource == wanted);
        self.requests.iter().filter(is_wanted).count()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.tunnel.drops().get(reason)
    }
}
