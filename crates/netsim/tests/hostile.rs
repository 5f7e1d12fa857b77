//! Whatever programs, peers, relays, DNS servers and the portal send, in whatever order: nothing
//! panics, what comes out is well-formed, and when all behave again, packets arrive.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use connectivity::{Datagram, Ecn};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use ip_packet::{IpPacket, emit_udp};
use model::{
    Candidate, CidrResource, DnsResource, GatewayId, Interface, InternetResource, IpStack,
    Resource, ResourceId, Seed,
};
use netem::NatConfig;
use netsim::{World, WorldConfig};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tunnel_core::{DnsFailure, PortalUpdate, Received, Refusal};

/// One byte of something, and what is done to it.
type Damage = (Index, u8);

/// What somebody does.
#[derive(Debug, Clone)]
enum Act {
    /// A program sends a packet, damaged or not.
    Packet(SocketAddr, Vec<u8>, Vec<Damage>),
    /// A program asks the stub resolver.
    Ask(&'static str, RecordType, Vec<Damage>),
    /// Somebody repeats a datagram that the client heard, damaged, perhaps from elsewhere.
    Replay(Index, Vec<Damage>, Option<SocketAddr>),
    /// Somebody sends anything.
    Noise(SocketAddr, Vec<u8>),
    /// A DNS server answers a query.
    Answer(Index, Option<Vec<u8>>),
    /// The portal says something.
    Portal(Saying),
    /// The user, or the system under the client.
    Wish(Wish),
    /// Time passes.
    Wait(Duration),
}

#[derive(Debug, Clone)]
enum Saying {
    Again,
    Candidate(u8, SocketAddr, bool),
    Interface(Vec<SocketAddr>),
    Internet(u8),
    Name(&'static str),
    Network(u8, &'static str),
    Refuse(Refusal),
    Remove(u8),
    NoRelays,
}

#[derive(Debug, Clone)]
enum Wish {
    Internet(bool),
    Off(BTreeSet<ResourceId>),
    Reset,
    Resolvers(Vec<SocketAddr>),
}

/// Addresses of every kind that means something to the client.
fn addresses() -> impl Strategy<Value = SocketAddr> {
    let text = prop::sample::select(vec![
        "10.20.0.1:80",
        "10.20.255.255:443",
        "100.96.0.1:80",
        "100.96.0.7:80",
        "100.100.111.1:53",
        "100.100.111.1:5353",
        "100.64.0.7:4000",
        "100.64.0.9:9",
        "198.51.100.1:443",
        "203.0.113.21:3478",
        "203.0.113.111:52625",
        "224.0.0.252:5355",
        "255.255.255.255:0",
        "0.0.0.0:0",
        "[fd00:2021:1111:8000::1]:80",
        "[fd00:2021:1111:8000:100:100:111:0]:53",
        "[fd00:2021:1111::9]:9",
        "[ff02::1:3]:5355",
        "[2001:db8::1]:443",
    ]);
    text.prop_map(|text| text.parse().unwrap())
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    vec((any::<Index>(), any::<u8>()), 0..4)
}

fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "web.app.test.",
        "no.app.test.",
        "deep.er.app.test.",
        "app.test.",
        "elsewhere.test.",
        "1.0.96.100.in-addr.arpa.",
    ])
}

fn kinds() -> impl Strategy<Value = RecordType> {
    prop::sample::select(vec![
        RecordType::A,
        RecordType::AAAA,
        RecordType::HTTPS,
        RecordType::PTR,
        RecordType::SRV,
        RecordType::TXT,
    ])
}

fn sayings() -> impl Strategy<Value = Saying> {
    let networks = prop::sample::select(vec!["0.0.0.0/0", "10.20.0.0/24", "100.96.0.0/11", "::/0"]);
    let patterns = prop::sample::select(vec!["**", "*.app.test", "a..b", "web.app.test", ""]);
    prop_oneof![
        Just(Saying::Again),
        Just(Saying::NoRelays),
        (any::<u8>(), addresses(), any::<bool>())
            .prop_map(|(gateway, at, gone)| Saying::Candidate(gateway, at, gone)),
        vec(addresses(), 0..3).prop_map(Saying::Interface),
        (0..3_u8).prop_map(Saying::Internet),
        patterns.prop_map(Saying::Name),
        (0..3_u8, networks).prop_map(|(id, network)| Saying::Network(id, network)),
        prop::sample::select(vec![
            Refusal::Denied,
            Refusal::Incompatible,
            Refusal::Offline
        ])
        .prop_map(Saying::Refuse),
        (0..3_u8).prop_map(Saying::Remove),
    ]
}

