//! What may happen to a session.

use super::{CLIENT_V4, CLIENT_V6, RESOLVER, Session};
use crate::{
    network::{CLIENT_AT, OnTheWay, RELAY_AT, Side},
    script::Script,
};
use dns_message::{MessageBuilder, Protocol, Query, compose_query, rtype};
use ip_packet::{Control, DomainStatus, emit_udp};
use model::{
    Candidate, CidrResource, DnsResource, InternetResource, IpStack, Resource, ResourceId, Seed,
    Site, SiteId, limits,
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tunnel_core::{DnsFailure, PortalUpdate, Refusal, Verdict};

pub(super) const SITE: SiteId = SiteId::from_bytes([0x55; 16]);

/// The resource of [`Session::connected`].
const NETWORK: ResourceId = ResourceId::from_bytes([1; 16]);

/// Names that programs ask for.
const NAMES: [&str; 8] = [
    "web.app.test",
    "app.test",
    "deep.er.app.test",
    "db.test",
    "elsewhere.test",
    "1.0.96.100.in-addr.arpa",
    "use-application-dns.net",
    "WEB.App.Test",
];

/// Patterns of resources; some are none.
const PATTERNS: [&str; 8] = [
    "*.app.test",
    "web.app.test",
    "**.test",
    "db.test",
    "a..b",
    "**x.test",
    "?b.test",
    "",
];

/// Networks of resources; some cover what is none of theirs.
const NETWORKS: [&str; 10] = [
    "10.20.0.0/16",
    "10.20.30.0/24",
    "10.20.30.40/32",
    "198.51.100.0/24",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "100.64.0.0/10",
    "fd00:2021:1111::/48",
    "127.0.0.0/8",
    "192.0.2.0/24",
];

/// Addresses of every kind that means something.
const ADDRESSES: [&str; 26] = [
    "10.20.0.1",
    "10.20.30.1",
    "10.20.30.40",
    "198.51.100.1",
    "8.8.8.8",
    "2001:db8::1",
    "2001:db8:1::1",
    "2001:db9::1",
    "100.64.0.7",
    "100.64.0.9",
    "100.64.0.10",
    "fd00:2021:1111::7",
    "fd00:2021:1111::9",
    "fd00:2021:1111::a",
    "100.96.0.1",
    "100.96.0.5",
    "fd00:2021:1111:8000::",
    "fd00:2021:1111:8000::4",
    "100.100.111.1",
    "fd00:2021:1111:8000:100:100:111:0",
    "127.0.0.1",
    "224.0.0.252",
    "255.255.255.255",
    "0.0.0.0",
    "ff02::1:3",
    "192.0.2.53",
];

/// Where datagrams may seem to come from.
pub(crate) const OUTSIDE: [SocketAddr; 6] = [
    v4([203, 0, 113, 111], 52625),
    v4([203, 0, 113, 112], 52625),
    RELAY_AT,
    v4([203, 0, 113, 21], 49152),
    v4([192, 0, 2, 66], 6666),
    SocketAddr::new(
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x66)),
        6666,
    ),
];

const fn v4(address: [u8; 4], port: u16) -> SocketAddr {
    let [a, b, c, d] = address;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
}

const TIMES: [Duration; 8] = [
    Duration::from_millis(10),
    Duration::from_millis(300),
    Duration::from_secs(2),
    Duration::from_secs(6),
    Duration::from_secs(16),
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3600),
];

fn address(script: &mut Script<'_>) -> IpAddr {
    parsed(script.choose(&ADDRESSES))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("written as what it is")
}

/// The client's address of the same family.
fn own(family: IpAddr) -> IpAddr {
    match family {
        IpAddr::V4(_) => IpAddr::V4(CLIENT_V4),
        IpAddr::V6(_) => IpAddr::V6(CLIENT_V6),
    }
}

/// Mostly the client's address of the same family.
fn own_or_any(family: IpAddr, script: &mut Script<'_>) -> IpAddr {
    match script.byte() {
        0..=239 => own(family),
        _ => address(script),
    }
}

/// One of a few ids.
fn resource_id(script: &mut Script<'_>) -> ResourceId {
    ResourceId::from_bytes([script.byte() % 8; 16])
}

impl Session {
    /// A client that is connected to a gateway.
    pub(crate) fn connected() -> Self {
        let mut session = Self::new();
        let resource = Resource::Cidr(network(NETWORK, "10.20.0.0/16"));
        session.rights.set(resource);
        session.greet();
        session.come_to_rest();
        session.expect_traffic();
        session
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.world.wait(time);
    }

