//! A whole client among programs, gateways, a relay, DNS servers and a portal of which any may be
//! hostile, and a model of who may reach what.

mod acts;
mod model;
mod tcp;

use self::model::Rights;
use crate::{
    network::{Happening, Side, World},
    script::Script,
};
use ::model::{Interface, Resource, ResourceId};
pub(crate) use acts::OUTSIDE;
use dns_message::{Query, Response, class};
use ip_packet::{Control, DomainStatus, IpPacket, MAX_CONTROL, protocol};
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tunnel_core::{
    Authorized, Config, DnsQuery, Event, Output, PortalRequest, PortalUpdate, ResourceStatus,
};

/// Things that are done in one input.
const MAX_ACTS: usize = 128;
/// Packets of gateways that are remembered, to tell who sent what.
const MAX_SENT: usize = 256;

pub(crate) const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 7);
pub(crate) const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 7);
/// The system's resolver.
pub(crate) const RESOLVER: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), 53);

/// A session and its model.
pub(crate) struct Session {
    world: World,
    rights: Rights,
    /// Whether portal and gateways answer at once, and with which gateway.
    answers: Option<Side>,
    /// Whether gateways confirm names.
    confirms: bool,
    /// Whether the portal has a relay to offer.
    has_relay: bool,
    /// Requests that wait for an answer.
    requests: VecDeque<ResourceId>,
    /// Queries that wait for one.
    queries: VecDeque<DnsQuery>,
    /// Packets that gateways sent.
    sent: VecDeque<(Side, Vec<u8>)>,
    interface: Interface,
    /// A program that asks over TCP.
    program: tcp::Program,
    /// Packets that the tunnel took from programs.
    handed_over: usize,
    /// Packets of programs that reached a gateway.
    arrived: usize,
}

/// Plays an input.
pub(crate) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let mut session = Session::new();
    session.greet();
    session.come_to_rest();
    for _ in 0..MAX_ACTS {
        if script.is_over() {
            break;
        }
        session.act(&mut script);
        session.come_to_rest();
        session.check_state();
    }
}

impl Session {
    fn new() -> Self {
        let config = Config {
            system_resolvers: vec![RESOLVER.into()],
            ..Config::default()
        };
        Self {
            world: World::new(config),
            rights: Rights::new(vec![RESOLVER]),
            answers: Some(Side::A),
            confirms: true,
            has_relay: true,
            requests: VecDeque::new(),
            queries: VecDeque::new(),
            sent: VecDeque::new(),
            interface: Interface {
                ipv4: CLIENT_V4,
                ipv6: CLIENT_V6,
                upstream_dns: vec![],
                search_domain: None,
            },
            program: tcp::Program::default(),
            handed_over: 0,
            arrived: 0,
        }
    }

    fn portal(&mut self, update: PortalUpdate) {
        self.world.tunnel.handle_portal(update, self.world.now);
    }

    /// The portal's `init`, with all resources of the model.
    fn greet(&mut self) {
        let resources: Vec<Resource> = self.rights.resources().cloned().collect();
        let relays = match self.has_relay {
            true => vec![World::relay()],
            false => vec![],
        };
        self.rights.set_upstreams(&self.interface.upstream_dns);
        self.portal(PortalUpdate::Init {
            interface: self.interface.clone(),
            resources,
            relays,
        });
    }

    /// Lets everything happen that follows, and checks each of it.
    pub(crate) fn come_to_rest(&mut self) {
        for _ in 0..64 {
            self.world.settle();
            if self.world.happened.is_empty() {
                return self.rights.come_to_rest();
            }
            while let Some(happening) = self.world.happened.pop_front() {
                match happening {
                    Happening::Delivered(packet) => self.check_delivered(&packet),
                    Happening::Arrived(side, packet) => self.receive(side, &packet),
                    Happening::Wanted(output) => self.do_as_wanted(output),
                }
            }
        }
    }

    /// A packet that the client takes from a gateway is from where that gateway may send.
    fn check_delivered(&self, bytes: &[u8]) {
        let packet = IpPacket::parse(bytes).expect("what is delivered is a packet");
        let senders = self.sent.iter().filter(|(_, sent)| is_same(sent, bytes));
        let senders: Vec<Side> = senders.map(|(side, _)| *side).collect();
        assert!(!senders.is_empty(), "nobody sent what is delivered");
        let source = packet.source();
        let may = senders
            .iter()
            .any(|side| self.rights.may_send_from(*side, source));
        assert!(may, "{senders:?} sent from {source}");
    }

    /// A packet that a gateway gets is for what it was granted.
    fn receive(&mut self, side: Side, bytes: &[u8]) {
        let packet = IpPacket::parse(bytes).expect("what we send is a packet");
        if Control::recognize(&packet) {
            let control = Control::parse(&packet);
            return self.confirm(side, control.expect("our messages are well-formed"));
        }
        let (source, destination) = (packet.source(), packet.destination());
        assert!(is_ours(source), "a packet from {source} left");
        let may = self.rights.may_have_been_sent_to(side, destination);
        assert!(may, "{side:?} got a packet for {destination}");
        self.arrived += 1;
    }