fn wishes() -> impl Strategy<Value = Wish> {
    prop_oneof![
        any::<bool>().prop_map(Wish::Internet),
        prop::collection::btree_set(ids(), 0..3).prop_map(Wish::Off),
        Just(Wish::Reset),
        vec(addresses(), 0..3).prop_map(Wish::Resolvers),
    ]
}

fn ids() -> impl Strategy<Value = ResourceId> {
    prop::sample::select(vec![World::CIDR, World::DNS, id(0), id(1), id(2)])
}

fn id(n: u8) -> ResourceId {
    ResourceId::from_bytes([0xa0 | n; 16])
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (addresses(), vec(any::<u8>(), 0..64), damages())
            .prop_map(|(to, payload, damage)| Act::Packet(to, payload, damage)),
        2 => (names(), kinds(), damages())
            .prop_map(|(name, kind, damage)| Act::Ask(name, kind, damage)),
        4 => (any::<Index>(), damages(), prop::option::of(addresses()))
            .prop_map(|(which, damage, from)| Act::Replay(which, damage, from)),
        1 => (addresses(), vec(any::<u8>(), 0..200)).prop_map(|(from, bytes)| Act::Noise(from, bytes)),
        1 => (any::<Index>(), prop::option::of(vec(any::<u8>(), 0..64)))
            .prop_map(|(which, answer)| Act::Answer(which, answer)),
        3 => sayings().prop_map(Act::Portal),
        1 => wishes().prop_map(Act::Wish),
        2 => (0..20_000_u64).prop_map(|ms| Act::Wait(Duration::from_millis(ms))),
    ]
}

fn harm(bytes: &mut [u8], damage: &[Damage]) {
    for (at, byte) in damage {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
    }
}

/// A datagram from one of the client's own addresses.
fn from_client(to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let from: IpAddr = match to {
        SocketAddr::V4(_) => World::CLIENT_V4.into(),
        SocketAddr::V6(_) => World::CLIENT_V6.into(),
    };
    let mut packet = vec![0; model::limits::MTU];
    let length = emit_udp(&mut packet, SocketAddr::new(from, 4000), to, payload).unwrap();
    packet.truncate(length);
    packet
}

fn perform(world: &mut World, act: Act) {
    match act {
        Act::Packet(to, payload, damage) => {
            let mut packet = from_client(to, &payload);
            harm(&mut packet, &damage);
            let _verdict = world.send(&packet);
        }
        Act::Ask(name, kind, damage) => {
            let mut query = Message::new(7, MessageType::Query, OpCode::Query);
            query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
            let mut query = query.to_vec().unwrap();
            harm(&mut query, &damage);
            let _verdict = world.send(&from_client("100.100.111.1:53".parse().unwrap(), &query));
        }
        Act::Replay(which, damage, from) => {
            let Some(mut heard) = pick(world.heard.make_contiguous(), which) else {
                return;
            };
            harm(&mut heard.payload, &damage);
            hear(
                world,
                heard.local,
                from.unwrap_or(heard.remote),
                &heard.payload,
            );
        }
        Act::Noise(from, bytes) => {
            hear(world, "10.1.0.2:52625".parse().unwrap(), from, &bytes);
        }
        Act::Answer(which, answer) => {
            if let Some(query) = pick(&world.queries, which) {
                let answer = answer.as_deref().ok_or(DnsFailure::TimedOut);
                world.tunnel.handle_dns_answer(query.id, answer, world.now);
            }
        }
        Act::Portal(saying) => say(world, saying),
        Act::Wish(wish) => grant(world, wish),
        Act::Wait(time) => world.run_for(time),
    }
}

fn pick<T: Clone>(all: &[T], which: Index) -> Option<T> {
    (!all.is_empty()).then(|| which.get(all).clone())
}

fn hear(world: &mut World, local: SocketAddr, remote: SocketAddr, payload: &[u8]) {
    let datagram = Datagram {
        local,
        remote,
        ecn: Ecn::Ce,
        payload,
    };
    let mut buffer = vec![0; model::limits::MAX_UDP_PAYLOAD];
    let received = world.tunnel.handle_udp(datagram, &mut buffer, world.now);
    if let Received::Deliver(length) = received {
        world.delivered.push(buffer[..length].to_vec());
    }
}