    /// A packet for a resource arrives, at once or after a new connection is made.
    pub(crate) fn expect_traffic(&mut self) {
        let from = SocketAddr::new(IpAddr::V4(CLIENT_V4), 4000);
        let packet = udp(from, v4([10, 20, 0, 1], 7), b"hello");
        let before = self.arrived;
        for _ in 0..60 {
            self.hand_over(&packet);
            self.come_to_rest();
            if self.arrived > before {
                return;
            }
            self.world.wait(Duration::from_secs(1));
            self.come_to_rest();
        }
        panic!("no packet arrives within a minute");
    }

    /// Does the next thing of a script.
    pub(super) fn act(&mut self, script: &mut Script<'_>) {
        match script.byte() % 26 {
            0..=3 => self.program_sends(script),
            4..=6 => self.gateway_sends(script),
            7 => self.gateway_tells(script),
            8..=10 => self.portal_sets(script),
            11 => self.portal_says(script),
            12 => self.portal_answers(script),
            13..=14 => self.program_asks(script),
            15 => self.server_answers(script),
            16..=17 => self.somebody_replays(script),
            18 => self.somebody_sends(script),
            19 => self.world.wait(script.choose(&TIMES)),
            20 => self.user_chooses(script),
            21 => self.network_changes(script),
            22 => self.parties_change(script),
            23..=24 => self.program_dials(script),
            _ => self.candidate(script),
        }
    }

    fn program_sends(&mut self, script: &mut Script<'_>) {
        let to = address(script);
        let from = own_or_any(to, script);
        let packet = packet(from, to, script);
        for _ in 0..=script.byte() % 4 {
            self.hand_over(&packet);
        }
    }

    /// A program hands the tunnel a packet.
    fn hand_over(&mut self, packet: &[u8]) {
        let verdict = self.world.tunnel.handle_tun(packet, self.world.now);
        self.handed_over += usize::from(verdict == Verdict::Consumed);
    }

    fn gateway_sends(&mut self, script: &mut Script<'_>) {
        let side = script.choose(&Side::BOTH);
        let from = address(script);
        let to = own_or_any(from, script);
        let packet = packet(from, to, script);
        self.send_from(side, &packet);
    }

    fn gateway_tells(&mut self, script: &mut Script<'_>) {
        let side = script.choose(&Side::BOTH);
        let control = match script.byte() % 8 {
            0 => Control::Goodbye,
            1 => Control::AssignedIps {
                resource: resource_id(script),
                domain: parsed(script.choose(&NAMES)),
                proxy_ips: (1..5).map(|n| IpAddr::from([100, 96, 0, n])).collect(),
            },
            _ => Control::DomainStatus {
                resource: resource_id(script),
                domain: parsed(script.choose(&NAMES)),
                status: match script.flag() {
                    true => DomainStatus::Active,
                    false => DomainStatus::Inactive,
                },
            },
        };
        self.tell(side, &control);
    }

    fn portal_sets(&mut self, script: &mut Script<'_>) {
        let id = resource_id(script);
        let (name, sites) = (String::new(), sites());
        let resource = match script.byte() % 8 {
            0..=3 => Resource::Cidr(network(id, script.choose(&NETWORKS))),
            4..=6 => Resource::Dns(DnsResource {
                id,
                name,
                address: script.choose(&PATTERNS).to_owned(),
                address_description: None,
                ip_stack: script.choose(&[IpStack::Dual, IpStack::Ipv4Only, IpStack::Ipv6Only]),
                sites,
                filters: vec![],
            }),
            _ => Resource::Internet(InternetResource { id, name, sites }),
        };
        self.rights.set(resource.clone());
        self.portal(PortalUpdate::Resource(resource));
    }

    fn portal_says(&mut self, script: &mut Script<'_>) {
        match script.byte() % 8 {
            0..=2 => {
                let id = resource_id(script);
                self.rights.remove(id);
                self.portal(PortalUpdate::ResourceRemoved(id));
            }
            3 => {
                let count = usize::from(script.byte() % 3);
                let servers = [RESOLVER, SocketAddr::new(parsed("10.20.0.1"), 53)];
                self.interface.upstream_dns = servers[..count].to_vec();
                self.rights.set_upstreams(&self.interface.upstream_dns);
                self.portal(PortalUpdate::Interface(self.interface.clone()));
            }
            4 => {
                self.has_relay = script.flag();
                let relay = crate::network::World::relay();
                let (disconnected, connected) = match self.has_relay {
                    true => (vec![], vec![relay]),
                    false => (vec![relay.id], vec![]),
                };
                self.portal(PortalUpdate::Relays {
                    disconnected,
                    connected,
                });
            }
            5 => self.greet(),
            _ => {
                let ids: Vec<_> = self.rights.resources().map(Resource::id).collect();
                for id in ids {
                    if script.flag() {
                        self.rights.remove(id);
                    }
                }
                self.greet();
            }
        }
    }