    /// An honest gateway confirms a name.
    fn confirm(&mut self, side: Side, control: Control) {
        let Control::AssignedIps {
            resource,
            domain,
            proxy_ips,
        } = control
        else {
            return;
        };
        for address in proxy_ips {
            self.rights.stand_for(address, domain.as_str());
        }
        assert!(
            self.rights.may_have_been_told(side, resource),
            "a name told to {side:?}"
        );
        if self.confirms {
            let status = DomainStatus::Active;
            self.tell(
                side,
                &Control::DomainStatus {
                    resource,
                    domain,
                    status,
                },
            );
        }
    }

    fn tell(&mut self, side: Side, control: &Control) {
        let mut buffer = [0; MAX_CONTROL];
        if let Ok(length) = control.emit(&mut buffer) {
            self.world.send_from(side, &buffer[..length]);
        }
    }

    /// A gateway sends whatever it likes.
    fn send_from(&mut self, side: Side, packet: &[u8]) {
        if self.sent.len() == MAX_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((side, packet.to_vec()));
        self.world.send_from(side, packet);
    }

    fn do_as_wanted(&mut self, output: Output) {
        match output {
            Output::Deliver(packet) => self.check_answer(&packet),
            Output::Request(request) => self.handle_request(request),
            Output::Query(query) => {
                self.check_query(&query);
                self.queries.push_back(query);
            }
            Output::Event(Event::GatewayClosed { gateway, .. }) => {
                if let Some(side) = Side::of(gateway) {
                    self.rights.lose(side);
                }
            }
            Output::Event(_) | Output::Plan(_) | Output::Send(_) | Output::Idle(_) => {}
        }
    }

    fn handle_request(&mut self, request: PortalRequest) {
        match request {
            PortalRequest::CreateFlow { resource, .. } => {
                self.rights.ask_for(resource);
                match self.answers {
                    Some(side) => self.grant(resource, side),
                    None => self.requests.push_back(resource),
                }
            }
            PortalRequest::AddCandidates {
                gateway,
                candidates,
            } => {
                if let Some(side) = Side::of(gateway) {
                    self.world.signal(side, &candidates, true);
                }
            }
            PortalRequest::RemoveCandidates {
                gateway,
                candidates,
            } => {
                if let Some(side) = Side::of(gateway) {
                    self.world.signal(side, &candidates, false);
                }
            }
            PortalRequest::Reconnect => {
                if self.answers.is_some() {
                    self.greet();
                }
            }
        }
    }

    /// The portal grants a resource through a gateway, wanted or not.
    fn grant(&mut self, resource: ResourceId, side: Side) {
        let accepted = self.world.accept(side);
        let (ipv4, ipv6) = side.inside();
        self.rights.grant(resource, side);
        self.portal(PortalUpdate::Authorized(Box::new(Authorized {
            resource,
            gateway: side.id(),
            site: acts::SITE,
            public_key: accepted.public_key,
            ipv4,
            ipv6,
            preshared_key: accepted.preshared_key,
            client_ice: accepted.client_ice,
            gateway_ice: accepted.gateway_ice,
        })));
    }

    /// A packet that the tunnel itself made: it is for us, and what it says of names is noted.
    fn check_answer(&mut self, bytes: &[u8]) {
        let packet = IpPacket::parse(bytes).expect("what we make is a packet");
        assert!(is_ours(packet.destination()));
        if packet.protocol() == protocol::TCP {
            return self.program.hear(&packet);
        }
        let Ok(response) = Response::parse(packet.udp_payload()) else {
            return;
        };
        if let Some(question) = response.question()
            && let Some(name) = dns_message::leading_name(question)
        {
            let name = dns_message::presentation(name).to_ascii_lowercase();
            let name = name.trim_end_matches('.');
            let mut addresses = response.addresses().peekable();
            if addresses.peek().is_none() {
                self.rights.answer_nothing(name);
            }
            for address in addresses {
                self.rights.stand_for(address, name);
            }
        }
    }

    /// Names of resources are never asked of others, and only servers in use are asked.
    fn check_query(&self, query: &DnsQuery) {
        assert!(
            self.rights.may_be_asked(query.server),
            "{} is asked",
            query.server
        );
        let message = Query::parse(&query.message).expect("what is forwarded is a query");
        let mut buffer = [0; dns_message::MAX_NAME];
        // Of other classes than the internet's, resources have no records, and what other operations
        // than a standard query mean only a server knows.
        if message.is_standard()
            && message.class() == class::IN
            && let Some(name) = message.name(&mut buffer)
        {
            let is_secret = self.rights.is_answered_here(name, message.rtype());
            assert!(!is_secret, "{name} is asked outside");
        }
    }

    /// What the interface should look like is what the model has.
    fn check_state(&self) {
        if let Some(plan) = self.world.tunnel.plan() {
            assert_eq!(plan.routes, self.rights.routes());
        }
        let statuses = self.world.tunnel.resources();
        let known = |status: &ResourceStatus| self.rights.knows(status.resource.id());
        assert!(statuses.iter().all(known), "a resource that is gone");
        assert_eq!(statuses.len(), self.rights.resources().count());
    }
}

fn is_ours(address: IpAddr) -> bool {
    address == IpAddr::V4(CLIENT_V4) || address == IpAddr::V6(CLIENT_V6)
}

/// Whether two packets differ at most in what a path changes: traffic class and checksums.
fn is_same(sent: &[u8], delivered: &[u8]) -> bool {
    let tail = |bytes: &[u8]| bytes.get(12..).map(<[u8]>::to_vec);
    sent.len() == delivered.len() && tail(sent) == tail(delivered)
}
