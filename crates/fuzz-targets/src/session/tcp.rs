//! Segments of programs that ask the stub resolver over TCP, by the rules or not.

use crate::script::Script;
use ip_packet::{Checksum, IpPacket, protocol};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

/// Bytes of headers without options.
const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// One side of a connection, as far as it knows the other one.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// The number of our next byte.
    next: u32,
    /// The number of the resolver's next byte.
    expected: u32,
}

impl Program {
    /// Takes note of a segment of the resolver.
    pub(super) fn hear(&mut self, packet: &IpPacket<&[u8]>) {
        let segment = packet.payload();
        let Some(number) = segment.get(4..8).and_then(|bytes| bytes.first_chunk()) else {
            return;
        };
        let (flags, header) = (segment[13], usize::from(segment[12] >> 4) * 4);
        let length = u32::try_from(segment.len().saturating_sub(header)).unwrap_or(0);
        let marks = u32::from(flags & (SYN | FIN) != 0);
        self.expected = u32::from_be_bytes(*number).wrapping_add(length + marks);
    }

    /// The next segment: what belongs there, or something else. `query` is what it may carry.
    pub(super) fn say(
        &mut self,
        from: Ipv4Addr,
        to: Ipv4Addr,
        query: &[u8],
        script: &mut Script<'_>,
    ) -> Vec<u8> {
        let length = u16::try_from(query.len()).unwrap_or(0);
        let framed = [&length.to_be_bytes(), query].concat();
        let (flags, data): (u8, &[u8]) = match script.byte() % 8 {
            0 | 1 => (SYN, &[]),
            2 => (ACK, &[]),
            3 | 4 => (ACK | PSH, &framed),
            5 => (ACK | PSH, script.bytes()),
            6 => (ACK | FIN, &[]),
            _ => (RST | script.byte(), script.bytes()),
        };
        let number = match script.byte() {
            0..=239 => self.next,
            offset => self.next.wrapping_sub(u32::from(offset)),
        };
        let port = 6000 + u16::from(script.byte() % 3);
        let from = SocketAddrV4::new(from, port);
        let packet = segment(from, to, (number, self.expected), flags, data);
        let length = u32::try_from(data.len()).unwrap_or(0);
        let marks = u32::from(flags & (SYN | FIN) != 0);
        self.next = number.wrapping_add(length + marks);
        packet
    }
}

/// A whole packet to port 53.
fn segment(
    from: SocketAddrV4,
    to: Ipv4Addr,
    (number, expected): (u32, u32),
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(TCP_HEADER + data.len()).expect("scripts are short");
    let total = u16::try_from(IP_HEADER).expect("20 is short") + length;
    let mut bytes = vec![0x45, 0];
    bytes.extend(total.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, protocol::TCP, 0, 0]);
    bytes.extend(from.ip().octets());
    bytes.extend(to.octets());
    let sum = Checksum::new().add_bytes(&bytes).finish();
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(53_u16.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend(expected.to_be_bytes());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(data);
    let (source, destination) = (IpAddr::V4(*from.ip()), IpAddr::V4(to));
    let sum = Checksum::new()
        .add_pseudo_header(source, destination, protocol::TCP, length.into())
        .add_bytes(&bytes[IP_HEADER..])
        .finish();
    bytes[IP_HEADER + 16..IP_HEADER + 18].copy_from_slice(&sum.to_be_bytes());
    bytes
}