fn say(world: &mut World, saying: Saying) {
    let update = match saying {
        Saying::Again => return world.greet_client(),
        Saying::Candidate(gateway, address, is_gone) => {
            let gateway = GatewayId::from_bytes([0x22 ^ (gateway & 1); 16]);
            let text = format!(
                "candidate:1 1 udp 2130706431 {} {} typ host",
                address.ip(),
                address.port()
            );
            let candidates: Vec<Candidate> = text.parse().into_iter().collect();
            match is_gone {
                true => PortalUpdate::CandidatesRemoved {
                    gateway,
                    candidates,
                },
                false => PortalUpdate::CandidatesAdded {
                    gateway,
                    candidates,
                },
            }
        }
        Saying::Interface(upstream_dns) => PortalUpdate::Interface(Interface {
            ipv4: World::CLIENT_V4,
            ipv6: World::CLIENT_V6,
            upstream_dns,
            search_domain: None,
        }),
        Saying::Internet(n) => PortalUpdate::Resource(Resource::Internet(InternetResource {
            id: id(n),
            name: "Internet".into(),
            sites: vec![],
        })),
        Saying::Name(pattern) => PortalUpdate::Resource(Resource::Dns(DnsResource {
            id: id(1),
            name: "name".into(),
            address: pattern.into(),
            address_description: None,
            ip_stack: IpStack::Dual,
            sites: vec![],
            filters: vec![],
        })),
        Saying::Network(n, network) => PortalUpdate::Resource(Resource::Cidr(CidrResource {
            id: id(n),
            name: "net".into(),
            address: network.parse().unwrap(),
            address_description: None,
            sites: vec![],
            filters: vec![],
        })),
        Saying::Refuse(reason) => PortalUpdate::Refused {
            resource: World::CIDR,
            reason,
        },
        Saying::Remove(n) => PortalUpdate::ResourceRemoved(id(n)),
        Saying::NoRelays => PortalUpdate::Relays {
            disconnected: vec![model::RelayId::from_bytes([0x44; 16])],
            connected: vec![],
        },
    };
    world.tunnel.handle_portal(update, world.now);
}

fn grant(world: &mut World, wish: Wish) {
    let now = world.now;
    match wish {
        Wish::Internet(enabled) => world.tunnel.set_internet_resource(enabled, now),
        Wish::Off(disabled) => world.tunnel.set_disabled_resources(disabled, now),
        Wish::Reset => world.tunnel.reset(Seed::from_bytes([0x78; 32]), now),
        Wish::Resolvers(servers) => {
            let servers = servers.into_iter().map(Into::into).collect();
            world.tunnel.set_system_resolvers(servers);
        }
    }
}

/// Everybody behaves again: the client moves, the portal greets it, and nothing is switched off.
fn recover(world: &mut World) -> bool {
    world.tunnel.set_internet_resource(false, world.now);
    world
        .tunnel
        .set_disabled_resources(BTreeSet::new(), world.now);
    world.reset();
    world.greet_client();
    world.run_for(Duration::from_secs(3));
    let packet = from_client("10.20.0.1:80".parse().unwrap(), b"at last");
    (0..30).any(|_| {
        world.send(&packet);
        world.run_until(Duration::from_secs(1), |world| {
            world.arrived.last() == Some(&packet)
        })
    })
}

fn play(nat: NatConfig, acts: Vec<Act>) -> World {
    let mut world = World::new(WorldConfig::behind(Some(nat)));
    world.run_until_ready();
    let first = from_client("10.20.0.1:80".parse().unwrap(), b"first");
    let _verdict = world.send(&first);
    world.run_for(Duration::from_secs(1));
    for act in acts {
        perform(&mut world, act);
        world.run_for(Duration::from_millis(10));
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_client_survives_everybody(acts in vec(acts(), 1..40)) {
        let mut world = play(NatConfig::PORT_RESTRICTED, acts);
        for packet in &world.delivered {
            prop_assert!(IpPacket::parse(&packet[..]).is_ok(), "{packet:?}");
        }
        prop_assert!(recover(&mut world), "no packet arrives any more");
    }
}
