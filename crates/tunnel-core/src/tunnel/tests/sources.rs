//! A gateway may send from where packets to it go.

use super::*;
use proptest::prelude::*;

const OTHER: GatewayId = GatewayId::from_bytes([0x23; 16]);
const WIDE: ResourceId = ResourceId::from_bytes([4; 16]);
const NARROW: ResourceId = ResourceId::from_bytes([5; 16]);

fn packet_from(source: IpAddr) -> Vec<u8> {
    let (from, to) = match source {
        IpAddr::V4(source) => (format!("{source}:80"), PROGRAM.to_owned()),
        IpAddr::V6(source) => (format!("[{source}]:80"), "[fd00:2021:1111::7]:4000".into()),
    };
    udp(&from, &to, b"x")
}

/// Whether the gateway may send from an address.
fn may_send_from(fixture: &mut Fixture, source: &str) -> bool {
    let packet = packet_from(source.parse().unwrap());
    let received = fixture.receive(&packet);
    let dropped = Received::Dropped(DropReason::UnexpectedSource);
    assert!([Received::Deliver(packet.len()), dropped].contains(&received[0]));
    received == [Received::Deliver(packet.len())]
}

/// The Internet Resource goes to the gateway, and so does a name.
fn with_internet() -> (Fixture, Vec<IpAddr>) {
    let mut fixture = Fixture::connected();
    fixture.tunnel.set_internet_resource(true, fixture.now);
    fixture.send("192.0.2.1:80", b"x");
    fixture.portal(fixture.authorized(INTERNET));
    let addresses = fixture.ask("a.app.test");
    fixture.run();
    (fixture, addresses)
}

/// Another gateway is bound to a resource; nothing is sent to it.
fn bind_elsewhere(fixture: &mut Fixture, resource: ResourceId) {
    let tunnel = &mut fixture.tunnel;
    let own = (
        "100.64.0.10".parse().unwrap(),
        "fd00:2021:1111::a".parse().unwrap(),
    );
    tunnel.gateways.upsert(OTHER, SITE, own);
    tunnel.resources.bind(resource, OTHER);
    tunnel.peers.clear();
}

#[test]
fn a_name_has_addresses_of_the_families_of_its_resource_only() {
    for stack in [IpStack::Ipv4Only, IpStack::Ipv6Only, IpStack::Dual] {
        let mut fixture = Fixture::connected();
        let addresses = fixture.ask("a.app.test");
        fixture.run();
        let v4 = addresses.iter().find(|address| address.is_ipv4()).copied();
        let pool = &fixture.tunnel.dns;
        let v6 = "fd00:2021:1111:8000::".parse().unwrap();
        assert_eq!(pool.name_of(v6), pool.name_of(v4.unwrap()));
        let mut resource = names(NAMES, "*.app.test");
        if let Resource::Dns(dns) = &mut resource {
            dns.ip_stack = stack;
        }
        fixture.portal(PortalUpdate::Resource(resource));
        for (address, has_family) in [(v4.unwrap(), stack.has_v4()), (v6, stack.has_v6())] {
            let route = fixture.tunnel.route(address).map(|_| ());
            let expected = has_family.then_some(()).ok_or(DropReason::UnknownProxy);
            assert_eq!(route, expected, "{stack:?} {address}");
        }
    }
}

#[test]
fn a_gateway_of_the_internet_resource_sends_from_the_internet_only() {
    let (mut fixture, names) = with_internet();
    fixture.portal(PortalUpdate::Resource(network(WIDE, "198.51.100.0/24")));
    bind_elsewhere(&mut fixture, WIDE);
    fixture.portal(PortalUpdate::Resource(network(NARROW, "203.0.113.0/24")));
    let name = names[0].to_string();
    for (source, expected) in [
        ("192.0.2.1", true),
        ("192.168.7.7", true),
        ("2001:db8::1", true),
        // Its own, and what is bound to it.
        ("100.64.0.9", true),
        ("fd00:2021:1111::9", true),
        ("10.20.0.1", true),
        // Another gateway, and what is bound to that or to nobody.
        ("100.64.0.10", false),
        ("198.51.100.1", false),
        ("203.0.113.1", false),
        (&name, false),
        // Other clients, unknown names, the stub resolver, ourselves.
        ("100.64.0.77", false),
        ("100.96.77.77", false),
        ("100.100.111.1", false),
        ("fd00:2021:1111:8000:100:100:111:0", false),
        ("100.64.0.7", false),
        ("fd00:2021:1111::7", false),
        // What is no host elsewhere.
        ("127.0.0.1", false),
        ("::1", false),
        ("0.0.0.0", false),
        ("::", false),
        ("255.255.255.255", false),
        ("224.0.0.251", false),
        ("ff02::fb", false),
        ("169.254.169.254", false),
        ("fe80::1", false),
        ("::ffff:192.0.2.1", false),
    ] {
        assert_eq!(may_send_from(&mut fixture, source), expected, "{source}");
        assert_eq!(
            may_send_from(&mut fixture, source),
            expected,
            "again {source}"
        );
    }
}

