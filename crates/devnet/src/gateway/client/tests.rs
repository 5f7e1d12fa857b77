//! What one client may send and receive. spec: data-plane 15.1, 15.2, 15.5, 17.4

use super::*;
use ip_packet::{Flow, emit_udp, emit_unreachable};
use model::{
    CidrResource, DnsResource, DomainName, Filter, InternetResource, IpStack, PortRange, Resource,
    ResourceId,
};
use std::time::Duration;

const PROXY: &str = "100.96.0.1";
const REAL: &str = "192.0.2.1";

fn id(n: u8) -> ResourceId {
    ResourceId::from_bytes([n; 16])
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn tcp(first: u16, last: u16) -> Filter {
    Filter::Tcp(PortRange { first, last })
}

fn udp(first: u16, last: u16) -> Filter {
    Filter::Udp(PortRange { first, last })
}

fn cidr(n: u8, network: &str, filters: &[Filter]) -> Resource {
    Resource::Cidr(CidrResource {
        id: id(n),
        name: "net".into(),
        address: network.parse().unwrap(),
        address_description: None,
        sites: vec![],
        filters: filters.to_vec(),
    })
}

fn dns(n: u8, filters: &[Filter]) -> Resource {
    Resource::Dns(DnsResource {
        id: id(n),
        name: "wiki".into(),
        address: "wiki.test".into(),
        address_description: None,
        ip_stack: IpStack::Dual,
        sites: vec![],
        filters: filters.to_vec(),
    })
}

fn internet(n: u8) -> Resource {
    Resource::Internet(InternetResource {
        id: id(n),
        name: "all".into(),
        sites: vec![],
    })
}

fn client(resources: &[Resource]) -> Client {
    let mut client = Client::new(
        Ipv4Addr::new(100, 64, 0, 7),
        "fd00:2021:1111::7".parse().unwrap(),
    );
    for resource in resources {
        client.access.grant(resource.clone(), None);
    }
    client
}

fn domain() -> DomainName {
    "wiki.test".parse().unwrap()
}

fn packet(from: &str, to: &str) -> Vec<u8> {
    let mut bytes = vec![0; 100];
    let length = emit_udp(&mut bytes, from.parse().unwrap(), to.parse().unwrap(), b"x");
    bytes.truncate(length.unwrap());
    bytes
}

/// A ping over IPv4, from the client.
fn ping(to: &str) -> Vec<u8> {
    let mut bytes = packet("100.64.0.7:1", &format!("{to}:1"));
    bytes.truncate(20);
    bytes.extend([8, 0, 0, 0, 0, 5, 0, 1]);
    (bytes[3], bytes[9]) = (28, 1);
    bytes
}

fn sent(client: &mut Client, mut bytes: Vec<u8>) -> Result<(), Option<Unreachable>> {
    client.outbound(
        &mut IpPacket::parse(&mut bytes[..]).unwrap(),
        Instant::now(),
    )
}

#[test]
fn filters_decide_what_goes_to_a_network() {
    let (udp53, all_tcp) = (udp(53, 60), tcp(0, 65_535));
    for (filters, to_53, to_61, icmp) in [
        (&[][..], true, true, true),
        (&[udp53], true, false, false),
        (&[udp53, Filter::Icmp], true, false, true),
        (&[all_tcp], false, false, false),
        (&[all_tcp, udp(61, 61)], false, true, false),
        (&[Filter::Icmp], false, false, true),
    ] {
        let mut client = client(&[cidr(1, "10.0.0.0/8", filters)]);
        for (bytes, permitted) in [
            (packet("100.64.0.7:9", "10.1.1.1:53"), to_53),
            (packet("100.64.0.7:9", "10.1.1.1:60"), to_53),
            (packet("100.64.0.7:9", "10.1.1.1:61"), to_61),
            (ping("10.1.1.1"), icmp),
        ] {
            let expected = permitted.then_some(()).ok_or(Some(Unreachable::Prohibited));
            assert_eq!(sent(&mut client, bytes), expected, "{filters:?}");
        }
    }
}

#[test]
fn filters_of_all_networks_around_an_address_are_united() {
    let mut client = client(&[
        cidr(1, "10.0.0.0/8", &[udp(53, 53)]),
        cidr(2, "10.1.0.0/16", &[Filter::Icmp]),
    ]);
    assert_eq!(sent(&mut client, ping("10.1.1.1")), Ok(()));
    assert_eq!(
        sent(&mut client, packet("100.64.0.7:9", "10.1.1.1:53")),
        Ok(())
    );
    assert!(sent(&mut client, ping("10.2.1.1")).is_err());
    assert!(sent(&mut client, packet("100.64.0.7:9", "11.1.1.1:53")).is_err());
}

#[test]
fn both_families_are_looked_at() {
    let mut client = client(&[cidr(1, "2001:db8::/32", &[udp(53, 53)])]);
    let from = "[fd00:2021:1111::7]:9";
    assert_eq!(sent(&mut client, packet(from, "[2001:db8::1]:53")), Ok(()));
    let prohibited = Err(Some(Unreachable::Prohibited));
    assert_eq!(
        sent(&mut client, packet(from, "[2001:db8::1]:54")),
        prohibited
    );
    assert_eq!(
        sent(&mut client, packet(from, "[2001:db9::1]:53")),
        prohibited
    );
}

#[test]
fn the_internet_is_everything_but_proxy_addresses() {
    let mut client = client(&[internet(1)]);
    for (to, expected) in [
        ("8.8.8.8:53", Ok(())),
        ("10.1.1.1:53", Ok(())),
        ("100.96.0.1:53", Err(Some(Unreachable::Network))),
    ] {
        assert_eq!(
            sent(&mut client, packet("100.64.0.7:9", to)),
            expected,
            "{to}"
        );
    }
}

#[test]
fn names_are_reached_at_proxy_addresses_only() {
    let mut client = client(&[dns(1, &[udp(53, 53)])]);
    client
        .nat
        .assign(id(1), &domain(), &[ip(PROXY)].into(), &[ip(REAL)]);
    let (ours, prohibited) = ("100.64.0.7:9", Err(Some(Unreachable::Prohibited)));
    assert_eq!(sent(&mut client, packet(ours, "100.96.0.1:53")), Ok(()));
    assert_eq!(sent(&mut client, packet(ours, "100.96.0.1:54")), prohibited);
    assert_eq!(sent(&mut client, packet(ours, "192.0.2.1:53")), prohibited);
    let unknown = Err(Some(Unreachable::Network));
    assert_eq!(sent(&mut client, packet(ours, "100.96.0.2:53")), unknown);
}

#[test]
fn what_cannot_be_translated_is_dropped_or_has_no_route() {
    let mut client = client(&[dns(1, &[])]);
    let proxies = [ip(PROXY), ip("fd00:2021:1111:8000::1")].into();
    client.nat.assign(id(1), &domain(), &proxies, &[ip(REAL)]);
    let six = packet("[fd00:2021:1111::7]:9", "[fd00:2021:1111:8000::1]:53");
    assert_eq!(sent(&mut client, six), Err(Some(Unreachable::Network)));
    let mut gre = packet("100.64.0.7:9", "100.96.0.1:53");
    gre[9] = 47;
    assert_eq!(sent(&mut client, gre), Err(None));
}

#[test]
fn access_ends_when_it_expires_or_is_revoked() {
    let mut access = Access::default();
    access.grant(cidr(1, "10.0.0.0/8", &[]), Some(100));
    access.grant(cidr(2, "11.0.0.0/8", &[]), Some(200));
    access.grant(cidr(3, "12.0.0.0/8", &[]), None);
    assert_eq!(access.expire(99), []);
    assert_eq!(access.expire(100), [id(1)]);
    access.set_expiry(id(2), Some(300));
    access.set_expiry(id(9), Some(1));
    assert_eq!(access.expire(299), []);
    access.set_expiry(id(2), None);
    assert_eq!(access.expire(u64::MAX), []);
    access.grant(cidr(3, "12.0.0.0/8", &[]), Some(400));
    assert_eq!(
        access.expire(400),
        [id(3)],
        "granting again replaces the end"
    );
    assert_eq!(access.retain(|resource| resource != id(2)), [id(2)]);
    assert!(access.is_empty());
    assert!(!access.permits_address(ip("11.0.0.1"), Kind::Icmp));
}

#[test]
fn changed_filters_hold_at_once_and_only_for_what_is_granted() {
    let mut client = client(&[cidr(1, "10.0.0.0/8", &[udp(53, 53)])]);
    client.access.update(&cidr(1, "10.0.0.0/8", &[udp(54, 54)]));
    client.access.update(&cidr(2, "11.0.0.0/8", &[]));
    let prohibited = Err(Some(Unreachable::Prohibited));
    assert_eq!(
        sent(&mut client, packet("100.64.0.7:9", "10.1.1.1:53")),
        prohibited
    );
    assert_eq!(
        sent(&mut client, packet("100.64.0.7:9", "10.1.1.1:54")),
        Ok(())
    );
    assert_eq!(
        sent(&mut client, packet("100.64.0.7:9", "11.1.1.1:54")),
        prohibited
    );
}

#[test]
fn answers_pass_by_the_port_of_the_resource() {
    let mut client = client(&[cidr(1, "10.0.0.0/8", &[udp(53, 53)])]);
    for (from, expected) in [
        ("10.1.1.1:53", FromResource::Send),
        ("10.1.1.1:54", FromResource::Drop),
        ("11.1.1.1:53", FromResource::Drop),
    ] {
        let mut bytes = packet(from, "100.64.0.7:9");
        let mut packet = IpPacket::parse(&mut bytes[..]).unwrap();
        assert_eq!(
            client.inbound(&mut packet, Instant::now()),
            expected,
            "{from}"
        );
    }
}

#[test]
fn answers_of_a_name_need_a_session_that_is_alive_and_permitted() {
    let mut client = client(&[dns(1, &[udp(53, 53)])]);
    client
        .nat
        .assign(id(1), &domain(), &[ip(PROXY)].into(), &[ip(REAL)]);
    let answer = packet("192.0.2.1:53", "100.64.0.7:9");
    let receive = |client: &mut Client, now| {
        let mut bytes = answer.clone();
        let mut packet = IpPacket::parse(&mut bytes[..]).unwrap();
        let fate = client.inbound(&mut packet, now);
        (fate, packet.source())
    };
    let now = Instant::now();
    assert_eq!(
        receive(&mut client, now).0,
        FromResource::Drop,
        "before it was asked"
    );
    sent(&mut client, packet("100.64.0.7:9", "100.96.0.1:53")).unwrap();
    assert_eq!(receive(&mut client, now), (FromResource::Send, ip(PROXY)));
    let late = Instant::now() + Duration::from_secs(120);
    assert_eq!(
        receive(&mut client, late).0,
        FromResource::Drop,
        "long after"
    );
    client.access.update(&dns(1, &[Filter::Icmp]));
    assert_eq!(
        receive(&mut client, now).0,
        FromResource::Drop,
        "no longer permitted"
    );
}

/// "Port unreachable" about a packet that left towards the real address, from a router.
fn error_about(out: &[u8], router: &str) -> Vec<u8> {
    let out = IpPacket::parse(out).unwrap();
    let mut buffer = [0; limits::MTU];
    let length = emit_unreachable(&mut buffer, &out, Unreachable::Network).unwrap();
    let mut bytes = buffer[..length].to_vec();
    let IpAddr::V4(router) = ip(router) else {
        panic!("IPv4 only")
    };
    bytes[12..16].copy_from_slice(&router.octets());
    bytes
}

#[test]
fn icmp_errors_name_what_the_client_knows() {
    let mut client = client(&[dns(1, &[])]);
    client.nat.assign(
        id(1),
        &domain(),
        &[ip(PROXY), ip("100.96.0.2")].into(),
        &[ip(REAL)],
    );
    let now = Instant::now();
    // The second one gets another port, since the first one has the same target.
    sent(&mut client, packet("100.64.0.7:9", "100.96.0.1:53")).unwrap();
    sent(&mut client, packet("100.64.0.7:9", "100.96.0.2:53")).unwrap();
    let mut error = error_about(&packet("100.64.0.7:10", "192.0.2.1:53"), "203.0.113.1");
    let fate = client.inbound(&mut IpPacket::parse(&mut error[..]).unwrap(), now);
    let FromResource::SendInstead(told) = fate else {
        panic!("{fate:?}")
    };
    let told = IpPacket::parse(&told[..]).unwrap();
    assert_eq!(
        (told.source(), told.destination()),
        (ip("100.96.0.2"), ip("100.64.0.7"))
    );
    assert_eq!(told.transport(), Transport::IcmpError { kind: 3, code: 0 });
    assert_eq!(told.bytes()[8], 20, "TTL");
    let quoted = IcmpError::parse(&told).unwrap().quoted;
    assert_eq!(
        (quoted.destination, quoted.source_flow),
        (ip("100.96.0.2"), Flow::Udp(9))
    );
}

#[test]
fn icmp_errors_about_expired_sessions_are_dropped_and_others_pass() {
    let mut client = client(&[dns(1, &[])]);
    client
        .nat
        .assign(id(1), &domain(), &[ip(PROXY)].into(), &[ip(REAL)]);
    sent(&mut client, packet("100.64.0.7:9", "100.96.0.1:53")).unwrap();
    let late = Instant::now() + Duration::from_secs(120);
    for (about, expected) in [
        (packet("100.64.0.7:9", "192.0.2.1:53"), FromResource::Drop),
        (packet("100.64.0.7:9", "10.0.0.1:53"), FromResource::Send),
    ] {
        let mut error = error_about(&about, "203.0.113.1");
        let fate = client.inbound(&mut IpPacket::parse(&mut error[..]).unwrap(), late);
        assert_eq!(fate, expected);
    }
}
