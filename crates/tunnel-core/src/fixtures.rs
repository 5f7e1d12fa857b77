//! Packets for tests.

use ip_packet::{IpPacket, emit_udp, protocol};

/// A UDP packet between two sockets of one family.
pub(crate) fn udp(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; 1500];
    let length = emit_udp(
        &mut buffer,
        from.parse().unwrap(),
        to.parse().unwrap(),
        payload,
    );
    buffer.truncate(length.unwrap());
    buffer
}

/// A TCP SYN with this sequence number; its checksums are wrong, which nobody verifies.
pub(crate) fn syn(from: &str, to: &str, sequence: u32) -> Vec<u8> {
    let mut bytes = udp(from, to, &[0; 12]);
    let at = if bytes[0] >> 4 == 4 { (9, 20) } else { (6, 40) };
    bytes[at.0] = protocol::TCP;
    let segment = &mut bytes[at.1..];
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    segment[8..].fill(0);
    segment[12] = 0x50;
    segment[13] = 0x02;
    assert!(IpPacket::parse(&bytes).is_ok_and(|p| p.tcp_syn_sequence() == Some(sequence)));
    bytes
}