#[test]
fn a_gateway_sends_from_a_name_as_long_as_the_name_leads_to_it() {
    let mut fixture = Fixture::connected();
    let address = fixture.ask("a.app.test")[0].to_string();
    assert!(!may_send_from(&mut fixture, &address));
    fixture.send(&format!("{address}:80"), b"x");
    fixture.authorize(NAMES);
    assert!(may_send_from(&mut fixture, &address));
    let narrow = names(NARROW, "a.app.test");
    fixture.portal(PortalUpdate::Resource(narrow));
    assert!(!may_send_from(&mut fixture, &address));
    fixture.portal(PortalUpdate::ResourceRemoved(NARROW));
    assert!(may_send_from(&mut fixture, &address));
    bind_elsewhere(&mut fixture, NAMES);
    assert!(!may_send_from(&mut fixture, &address));
}

#[test]
fn a_network_that_covers_the_tunnel_gives_no_right_to_its_addresses() {
    let mut fixture = Fixture::greeted();
    for (id, address) in [(WIDE, "fd00::/8"), (NARROW, "100.64.0.0/10")] {
        fixture.portal(PortalUpdate::Resource(network(id, address)));
    }
    fixture.send("[fd00::1]:80", b"x");
    fixture.authorize(WIDE);
    fixture.tunnel.resources.bind(NARROW, GATEWAY);
    for (source, expected) in [
        ("fd00::1", true),
        ("fd00:2021:1111::9", true),
        ("fd00:2021:1111::a", false),
        ("fd00:2021:1111::7", false),
        ("fd00:2021:1111:8000::1", false),
        ("fd00:2021:1111:8000:100:100:111:0", false),
        ("100.64.0.77", false),
        ("100.96.77.77", false),
        ("100.100.111.1", false),
    ] {
        assert_eq!(may_send_from(&mut fixture, source), expected, "{source}");
    }
}

#[test]
fn a_gateway_has_the_addresses_that_it_was_given_last() {
    let mut fixture = Fixture::connected();
    fixture.portal(PortalUpdate::Resource(network(WIDE, "10.30.0.0/16")));
    fixture.send("10.30.0.1:80", b"x");
    assert!(may_send_from(&mut fixture, "100.64.0.9"));
    let PortalUpdate::Authorized(mut authorized) = fixture.authorized(WIDE) else {
        unreachable!()
    };
    authorized.ipv4 = "100.64.0.11".parse().unwrap();
    fixture.portal(PortalUpdate::Authorized(authorized));
    assert!(!may_send_from(&mut fixture, "100.64.0.9"));
    assert!(may_send_from(&mut fixture, "100.64.0.11"));
}

#[test]
fn what_becomes_our_own_address_is_nobody_elses() {
    let (mut fixture, _) = with_internet();
    for source in ["192.0.2.1", "2001:db8::1"] {
        assert!(may_send_from(&mut fixture, source));
        let mut interface = interface();
        match source.parse().unwrap() {
            IpAddr::V4(address) => interface.ipv4 = address,
            IpAddr::V6(address) => interface.ipv6 = address,
        }
        fixture.portal(PortalUpdate::Interface(interface));
        assert!(!may_send_from(&mut fixture, source), "{source}");
    }
}

#[test]
fn a_resource_may_be_link_local_but_never_this_host() {
    let mut fixture = Fixture::greeted();
    let all = network(WIDE, "0.0.0.0/1");
    let link = network(NARROW, "169.254.169.254/32");
    for resource in [all, link] {
        fixture.portal(PortalUpdate::Resource(resource));
    }
    fixture.send("169.254.169.254:80", b"x");
    fixture.authorize(NARROW);
    assert!(may_send_from(&mut fixture, "169.254.169.254"));
    for to in ["127.0.0.1:80", "0.0.0.0:80"] {
        let dropped = Verdict::Dropped(DropReason::NoResource);
        assert_eq!(fixture.send(to, b"x"), dropped, "{to}");
    }
    assert_eq!(fixture.asked_for(WIDE), 0);
}

