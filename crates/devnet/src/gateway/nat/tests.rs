//! Translations of one client. spec: data-plane 15.4

use super::*;
use ip_packet::{Transport, emit_udp};

const RESOURCE: ResourceId = ResourceId::from_bytes([1; 16]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn packet(from: &str, to: &str) -> IpPacket<Vec<u8>> {
    let mut bytes = vec![0; 100];
    let length = emit_udp(&mut bytes, from.parse().unwrap(), to.parse().unwrap(), b"x");
    bytes.truncate(length.unwrap());
    IpPacket::parse(bytes).unwrap()
}

fn nat() -> Nat {
    let mut nat = Nat::default();
    let proxies = ["100.96.0.1", "100.96.0.2", "fd00:2021:1111:8000::1"]
        .map(ip)
        .into();
    nat.assign(RESOURCE, &name("wiki.test"), &proxies, &[ip("192.0.2.1")]);
    nat
}

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

/// A TCP segment; the flags are those of its header.
fn segment(from: &str, to: &str, flags: u8) -> IpPacket<Vec<u8>> {
    let udp = packet(from, to);
    let mut bytes = udp.bytes().to_vec();
    let at = if bytes[0] >> 4 == 4 { 20 } else { 40 };
    let ports: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
    bytes.truncate(at);
    bytes.extend([&ports[..], &[0; 8], &[0x50, flags, 0, 0, 0, 0, 0, 0]].concat());
    if at == 20 {
        (bytes[3], bytes[9]) = (40, 6);
    } else {
        (bytes[5], bytes[6]) = (20, 6);
    }
    IpPacket::parse(bytes).unwrap()
}

/// An ICMP echo message over IPv4.
fn echo(from: &str, to: &str, kind: u8, id: u16) -> IpPacket<Vec<u8>> {
    let mut bytes = packet(&format!("{from}:1"), &format!("{to}:1"))
        .bytes()
        .to_vec();
    bytes.truncate(20);
    let [a, b] = id.to_be_bytes();
    bytes.extend([kind, 0, 0, 0, a, b, 0, 1]);
    (bytes[3], bytes[9]) = (28, 1);
    IpPacket::parse(bytes).unwrap()
}

#[test]
fn packets_travel_there_and_back() {
    let (mut nat, now) = (nat(), Instant::now());
    let mut out = packet("100.64.0.7:4000", "100.96.0.2:53");
    assert_eq!(nat.translate_out(&mut out, now), Ok(()));
    assert_eq!(out.destination(), ip("192.0.2.1"));
    assert_eq!(
        out.transport(),
        Transport::Udp {
            source: 4000,
            destination: 53
        }
    );

    let mut back = packet("192.0.2.1:53", "100.64.0.7:4000");
    assert_eq!(
        nat.translate_in(&mut back, now),
        Inbound::Translated(RESOURCE)
    );
    assert_eq!(back.source(), ip("100.96.0.2"));
}

#[test]
fn equal_ports_of_two_proxy_addresses_are_kept_apart() {
    let (mut nat, now) = (nat(), Instant::now());
    for (proxy, port) in [("100.96.0.1", 65_535), ("100.96.0.2", 1)] {
        let mut out = packet("100.64.0.7:65535", &format!("{proxy}:53"));
        nat.translate_out(&mut out, now).unwrap();
        assert_eq!(
            out.transport(),
            Transport::Udp {
                source: port,
                destination: 53
            }
        );
        let mut back = packet("192.0.2.1:53", &format!("100.64.0.7:{port}"));
        nat.translate_in(&mut back, now);
        assert_eq!(back.source(), ip(proxy));
        assert_eq!(
            back.transport(),
            Transport::Udp {
                source: 53,
                destination: 65_535
            }
        );
    }
}

#[test]
fn names_without_an_address_of_the_family_are_unreachable() {
    let (mut nat, now) = (nat(), Instant::now());
    let mut out = packet("[fd00:2021:1111::7]:1", "[fd00:2021:1111:8000::1]:2");
    assert_eq!(nat.translate_out(&mut out, now), Err(NatFault::NoAddress));
    let mut out = packet("100.64.0.7:1", "100.96.0.9:2");
    assert_eq!(nat.translate_out(&mut out, now), Err(NatFault::NoAddress));
}

#[test]
fn idle_sessions_expire_and_strangers_are_unknown() {
    let (mut nat, now) = (nat(), Instant::now());
    nat.translate_out(&mut packet("100.64.0.7:4000", "100.96.0.1:53"), now)
        .unwrap();
    let mut back = packet("192.0.2.1:53", "100.64.0.7:4000");
    assert_eq!(
        nat.translate_in(&mut back.clone(), now + OTHER_TTL),
        Inbound::Expired
    );
    assert_eq!(
        nat.translate_in(&mut back, now),
        Inbound::Translated(RESOURCE)
    );
    let mut stranger = packet("192.0.2.9:53", "100.64.0.7:4000");
    assert_eq!(nat.translate_in(&mut stranger, now), Inbound::Unknown);
    nat.remove_resource(RESOURCE);
    let mut back = packet("192.0.2.1:53", "100.64.0.7:4000");
    assert_eq!(nat.translate_in(&mut back, now), Inbound::Unknown);
}

#[test]
fn addresses_are_handed_out_in_turn_within_their_family() {
    let mut nat = Nat::default();
    let proxies = [
        "100.96.0.1",
        "100.96.0.2",
        "100.96.0.3",
        "fd00:2021:1111:8000::1",
    ];
    let real = ["192.0.2.1", "2001:db8::1", "192.0.2.2"].map(ip);
    nat.assign(RESOURCE, &name("wiki.test"), &proxies.map(ip).into(), &real);
    for (proxy, expected) in
        proxies
            .iter()
            .zip(["192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1"])
    {
        assert_eq!(nat.resource_of(ip(proxy)), Some(RESOURCE));
        let (from, to) = match ip(proxy) {
            IpAddr::V4(_) => ("100.64.0.7:1".into(), format!("{proxy}:2")),
            IpAddr::V6(_) => ("[fd00:2021:1111::7]:1".to_owned(), format!("[{proxy}]:2")),
        };
        let mut out = packet(&from, &to);
        nat.translate_out(&mut out, Instant::now()).unwrap();
        assert_eq!(out.destination(), ip(expected), "{proxy}");
    }
    assert_eq!(nat.resource_of(ip("100.96.0.9")), None);
}

#[test]
fn a_second_name_at_the_same_proxy_addresses_inherits_no_session() {
    let (mut nat, now) = (nat(), Instant::now());
    let mut out = packet("100.64.0.7:4000", "100.96.0.1:53");
    nat.translate_out(&mut out.clone(), now).unwrap();

    let other = ResourceId::from_bytes([2; 16]);
    nat.assign(
        other,
        &name("db.test"),
        &[ip("100.96.0.1")].into(),
        &[ip("192.0.2.7")],
    );
    assert_eq!(
        nat.resource_of(ip("100.96.0.2")),
        None,
        "the client numbers anew"
    );
    nat.translate_out(&mut out, now).unwrap();
    assert_eq!(out.destination(), ip("192.0.2.7"));
    let mut back = packet("192.0.2.1:53", "100.64.0.7:4000");
    assert_eq!(nat.translate_in(&mut back, now), Inbound::Unknown);
}

#[test]
fn resolving_again_keeps_open_sessions() {
    let (mut nat, now) = (nat(), Instant::now());
    let mut out = packet("100.64.0.7:4000", "100.96.0.1:53");
    nat.translate_out(&mut out.clone(), now).unwrap();
    nat.assign(
        RESOURCE,
        &name("wiki.test"),
        &[ip("100.96.0.1")].into(),
        &[ip("192.0.2.9")],
    );
    nat.translate_out(&mut out, now).unwrap();
    assert_eq!(out.destination(), ip("192.0.2.1"));
    let mut new = packet("100.64.0.7:4001", "100.96.0.1:53");
    nat.translate_out(&mut new, now).unwrap();
    assert_eq!(new.destination(), ip("192.0.2.9"));
}

#[test]
fn sessions_of_each_protocol_last_as_long_as_they_should() {
    let to = "100.96.0.1:7";
    for (out, back, seconds) in [
        (
            segment("100.64.0.7:4000", to, 0x02),
            segment("192.0.2.1:7", "100.64.0.7:4000", 0x12),
            7200,
        ),
        (
            packet("100.64.0.7:4000", to),
            packet("192.0.2.1:7", "100.64.0.7:4000"),
            120,
        ),
        (
            echo("100.64.0.7", "100.96.0.1", 8, 9),
            echo("192.0.2.1", "100.64.0.7", 0, 9),
            120,
        ),
    ] {
        let (mut nat, now) = (nat(), Instant::now());
        nat.translate_out(&mut out.clone(), now).unwrap();
        let (last, end) = (
            Duration::from_secs(seconds - 1),
            Duration::from_secs(seconds),
        );
        assert_eq!(
            nat.translate_in(&mut back.clone(), now + end),
            Inbound::Expired
        );
        let mut alive = back.clone();
        assert_eq!(
            nat.translate_in(&mut alive, now + last),
            Inbound::Translated(RESOURCE)
        );
        assert_eq!(alive.source(), ip("100.96.0.1"));
        // Answers prolong it.
        let later = now + last + last;
        assert_eq!(
            nat.translate_in(&mut back.clone(), later),
            Inbound::Translated(RESOURCE)
        );
    }
}

#[test]
fn a_reset_in_either_direction_ends_a_session_at_once() {
    const RST: u8 = 0x04;
    for outward in [true, false] {
        let (mut nat, now) = (nat(), Instant::now());
        let (here, there) = ("100.64.0.7:4000", "100.96.0.1:7");
        nat.translate_out(&mut segment(here, there, 0x02), now)
            .unwrap();
        if outward {
            nat.translate_out(&mut segment(here, there, RST), now)
                .unwrap();
        } else {
            let mut reset = segment("192.0.2.1:7", here, RST);
            assert_eq!(
                nat.translate_in(&mut reset, now),
                Inbound::Translated(RESOURCE)
            );
            assert_eq!(reset.source(), ip("100.96.0.1"));
        }
        let mut late = segment("192.0.2.1:7", here, 0x10);
        assert_eq!(
            nat.translate_in(&mut late, now),
            Inbound::Unknown,
            "{outward}"
        );
    }
}

#[test]
fn other_protocols_are_not_translated() {
    let (mut nat, now) = (nat(), Instant::now());
    let mut bytes = packet("100.64.0.7:1", "100.96.0.1:1").bytes().to_vec();
    bytes[9] = 47;
    let mut gre = IpPacket::parse(bytes).unwrap();
    assert_eq!(nat.translate_out(&mut gre, now), Err(NatFault::Protocol));
    // Nobody may answer a ping that was not sent.
    let mut reply = echo("100.64.0.7", "100.96.0.1", 5, 9);
    assert_eq!(nat.translate_out(&mut reply, now), Err(NatFault::Protocol));
}

#[test]
fn protocols_do_not_share_ports() {
    let (mut nat, now) = (nat(), Instant::now());
    nat.translate_out(&mut packet("100.64.0.7:4000", "100.96.0.1:7"), now)
        .unwrap();
    let mut tcp = segment("100.64.0.7:4000", "100.96.0.2:7", 0x02);
    nat.translate_out(&mut tcp, now).unwrap();
    assert_eq!(
        tcp.transport(),
        Transport::Tcp {
            source: 4000,
            destination: 7
        }
    );
}
