//! The resolver with programs that ask it and servers that it asks.

mod asking;
mod caching;
mod robust;
mod serving;
mod sites;
mod tunneled;

use super::*;
use crate::event::{DnsAccess, DnsTransport};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query as Question, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, SOA, TXT},
    },
};
use model::{CidrResource, DnsResource, GatewayId, IpStack, Resource, Seed, SiteId};
use std::time::Duration;

const SENTINEL: &str = "100.100.111.1";
const SENTINEL_V6: &str = "fd00:2021:1111:8000:100:100:111:0";
const PROGRAM: &str = "100.64.0.7";
const PROGRAM_V6: &str = "fd00:2021:1111::7";
const RESOURCE: ResourceId = ResourceId::from_bytes([1; 16]);
const NETWORK: ResourceId = ResourceId::from_bytes([2; 16]);

/// A server that anybody may ask.
fn server(text: &str) -> DnsServer {
    text.parse::<SocketAddr>().unwrap().into()
}

/// The resolver with the resources `*.app.test` and `10.20.0.0/16`, and one server of each family.
struct Fixture {
    dns: Dns,
    resources: ResourceTable,
    gateways: Gateways,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        let now = Instant::now();
        let mut dns = Dns::new(&SeedTree::new(Seed::from_bytes([3; 32])), now);
        dns.set_system_resolvers(&["192.0.2.53:53", "[2001:db8::53]:53"].map(server));
        let mut resources = ResourceTable::default();
        resources.insert(named(RESOURCE, "*.app.test")).unwrap();
        let network = Resource::Cidr(CidrResource {
            id: NETWORK,
            name: "net".into(),
            address: "10.20.0.0/16".parse().unwrap(),
            address_description: None,
            sites: vec![],
            filters: vec![],
        });
        resources.insert(network).unwrap();
        let mut fixture = Self {
            dns,
            resources,
            gateways: Gateways::default(),
            now,
        };
        fixture.set_portal_resolvers(&[]);
        fixture
    }

    /// The resolver and its context.
    fn split(&mut self) -> (&mut Dns, Context<'_>) {
        let cx = Context {
            resources: &self.resources,
            gateways: &self.gateways,
            now: self.now,
        };
        (&mut self.dns, cx)
    }

    fn set_portal_resolvers(&mut self, servers: &[&str]) {
        let interface = Interface {
            ipv4: PROGRAM.parse().unwrap(),
            ipv6: PROGRAM_V6.parse().unwrap(),
            upstream_dns: servers.iter().map(|s| s.parse().unwrap()).collect(),
            search_domain: None,
        };
        let (dns, cx) = self.split();
        dns.set_interface(&interface, cx);
    }

    /// Lets a gateway carry the resource `*.app.test`.
    fn bind(&mut self) {
        let gateway = GatewayId::from_bytes([9; 16]);
        let addresses = (
            "100.64.0.9".parse().unwrap(),
            "fd00:2021:1111::9".parse().unwrap(),
        );
        self.gateways
            .upsert(gateway, SiteId::from_bytes([8; 16]), addresses);
        self.resources.bind(RESOURCE, gateway);
    }

    /// A program sends a datagram to a sentinel.
    fn send(&mut self, from: u16, to: &str, payload: &[u8]) -> Result<(), DropReason> {
        let (program, sentinel) = match to.contains(':') {
            true => (format!("[{PROGRAM_V6}]:{from}"), format!("[{to}]:53")),
            false => (format!("{PROGRAM}:{from}"), format!("{to}:53")),
        };
        let packet = crate::fixtures::udp(&program, &sentinel, payload);
        let packet = IpPacket::parse(&packet[..]).unwrap();
        let (dns, cx) = self.split();
        dns.handle_packet(&packet, cx)
    }

    /// A program asks over UDP and gets what comes at once.
    fn ask(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.send(4000, SENTINEL, message).unwrap();
        self.reply()
    }

    /// The payload of the next packet for a program.
    fn reply(&mut self) -> Option<Vec<u8>> {
        let packet = self.dns.poll_packet()?;
        let packet = IpPacket::parse(&packet[..]).unwrap();
        Some(packet.udp_payload().to_vec())
    }

    /// A server outside answers.
    fn answer(&mut self, query: &DnsQuery, answer: Result<&[u8], DnsFailure>) {
        let (dns, cx) = self.split();
        dns.handle_answer(query.id, answer, cx);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let (dns, cx) = self.split();
        dns.handle_timeout(cx);
    }
}

fn named(id: ResourceId, pattern: &str) -> Resource {
    Resource::Dns(DnsResource {
        id,
        name: pattern.into(),
        address: pattern.into(),
        address_description: None,
        ip_stack: IpStack::Dual,
        sites: vec![],
        filters: vec![],
    })
}

fn message(id: u16, name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Question::query(Name::from_ascii(name).unwrap(), kind));
    message.metadata.recursion_desired = true;
    message
}

fn query(id: u16, name: &str, kind: RecordType) -> Vec<u8> {
    message(id, name, kind).to_vec().unwrap()
}

/// The same with an OPT record of this size.
fn extended(id: u16, name: &str, kind: RecordType, size: u16) -> Vec<u8> {
    let mut message = message(id, name, kind);
    let mut edns = Edns::new();
    edns.set_max_payload(size);
    edns.set_dnssec_ok(true);
    message.edns = Some(edns);
    message.to_vec().unwrap()
}

fn text(name: &str, ttl: u32, length: usize) -> Record {
    let strings = vec!["x".repeat(250); length / 251 + 1];
    let name = Name::from_ascii(name).unwrap();
    Record::from_rdata(name, ttl, RData::TXT(TXT::new(strings)))
}

fn address(name: &str, ttl: u32) -> Record {
    let name = Name::from_ascii(name).unwrap();
    Record::from_rdata(name, ttl, RData::A(A::new(192, 0, 2, 1)))
}

/// What a server answers to a message.
fn respond(query: &[u8], answers: Vec<Record>) -> Vec<u8> {
    response(query, answers).to_vec().unwrap()
}

fn response(query: &[u8], answers: Vec<Record>) -> Message {
    let query = Message::from_vec(query).unwrap();
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.recursion_available = true;
    response.queries = query.queries;
    response.answers = answers;
    response.edns = query.edns;
    response
}

fn parse(bytes: &[u8]) -> Message {
    Message::from_vec(bytes).unwrap()
}
