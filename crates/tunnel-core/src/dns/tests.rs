//! DNS over TCP at a sentinel, with a second user-space stack as the program that asks.

use super::*;
use crate::resource::ResourceTable;
use hickory_proto::{
    op::{MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use model::{DnsResource, IpStack, Resource, Seed};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{Socket, SocketBuffer, State},
    wire::{HardwareAddress, IpAddress, IpCidr},
};
use std::time::Duration;

const SENTINEL: &str = "100.100.111.1";
const PROGRAM: &str = "100.64.0.7";

/// The program's side of the wire.
#[derive(Default)]
struct Wire {
    to_program: VecDeque<Vec<u8>>,
    to_stub: VecDeque<Vec<u8>>,
}

struct Incoming(Vec<u8>);
struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl Device for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.to_program.pop_front()?;
        Some((Incoming(packet), Outgoing(&mut self.to_stub)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.to_stub))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1280;
        capabilities
    }
}

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut packet = vec![0; length];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

/// The stub resolver and a program that talks TCP to it.
struct Fixture {
    dns: Dns,
    resources: ResourceTable,
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    now: Instant,
    start: Instant,
}

impl Fixture {
    fn new() -> Self {
        let now = Instant::now();
        let mut dns = Dns::new(&SeedTree::new(Seed::from_bytes([3; 32])), now);
        dns.set_system_resolvers(vec!["192.0.2.53:53".parse().unwrap()]);
        let mut resources = ResourceTable::new(false);
        let resource = Resource::Dns(DnsResource {
            id: ResourceId::from_bytes([1; 16]),
            name: "app".into(),
            address: "*.app.test".into(),
            address_description: None,
            ip_stack: IpStack::Dual,
            sites: vec![],
            filters: vec![],
        });
        resources.insert(resource).unwrap();
        let mut wire = Wire::default();
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut wire, smoltcp::time::Instant::ZERO);
        let ours: std::net::Ipv4Addr = PROGRAM.parse().unwrap();
        interface.update_ip_addrs(|a| a.push(IpCidr::new(IpAddress::Ipv4(ours), 32)).unwrap());
        interface.routes_mut().add_default_ipv4_route(ours).unwrap();
        let sockets = SocketSet::new(vec![]);
        Self {
            dns,
            resources,
            wire,
            interface,
            sockets,
            now,
            start: now,
        }
    }

    fn connect(&mut self, port: u16) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 200_000]);
        let mut socket = Socket::new(buffer(), buffer());
        let sentinel: std::net::Ipv4Addr = SENTINEL.parse().unwrap();
        socket
            .connect(
                self.interface.context(),
                (IpAddress::Ipv4(sentinel), 53),
                port,
            )
            .unwrap();
        let handle = self.sockets.add(socket);
        self.run(10);
        handle
    }

    /// Lets some milliseconds pass.
    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.now += Duration::from_millis(1);
            let elapsed = i64::try_from((self.now - self.start).as_micros()).unwrap();
            let at = smoltcp::time::Instant::from_micros(elapsed);
            self.interface.poll(at, &mut self.wire, &mut self.sockets);
            while let Some(packet) = self.wire.to_stub.pop_front() {
                let packet = IpPacket::parse(&packet[..]).unwrap();
                self.dns
                    .handle_packet(&packet, &self.resources, self.now)
                    .unwrap();
            }
            self.dns.handle_timeout(&self.resources, self.now);
            while let Some(packet) = self.dns.poll_packet() {
                self.wire.to_program.push_back(packet);
            }
        }
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut::<Socket<'_>>(handle)
    }

    fn ask(&mut self, handle: SocketHandle, id: u16, name: &str, kind: RecordType) {
        let message = query(id, name, kind);
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        self.socket(handle)
            .send_slice(&[&length[..], &message].concat())
            .unwrap();
    }

    /// All whole answers that have arrived.
    fn answers(&mut self, handle: SocketHandle) -> Vec<Vec<u8>> {
        self.run(20);
        let mut bytes = vec![];
        let socket = self.socket(handle);
        while socket.can_recv() {
            let taken = socket.recv(|data| (data.len(), data.to_vec())).unwrap();
            bytes.extend(taken);
        }
        let mut answers = vec![];
        let mut rest = &bytes[..];
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let (answer, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
            answers.push(answer.to_vec());
            rest = tail;
        }
        answers
    }
}