/// Addresses that meet the resources below, and each other.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let texts = [
        "10.20.0.1",
        "10.20.1.1",
        "10.21.0.1",
        "192.0.2.1",
        "2001:db8::1",
        "2001:db8:1::1",
        "100.64.0.9",
        "100.64.0.10",
        "100.64.0.7",
        "fd00:2021:1111::9",
        "fd00:2021:1111::a",
        "100.96.0.1",
        "100.96.0.5",
        "100.96.0.9",
        "fd00:2021:1111:8000::",
        "127.0.0.1",
        "0.0.0.0",
        "169.254.1.1",
        "fe80::1",
        "255.255.255.255",
        "::ffff:10.20.0.1",
        "100.100.111.1",
        "fd00:2021:1111:8000:100:100:111:0",
        "::1",
        "::",
    ];
    proptest::sample::select(texts.to_vec()).prop_map(|text| text.parse().unwrap())
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Bind(u8, bool),
    Unbind(u8),
    Remove(u8),
    Add(u8),
    Switch(u8, bool),
    Internet(bool),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..7_u8, any::<bool>()).prop_map(|(n, here)| Change::Bind(n, here)),
        1 => (0..7_u8).prop_map(Change::Unbind),
        1 => (0..7_u8).prop_map(Change::Remove),
        1 => (0..7_u8).prop_map(Change::Add),
        1 => (0..7_u8, any::<bool>()).prop_map(|(n, off)| Change::Switch(n, off)),
        1 => any::<bool>().prop_map(Change::Internet),
    ]
}

fn some_resource(n: u8) -> Resource {
    let id = ResourceId::from_bytes([0x60 + n; 16]);
    match n {
        0 => network(id, "10.0.0.0/8"),
        1 => network(id, "10.20.0.0/16"),
        2 => network(id, "10.20.0.0/16"),
        3 => network(id, "2001:db8::/32"),
        4 => names(id, "*.app.test"),
        5 => names(id, "b.app.test"),
        _ => Resource::Internet(InternetResource {
            id,
            name: "internet".into(),
            sites: vec![],
        }),
    }
}

fn apply(fixture: &mut Fixture, change: Change) {
    let id = |n| some_resource(n).id();
    match change {
        Change::Bind(n, _) | Change::Unbind(n) if fixture.tunnel.resources.get(id(n)).is_none() => {
        }
        Change::Bind(n, true) => {
            fixture.tunnel.resources.bind(id(n), GATEWAY);
            fixture.tunnel.peers.clear();
        }
        Change::Bind(n, false) => bind_elsewhere(fixture, id(n)),
        Change::Unbind(n) => fixture.tunnel.void(id(n)),
        Change::Remove(n) => fixture.portal(PortalUpdate::ResourceRemoved(id(n))),
        Change::Add(n) => fixture.portal(PortalUpdate::Resource(some_resource(n))),
        Change::Switch(n, true) => fixture.switch_off(&[id(n)]),
        Change::Switch(_, false) => fixture.switch_off(&[]),
        Change::Internet(on) => fixture.tunnel.set_internet_resource(on, fixture.now),
    }
    fixture.drain();
}

/// The gateway that a packet to this address is sent to, or would be once it confirmed the name.
fn sent_to(fixture: &mut Fixture, destination: IpAddr) -> Option<PeerId> {
    let port = SocketAddr::new(destination, 80).to_string();
    fixture.send(&port, b"x");
    for gateway in [GATEWAY, OTHER] {
        for n in [4, 5] {
            for domain in ["a.app.test", "b.app.test"] {
                let status = Control::DomainStatus {
                    resource: some_resource(n).id(),
                    domain: domain.parse().unwrap(),
                    status: DomainStatus::Active,
                };
                fixture
                    .tunnel
                    .handle_control(gateway, status, fixture.now)
                    .unwrap();
            }
        }
    }
    fixture.send(&port, b"y");
    fixture.tunnel.peers.destination(destination)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_gateway_may_send_from_where_packets_go_to_it(
        changes in proptest::collection::vec((changes(), addresses()), 1..30),
    ) {
        let mut fixture = Fixture::connected();
        fixture.confirms = false;
        fixture.portal(PortalUpdate::ResourceRemoved(NETWORK));
        fixture.portal(PortalUpdate::ResourceRemoved(NAMES));
        for n in 0..7 {
            fixture.portal(PortalUpdate::Resource(some_resource(n)));
        }
        for name in ["a.app.test", "b.app.test"] {
            fixture.ask(name);
        }
        bind_elsewhere(&mut fixture, some_resource(0).id());
        for (change, address) in changes {
            apply(&mut fixture, change);
            let packet = packet_from(address);
            let mut accepted = vec![];
            // Twice, because sources are remembered.
            for gateway in [GATEWAY, OTHER, GATEWAY, OTHER] {
                let received = fixture.tunnel.receive(gateway, &packet, fixture.now);
                if received.is_ok() {
                    accepted.push(PeerId::from(gateway));
                }
            }
            let expected: Vec<PeerId> = sent_to(&mut fixture, address).into_iter().collect();
            prop_assert_eq!(accepted, expected.repeat(2), "{:?} {}", change, address);
        }
    }
}