    /// An answer to the oldest request, or one that nobody asked for.
    fn portal_answers(&mut self, script: &mut Script<'_>) {
        let resource = match script.byte() {
            0..=127 => self.requests.pop_front(),
            _ => None,
        };
        let resource = resource.unwrap_or_else(|| resource_id(script));
        match script.byte() % 8 {
            0 => self.refuse(resource, Refusal::Denied),
            1 => self.refuse(resource, Refusal::Offline),
            2 => self.refuse(resource, Refusal::Incompatible),
            _ => {
                let side = script.choose(&Side::BOTH);
                self.grant(resource, side);
            }
        }
    }

    fn refuse(&mut self, resource: ResourceId, reason: Refusal) {
        self.portal(PortalUpdate::Refused { resource, reason });
    }

    fn program_asks(&mut self, script: &mut Script<'_>) {
        let query = question(script);
        let sentinel = self.world.tunnel.upstreams().map(|(ip, _)| ip).next();
        let Some(sentinel) = sentinel else {
            return;
        };
        let (from, to) = (
            SocketAddr::new(own(sentinel), 5000),
            SocketAddr::new(sentinel, 53),
        );
        let packet = udp(from, to, &query);
        self.hand_over(&packet);
    }

    fn program_dials(&mut self, script: &mut Script<'_>) {
        let query = question(script);
        let sentinel = self.world.tunnel.upstreams().find_map(|(ip, _)| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        let Some(sentinel) = sentinel else {
            return;
        };
        let packet = self.program.say(CLIENT_V4, sentinel, &query, script);
        self.hand_over(&packet);
    }

    fn server_answers(&mut self, script: &mut Script<'_>) {
        let Some(query) = self.queries.pop_front() else {
            return;
        };
        let mut reply = vec![];
        let answer = match script.byte() % 4 {
            0 => Err(DnsFailure::Failed),
            1 => Err(DnsFailure::TimedOut),
            2 => Ok(script.bytes()),
            _ => {
                let message = Query::parse(&query.message).expect("what is forwarded is a query");
                let protocol = Protocol::Dns;
                let mut builder = MessageBuilder::new(&mut reply, &message, protocol, 0);
                builder.record(message.rtype(), u32::from(script.word()), &[192, 0, 2, 1]);
                builder.finish(&message);
                Ok(&reply[..])
            }
        };
        let now = self.world.now;
        self.world.tunnel.handle_dns_answer(query.id, answer, now);
    }

    /// A datagram that the client got before, damaged or not, from there or from elsewhere.
    pub(crate) fn somebody_replays(&mut self, script: &mut Script<'_>) {
        let which = usize::from(script.byte());
        let count = self.world.heard.len();
        let Some(heard) = (count > 0).then(|| self.world.heard[which % count].clone()) else {
            return;
        };
        let mut again = heard;
        if script.flag() {
            again.from = script.choose(&OUTSIDE);
        }
        if script.flag() {
            let (at, with) = (usize::from(script.word()), script.byte());
            let at = at % again.payload.len().max(1);
            if let Some(byte) = again.payload.get_mut(at) {
                *byte ^= with;
            }
        }
        self.inject(again);
    }

    fn somebody_sends(&mut self, script: &mut Script<'_>) {
        let from = script.choose(&OUTSIDE);
        let payload = script.bytes().to_vec();
        self.inject(OnTheWay {
            from,
            to: CLIENT_AT,
            payload,
        });
    }

    /// One datagram of somebody draws a bounded number of ours, besides packets that waited for it: an
    /// answer of a gateway that was lost may be among what is replayed.
    pub(crate) fn inject(&mut self, datagram: OnTheWay) {
        self.come_to_rest();
        let before = self.world.sent;
        let is_relay = datagram.from == RELAY_AT;
        let waiting = self.handed_over.saturating_sub(self.arrived);
        self.world.inject(datagram);
        self.world.settle();
        let drawn = self.world.sent - before;
        assert!(
            is_relay || drawn <= 64 + waiting,
            "a datagram drew {drawn} with {waiting} waiting"
        );
    }

    fn user_chooses(&mut self, script: &mut Script<'_>) {
        let now = self.world.now;
        match script.byte() % 3 {
            0 => {
                let enabled = script.flag();
                self.rights.set_internet(enabled);
                self.world.tunnel.set_internet_resource(enabled, now);
            }
            1 => {
                let bits = script.byte();
                let off = (0..8_u8).filter(|n| bits & 1 << n != 0);
                let off: BTreeSet<_> = off.map(|n| ResourceId::from_bytes([n; 16])).collect();
                self.rights.set_disabled(off.clone());
                self.world.tunnel.set_disabled_resources(off, now);
            }
            _ => {
                let servers = [RESOLVER, parsed("[2001:db8::53]:53")];
                let servers = servers[..usize::from(script.byte() % 3)].to_vec();
                self.rights.set_system_resolvers(&servers);
                let servers = servers.into_iter().map(Into::into).collect();
                self.world.tunnel.set_system_resolvers(servers);
            }
        }
    }

    fn network_changes(&mut self, script: &mut Script<'_>) {
        self.rights.reset();
        self.requests.clear();
        let seed = Seed::from_bytes([script.byte(); 32]);
        self.world.tunnel.reset(seed, self.world.now);
        if script.flag() {
            self.greet();
        }
    }

    fn parties_change(&mut self, script: &mut Script<'_>) {
        match script.byte() % 8 {
            0..=1 => self.answers = None,
            2..=3 => self.answers = Some(script.choose(&Side::BOTH)),
            4 => self.confirms = script.flag(),
            5..=6 => self.world.only_relayed = script.flag(),
            _ => self.world.losses = script.byte(),
        }
    }

    fn candidate(&mut self, script: &mut Script<'_>) {
        let gateway = script.choose(&Side::BOTH).id();
        let kind = script.choose(&["host", "srflx", "relay", "prflx"]);
        let at: SocketAddr = match script.byte() % 4 {
            0 => SocketAddr::new(address(script), script.word().max(1)),
            1 => SocketAddr::new(IpAddr::from([192, 0, 2, script.byte()]), 1),
            _ => script.choose(&OUTSIDE),
        };
        let (ip, port) = (at.ip(), at.port());
        let text = format!("candidate:1 1 udp 2130706431 {ip} {port} typ {kind}");
        let Ok(candidate) = text.parse::<Candidate>() else {
            return;
        };
        let candidates = vec![candidate];
        let update = match script.byte() % 3 {
            0 => PortalUpdate::CandidatesRemoved {
                gateway,
                candidates,
            },
            _ => PortalUpdate::CandidatesAdded {
                gateway,
                candidates,
            },
        };
        self.portal(update);
    }
}

/// A query, or nearly one.
fn question(script: &mut Script<'_>) -> Vec<u8> {
    let name = script.choose(&NAMES);
    let kinds = [
        rtype::A,
        rtype::AAAA,
        rtype::PTR,
        rtype::SRV,
        rtype::TXT,
        65,
    ];
    let kind = script.choose(&kinds);
    let mut query = compose_query(script.word(), name, kind).expect("they are names");
    if script.byte() > 240 {
        let (at, with) = (usize::from(script.byte()), script.byte());
        if let Some(byte) = query.get_mut(at) {
            *byte = with;
        }
    }
    query
}

fn sites() -> Vec<Site> {
    vec![Site {
        id: SITE,
        name: String::new(),
    }]
}

fn network(id: ResourceId, address: &str) -> CidrResource {
    CidrResource {
        id,
        name: String::new(),
        address: parsed(address),
        address_description: None,
        sites: sites(),
        filters: vec![],
    }
}

/// A packet between two addresses, or nearly one.
fn packet(from: IpAddr, to: IpAddr, script: &mut Script<'_>) -> Vec<u8> {
    let (port, payload) = (u16::from(script.byte()), script.byte());
    if from.is_ipv4() != to.is_ipv4() {
        return script.bytes().to_vec();
    }
    let from = SocketAddr::new(from, 4000);
    let to = SocketAddr::new(to, port);
    let mut bytes = udp(from, to, &vec![payload; usize::from(payload)]);
    if script.byte() > 240 {
        let (at, with) = (usize::from(script.byte()), script.byte());
        if let Some(byte) = bytes.get_mut(at) {
            *byte = with;
        }
    }
    bytes
}

fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; limits::MTU];
    let length = emit_udp(&mut bytes, from, to, payload).expect("it fits");
    bytes.truncate(length);
    bytes
}