fn query(id: u16, name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

#[test]
fn several_queries_on_one_connection_are_answered_out_of_order() {
    let mut fixture = Fixture::new();
    let connection = fixture.connect(4000);
    fixture.ask(connection, 1, "slow.test.", RecordType::TXT);
    fixture.ask(connection, 2, "web.app.test.", RecordType::A);
    let answers = fixture.answers(connection);
    assert_eq!(answers.len(), 1);
    let first = Message::from_vec(&answers[0]).unwrap();
    assert_eq!((first.metadata.id, first.answers.len()), (2, 4));

    let forwarded = fixture.dns.poll_query().unwrap();
    assert_eq!(forwarded.transport, DnsTransport::Tcp);
    assert_eq!(forwarded.server.to_string(), "192.0.2.53:53");
    let mut reply = Message::from_vec(&forwarded.message)
        .unwrap()
        .into_response();
    reply.metadata.id = 1;
    let mut reply = reply.to_vec().unwrap();
    // Larger than any packet, larger than the socket's buffer.
    reply.resize(60_000, 0);
    fixture
        .dns
        .handle_answer(forwarded.id, Ok(&reply), fixture.now);
    fixture.run(500);
    assert_eq!(fixture.answers(connection), [reply]);
}

#[test]
fn a_failing_server_is_told_even_when_it_only_was_slow() {
    let mut fixture = Fixture::new();
    let connection = fixture.connect(4000);
    fixture.ask(connection, 7, "slow.test.", RecordType::TXT);
    fixture.run(20);
    let forwarded = fixture.dns.poll_query().unwrap();
    fixture
        .dns
        .handle_answer(forwarded.id, Err(DnsFailure::TimedOut), fixture.now);
    let answers = fixture.answers(connection);
    let answer = Message::from_vec(&answers[0]).unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(answer.metadata.id, 7);
}

#[test]
fn nonsense_costs_the_connection_only() {
    let mut fixture = Fixture::new();
    let (bad, good) = (fixture.connect(4000), fixture.connect(4001));
    fixture.socket(bad).send_slice(&[0, 3, 1, 2, 3]).unwrap();
    fixture.run(50);
    assert_eq!(fixture.socket(bad).state(), State::Closed);
    fixture.ask(good, 1, "web.app.test.", RecordType::A);
    assert_eq!(fixture.answers(good).len(), 1);
}

#[test]
fn an_eleventh_connection_takes_the_place_of_the_idlest() {
    let mut fixture = Fixture::new();
    let connections: Vec<SocketHandle> = (0..10).map(|n| fixture.connect(4000 + n)).collect();
    for &connection in &connections[1..] {
        fixture.ask(connection, 1, "web.app.test.", RecordType::A);
        assert_eq!(fixture.answers(connection).len(), 1);
    }
    let another = fixture.connect(5000);
    fixture.ask(another, 1, "web.app.test.", RecordType::A);
    assert_eq!(fixture.answers(another).len(), 1);
    assert_eq!(fixture.socket(connections[0]).state(), State::Closed);
    assert_eq!(fixture.socket(connections[1]).state(), State::Established);
}

#[test]
fn a_closed_connection_is_closed_on_our_side_and_forgotten() {
    let mut fixture = Fixture::new();
    for port in 4000..4030 {
        let connection = fixture.connect(port);
        fixture.ask(connection, 1, "web.app.test.", RecordType::A);
        assert_eq!(fixture.answers(connection).len(), 1);
        fixture.socket(connection).close();
        fixture.run(50);
        let state = fixture.socket(connection).state();
        assert!(matches!(state, State::TimeWait | State::Closed), "{state}");
    }
}

#[test]
fn a_reset_ends_all_connections() {
    let mut fixture = Fixture::new();
    let connection = fixture.connect(4000);
    fixture.ask(connection, 1, "slow.test.", RecordType::TXT);
    fixture.run(20);
    fixture.dns.reset(fixture.now);
    assert!(fixture.dns.poll_query().is_none());
    fixture.run(20);
    assert_eq!(fixture.socket(connection).state(), State::Closed);
    assert_eq!(fixture.dns.sentinels().count(), 1);
}

#[test]
fn too_many_waiting_queries_are_refused() {
    let mut fixture = Fixture::new();
    let sentinel = format!("{SENTINEL}:53");
    for id in 0..=1000 {
        let message = query(id, "slow.test.", RecordType::TXT);
        let packet = crate::fixtures::udp(&format!("{PROGRAM}:4000"), &sentinel, &message);
        let packet = IpPacket::parse(&packet[..]).unwrap();
        fixture
            .dns
            .handle_packet(&packet, &fixture.resources, fixture.now)
            .unwrap();
    }
    let refused = fixture.dns.poll_packet().unwrap();
    assert!(fixture.dns.poll_packet().is_none());
    let refused = Message::from_vec(IpPacket::parse(&refused[..]).unwrap().udp_payload()).unwrap();
    assert_eq!(refused.metadata.id, 1000);
    assert_eq!(refused.metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn reverse_names_of_both_families_are_read() {
    let reverse = |name: &str| stub::reversed_address(name).map(|address| address.to_string());
    assert_eq!(
        reverse("1.0.96.100.in-addr.arpa").as_deref(),
        Some("100.96.0.1")
    );
    let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.1.1.1.1.1.2.0.2.0.0.d.f.ip6.arpa";
    assert_eq!(reverse(v6).as_deref(), Some("fd00:2021:1111:8000::1"));
    for name in [
        "1.0.96.in-addr.arpa",
        "x.0.96.100.in-addr.arpa",
        "1.ip6.arpa",
        "a.test",
    ] {
        assert_eq!(reverse(name), None, "{name}");
    }
}
