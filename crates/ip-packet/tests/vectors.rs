//! Known answers of the specification, and properties of the views over arbitrary bytes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ip_packet::{
    Checksum, Control, ControlFault, DomainStatus, Ecn, Flow, IcmpError, IpPacket, MAX_CONTROL,
    PacketFault, Transport, Unreachable, emit_udp, emit_unreachable, propagate_congestion,
    protocol,
};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn udp(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 1500];
    let length = emit_udp(
        &mut buffer,
        from.parse().unwrap(),
        to.parse().unwrap(),
        payload,
    );
    buffer[..length.unwrap()].to_vec()
}

/// A TCP segment with correct checksums.
fn tcp(from: &str, to: &str, flags: u8) -> Vec<u8> {
    let mut bytes = udp(from, to, &[0; 12]);
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let offset = if from.is_ipv4() { 20 } else { 40 };
    if from.is_ipv4() {
        bytes[9] = protocol::TCP;
        bytes[10..12].fill(0);
        let sum = Checksum::new().add_bytes(&bytes[..20]).finish();
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes[6] = protocol::TCP;
    }
    let segment = &mut bytes[offset..];
    segment[4..8].copy_from_slice(&0x0102_0304_u32.to_be_bytes());
    segment[8..].fill(0);
    segment[12] = 0x50;
    segment[13] = flags;
    let sum = Checksum::new()
        .add_pseudo_header(from.ip(), to.ip(), protocol::TCP, 20)
        .add_bytes(segment)
        .finish();
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn echo(from: &str, to: &str, id: u16) -> Vec<u8> {
    let mut bytes = udp(&format!("{from}:0"), &format!("{to}:0"), b"ping");
    if bytes[0] >> 4 == 4 {
        bytes[9] = protocol::ICMP;
        bytes[10..12].fill(0);
        let sum = Checksum::new().add_bytes(&bytes[..20]).finish();
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes[6] = protocol::ICMPV6;
    }
    let is_v4 = bytes[0] >> 4 == 4;
    let offset = if is_v4 { 20 } else { 40 };
    let length = u32::try_from(bytes.len() - offset).unwrap();
    let icmp = &mut bytes[offset..];
    icmp[..8].fill(0);
    icmp[0] = if is_v4 { 8 } else { 128 };
    icmp[4..6].copy_from_slice(&id.to_be_bytes());
    let mut sum = Checksum::new().add_bytes(icmp);
    if !is_v4 {
        let strip = |text: &str| address(text.trim_matches(['[', ']']));
        sum = sum.add_pseudo_header(strip(from), strip(to), protocol::ICMPV6, length);
    }
    icmp[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    bytes
}

/// Whether the IPv4 header and the transport checksum are right.
fn checksums_hold(bytes: &[u8]) -> bool {
    let packet = IpPacket::parse(bytes).unwrap();
    let header = packet.source().is_ipv6()
        || Checksum::new()
            .add_bytes(&bytes[..bytes.len() - packet.payload().len()])
            .finish()
            == 0;
    let length = u32::try_from(packet.payload().len()).unwrap();
    let mut sum = Checksum::new().add_bytes(packet.payload());
    if packet.protocol() != protocol::ICMP {
        let (from, to) = (packet.source(), packet.destination());
        sum = sum.add_pseudo_header(from, to, packet.protocol(), length);
    }
    header && sum.finish() == 0
}

fn control_bytes(control: &Control) -> Vec<u8> {
    let mut buffer = [0xaa; MAX_CONTROL];
    let length = control.emit(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

// spec: data-plane 22
#[test]
fn control_messages_are_those_of_the_specification() {
    let goodbye = control_bytes(&Control::Goodbye);
    assert_eq!(goodbye.len(), 48);
    assert_eq!(goodbye[..8], [0x60, 0, 0, 0, 0, 8, 0xff, 0]);
    assert_eq!(goodbye[40], 2);

    let resource = "00000000-0000-0000-0000-000000000065".parse().unwrap();
    let proxy_ips = (1..=4).map(|n| address(&format!("100.96.0.{n}"))).collect();
    let domain = "example.com".parse().unwrap();
    let assigned = control_bytes(&Control::AssignedIps {
        resource,
        domain,
        proxy_ips,
    });
    assert_eq!(assigned.len(), 188);
    assert_eq!(assigned[..8], [0x60, 0, 0, 0, 0, 0x94, 0xff, 0]);
    assert_eq!(
        std::str::from_utf8(&assigned[48..]).unwrap(),
        r#"{"resource":"00000000-0000-0000-0000-000000000065","domain":"example.com","proxy_ips":["100.96.0.1","100.96.0.2","100.96.0.3","100.96.0.4"]}"#
    );

    let domain = "example.com".parse().unwrap();
    let status = DomainStatus::Active;
    let status = control_bytes(&Control::DomainStatus {
        resource,
        domain,
        status,
    });
    assert_eq!(status.len(), 140);
    assert_eq!((status[4], status[5], status[40]), (0, 0x64, 1));
    assert_eq!(
        std::str::from_utf8(&status[48..]).unwrap(),
        r#"{"resource":"00000000-0000-0000-0000-000000000065","domain":"example.com","status":"Active"}"#
    );
}

#[test]
fn control_messages_round_trip() {
    let resource = "00000000-0000-0000-0000-000000000065".parse().unwrap();
    let both = (0..4).flat_map(|n| {
        [
            address(&format!("100.96.0.{n}")),
            address(&format!("fd00::{n}")),
        ]
    });
    for control in [
        Control::Goodbye,
        Control::AssignedIps {
            resource,
            domain: "example.com".parse().unwrap(),
            proxy_ips: both.collect(),
        },
        Control::DomainStatus {
            resource,
            domain: "example.com".parse().unwrap(),
            status: DomainStatus::Inactive,
        },
    ] {
        let bytes = control_bytes(&control);
        let packet = IpPacket::parse(&bytes[..]).unwrap();
        assert!(Control::recognize(&packet));
        assert_eq!(Control::parse(&packet), Some(control));
    }
}

#[test]
fn longest_control_message_fits() {
    let label = "a".repeat(63);
    let domain = [&label[..], &label, &label, &label[..61]]
        .join(".")
        .parse()
        .unwrap();
    let proxy_ips = (0..4)
        .flat_map(|n| {
            [
                address(&format!("100.127.255.25{n}")),
                address(&format!("fd00:2021:1111:8000::1f:fff{n}")),
            ]
        })
        .collect();
    let resource = "ffffffff-0000-0000-0000-000000000065".parse().unwrap();
    let control = Control::AssignedIps {
        resource,
        domain,
        proxy_ips,
    };
    assert!(control_bytes(&control).len() <= MAX_CONTROL);
}

#[test]
fn odd_address_counts_and_small_buffers_are_refused() {
    let resource = "00000000-0000-0000-0000-000000000065".parse().unwrap();
    let domain: model::DomainName = "example.com".parse().unwrap();
    let mut buffer = [0; MAX_CONTROL];
    let proxy_ips = [address("100.96.0.1")].into();
    let control = Control::AssignedIps {
        resource,
        domain: domain.clone(),
        proxy_ips,
    };
    assert_eq!(control.emit(&mut buffer), Err(ControlFault::AddressCount));
    let control = Control::DomainStatus {
        resource,
        domain,
        status: DomainStatus::Active,
    };
    assert_eq!(control.emit(&mut buffer[..60]), Err(ControlFault::Buffer));
    assert_eq!(control.emit(&mut []), Err(ControlFault::Buffer));
}

#[test]
fn unknown_control_messages_are_recognized_and_not_understood() {
    let mut bytes = control_bytes(&Control::Goodbye);
    bytes[40] = 77;
    let packet = IpPacket::parse(&bytes[..]).unwrap();
    assert!(Control::recognize(&packet));
    assert_eq!(Control::parse(&packet), None);

    let status = br#"{"resource":"00000000-0000-0000-0000-000000000065","domain":"a.b","status":"Odd","x":1}"#;
    bytes[40] = 1;
    bytes.extend_from_slice(status);
    bytes[5] = u8::try_from(8 + status.len()).unwrap();
    let packet = IpPacket::parse(&bytes[..]).unwrap();
    let Some(Control::DomainStatus { status, .. }) = Control::parse(&packet) else {
        panic!()
    };
    assert_eq!(status, DomainStatus::Inactive);
}

#[test]
fn views_answer_for_both_families() {
    for (from, to) in [
        ("192.0.2.1", "192.0.2.2"),
        ("[2001:db8::1]", "[2001:db8::2]"),
    ] {
        let (source, destination) = (format!("{from}:4000"), format!("{to}:53"));
        let bytes = udp(&source, &destination, b"payload");
        let packet = IpPacket::parse(&bytes[..]).unwrap();
        assert_eq!(
            packet.transport(),
            Transport::Udp {
                source: 4000,
                destination: 53
            }
        );
        assert_eq!(packet.transport().source(), Some(Flow::Udp(4000)));
        assert_eq!(packet.transport().destination(), Some(Flow::Udp(53)));
        assert_eq!(packet.udp_payload(), b"payload");
        assert!(checksums_hold(&bytes));

        let syn = tcp(&source, &destination, 0x02);
        let packet = IpPacket::parse(&syn[..]).unwrap();
        assert_eq!(packet.tcp_syn_sequence(), Some(0x0102_0304));
        assert!(!packet.is_tcp_reset() && checksums_hold(&syn));
        let reset = tcp(&source, &destination, 0x14);
        let packet = IpPacket::parse(&reset[..]).unwrap();
        assert!(packet.is_tcp_reset() && packet.tcp_syn_sequence().is_none());

        let ping = echo(from, to, 7);
        let packet = IpPacket::parse(&ping[..]).unwrap();
        assert_eq!(packet.transport(), Transport::EchoRequest { id: 7 });
        assert!(checksums_hold(&ping));
    }
}

#[test]
fn faults_are_told_apart() {
    let good = udp("192.0.2.1:1", "192.0.2.2:2", b"abc");
    let change = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        IpPacket::parse(bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(change(0, 0x75), PacketFault::Version);
    assert_eq!(change(0, 0x44), PacketFault::Malformed);
    assert_eq!(change(0, 0x4f), PacketFault::Length);
    assert_eq!(change(3, 5), PacketFault::Length);
    assert_eq!(change(6, 0x20), PacketFault::Fragment);
    assert_eq!(change(7, 1), PacketFault::Fragment);
    assert_eq!(change(25, 12), PacketFault::Length);
    assert_eq!(change(9, protocol::ICMPV6), PacketFault::Malformed);
    assert_eq!(
        IpPacket::parse(&good[..30]).unwrap_err(),
        PacketFault::Length
    );
    assert_eq!(IpPacket::parse([]).unwrap_err(), PacketFault::Length);
    let mut trailing = good.clone();
    trailing.push(0);
    assert_eq!(IpPacket::parse(trailing).unwrap_err(), PacketFault::Length);
}

/// Puts an extension header between the IPv6 header and the rest.
fn with_extension(packet: &[u8], kind: u8, mut header: [u8; 8]) -> Vec<u8> {
    header[0] = packet[6];
    let mut bytes = [&packet[..40], &header, &packet[40..]].concat();
    bytes[6] = kind;
    let length = u16::try_from(bytes.len() - 40).unwrap();
    bytes[4..6].copy_from_slice(&length.to_be_bytes());
    bytes
}

#[test]
fn extension_headers_are_skipped_and_fragments_refused() {
    let plain = udp("[2001:db8::1]:1", "[2001:db8::2]:2", b"abc");
    for kind in [0, 43, 60, 44] {
        let bytes = with_extension(&plain, kind, [0; 8]);
        let packet = IpPacket::parse(&bytes[..]).unwrap();
        assert_eq!(packet.udp_payload(), b"abc", "extension {kind}");
    }
    for at in [2, 3] {
        let mut header = [0; 8];
        header[at] = 0x09;
        let bytes = with_extension(&plain, 44, header);
        assert_eq!(IpPacket::parse(bytes).unwrap_err(), PacketFault::Fragment);
    }
    let too_long = with_extension(&plain, 60, [0, 9, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        IpPacket::parse(too_long).unwrap_err(),
        PacketFault::Malformed
    );
    let nested = (0..9).fold(plain, |packet, _| with_extension(&packet, 60, [0; 8]));
    assert_eq!(IpPacket::parse(nested).unwrap_err(), PacketFault::Malformed);
}

#[test]
fn rewrites_keep_checksums() {
    for (from, to, other) in [
        ("192.0.2.1", "192.0.2.2", "198.51.100.77"),
        ("[2001:db8::1]", "[2001:db8::2]", "2001:db8:77::ffff"),
    ] {
        let (source, destination) = (format!("{from}:4000"), format!("{to}:53"));
        let packets = [
            udp(&source, &destination, b"odd"),
            tcp(&source, &destination, 2),
            echo(from, to, 9),
        ];
        for bytes in packets {
            let mut packet = IpPacket::parse(bytes).unwrap();
            packet.set_source(address(other));
            assert!(checksums_hold(packet.bytes()));
            packet.set_destination(address(other));
            assert!(checksums_hold(packet.bytes()));
            packet.set_source_port(61_000);
            assert!(checksums_hold(packet.bytes()));
            packet.set_destination_port(61_001);
            assert!(checksums_hold(packet.bytes()));
            let mut bytes = packet.bytes().to_vec();
            propagate_congestion(Ecn::Ce, &mut bytes);
            let again = IpPacket::parse(bytes).unwrap();
            assert_eq!(again.transport(), packet.transport());
            assert_eq!(
                (again.source(), again.destination()),
                (address(other), address(other))
            );
            assert_eq!(again.ecn(), Ecn::NotEct);
        }
    }
}

#[test]
fn addresses_of_the_other_family_change_nothing() {
    let before = udp("192.0.2.1:1", "192.0.2.2:2", b"abc");
    let mut packet = IpPacket::parse(before.clone()).unwrap();
    packet.set_source(address("2001:db8::1"));
    assert_eq!(packet.bytes(), before);
    assert_eq!(packet.source(), address("192.0.2.1"));
}

#[test]
fn missing_udp_checksum_stays_missing() {
    let mut bytes = udp("192.0.2.1:1", "192.0.2.2:2", b"abc");
    bytes[26..28].fill(0);
    let mut packet = IpPacket::parse(bytes).unwrap();
    packet.set_destination(address("192.0.2.9"));
    packet.set_source_port(9);
    assert_eq!(packet.payload()[6..8], [0, 0]);
}

#[test]
fn congestion_is_marked_only_for_those_who_take_part() {
    for (mut bytes, at, shift) in [
        (udp("192.0.2.1:1", "192.0.2.2:2", b"abc"), 1, 0),
        (udp("[2001:db8::1]:1", "[2001:db8::2]:2", b"abc"), 1, 4),
    ] {
        bytes[at] |= 2 << shift;
        if bytes[0] >> 4 == 4 {
            bytes[10..12].fill(0);
            let sum = Checksum::new().add_bytes(&bytes[..20]).finish();
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        assert_eq!(IpPacket::parse(&bytes[..]).unwrap().ecn(), Ecn::Ect0);
        propagate_congestion(Ecn::Ce, &mut bytes);
        let packet = IpPacket::parse(bytes).unwrap();
        assert_eq!(packet.ecn(), Ecn::Ce);
        assert!(checksums_hold(packet.bytes()));
    }
}

// spec: data-plane 17.3
#[test]
fn generated_errors_have_the_specified_type_and_quote() {
    let v4 = udp("100.64.0.7:4000", "198.51.100.1:80", &[1; 600]);
    let v6 = udp("[fd00:2021:1111::7]:4000", "[2001:db8::1]:80", &[1; 1220]);
    for (original, reason, kind, code, length) in [
        (&v4, Unreachable::Prohibited, 3, 13, 56),
        (&v4, Unreachable::Network, 3, 0, 56),
        (&v6, Unreachable::Prohibited, 1, 1, 1280),
        (&v6, Unreachable::Network, 1, 3, 1280),
    ] {
        let mut buffer = [0; 1280];
        let original = IpPacket::parse(&original[..]).unwrap();
        let written = emit_unreachable(&mut buffer, &original, reason).unwrap();
        assert_eq!(written, length);
        let error = IpPacket::parse(&buffer[..written]).unwrap();
        assert_eq!(error.transport(), Transport::IcmpError { kind, code });
        let ends = (error.source(), error.destination());
        assert_eq!(ends, (original.destination(), original.source()));
        assert!(checksums_hold(error.bytes()));
        let ttl = if error.source().is_ipv4() {
            error.bytes()[8]
        } else {
            error.bytes()[7]
        };
        assert_eq!(ttl, 20);
        let parsed = IcmpError::parse(&error).unwrap();
        assert_eq!(parsed.quoted.source_flow, Flow::Udp(4000));
        assert_eq!(parsed.quoted.destination, original.destination());
        // An error is never answered with an error.
        assert_eq!(emit_unreachable(&mut [0; 1280], &error, reason), None);
    }
}

// spec: data-plane 17.4
#[test]
fn quoted_packets_are_translated_back() {
    for (client, real, proxy) in [
        ("100.64.0.7", "198.51.100.1", "100.96.0.1"),
        (
            "[fd00:2021:1111::7]",
            "[2001:db8::1]",
            "fd00:2021:1111:8000::1",
        ),
    ] {
        let outside = udp(&format!("{client}:5000"), &format!("{real}:80"), &[1; 20]);
        let outside = IpPacket::parse(&outside[..]).unwrap();
        let mut buffer = [0; 1280];
        let length = emit_unreachable(&mut buffer, &outside, Unreachable::Network).unwrap();
        let error = IpPacket::parse(&buffer[..length]).unwrap();
        let parsed = IcmpError::parse(&error).unwrap();
        let mut inside = [0; 1280];
        let ends = (address(proxy), outside.source());
        let length = parsed.emit_translated(&mut inside, ends, 4000).unwrap();
        let inside = IpPacket::parse(&inside[..length]).unwrap();
        assert!(checksums_hold(inside.bytes()));
        assert_eq!(inside.source(), address(proxy));
        let quoted = IcmpError::parse(&inside).unwrap().quoted;
        assert_eq!(quoted.source_flow, Flow::Udp(4000));
        assert_eq!(quoted.destination, address(proxy));
        assert_eq!(quoted.source, outside.source());
    }
}

#[test]
fn errors_about_other_protocols_are_not_understood() {
    let original = echo("192.0.2.1", "192.0.2.2", 5);
    let mut reply = original.clone();
    reply[20] = 0;
    for (quoted, understood) in [(original, true), (reply, false)] {
        let mut bytes = udp("192.0.2.9:0", "192.0.2.1:0", &quoted);
        bytes[9] = protocol::ICMP;
        bytes[20..28].copy_from_slice(&[3, 1, 0, 0, 0, 0, 0, 0]);
        let packet = IpPacket::parse(&bytes[..]).unwrap();
        assert_eq!(IcmpError::parse(&packet).is_some(), understood);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), v4 in any::<bool>(), fix in any::<bool>(), next in prop_oneof![Just(1u8), Just(6), Just(17), Just(58), Just(0), Just(43), Just(44), Just(60), Just(255), any::<u8>()]) {
        if fix && bytes.len() >= 40 {
            // Plausible enough to get past the first checks.
            let length = u16::try_from(bytes.len()).unwrap();
            if v4 {
                bytes[0] = 0x45;
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                bytes[6..8].fill(0);
                bytes[9] = next;
            } else {
                bytes[0] = 0x60;
                bytes[4..6].copy_from_slice(&(length - 40).to_be_bytes());
                bytes[6] = next;
            }
        }
        let mut marked = bytes.clone();
        propagate_congestion(Ecn::Ce, &mut marked);
        prop_assert_eq!(IpPacket::parse(&marked).is_ok(), IpPacket::parse(&bytes).is_ok());
        if let Ok(mut packet) = IpPacket::parse(bytes) {
            let _ = Control::recognize(&packet) && Control::parse(&packet).is_some();
            if let Some(error) = IcmpError::parse(&packet) {
                let ends = (packet.destination(), packet.source());
                let _ = error.emit_translated(&mut [0; 1280], ends, 1);
            }
            let mut buffer = [0; 1280];
            if let Some(length) = emit_unreachable(&mut buffer, &packet, Unreachable::Network) {
                prop_assert!(IpPacket::parse(&buffer[..length]).is_ok());
            }
            let _ = (packet.udp_payload().len(), packet.tcp_syn_sequence(), packet.is_tcp_reset());
            packet.set_source_port(1);
            packet.set_destination(packet.source());
        }
    }
}
