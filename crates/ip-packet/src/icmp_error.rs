//! ICMP errors: those that the tunnel generates, and the packets that received ones quote.

use crate::{
    checksum::Checksum,
    emit::emit_ip_header,
    packet::IpPacket,
    transport::{Flow, Transport, protocol},
};
// Errors go through the tunnel, too. Its MTU is the minimum one of IPv6, which RFC 4443 section
// 2.4 (c) bounds them by.
use model::limits::MTU;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// TTL and hop limit of generated errors. spec: data-plane 17.3
const TTL: u8 = 20;

/// Why a packet cannot be delivered. spec: data-plane 17.3
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// No translation, no address of the family, or a range that is out of bounds.
    Network,
    /// Filtered or not authorized.
    Prohibited,
}

/// Writes "destination unreachable" in answer to a packet and returns its length in bytes.
///
/// None for ICMP errors and other ICMP messages that must not be answered (RFC 1122 section
/// 3.2.2, RFC 4443 section 2.4), and if the buffer is too small.
pub fn emit_unreachable<B: AsRef<[u8]>>(
    buffer: &mut [u8],
    original: &IpPacket<B>,
    reason: Unreachable,
) -> Option<usize> {
    if matches!(
        original.transport(),
        Transport::IcmpError { .. } | Transport::OtherIcmp { .. }
    ) {
        return None;
    }
    let is_v4 = original.source().is_ipv4();
    let (kind, code) = match (is_v4, reason) {
        (true, Unreachable::Network) => (3, 0),
        (true, Unreachable::Prohibited) => (3, 13),
        (false, Unreachable::Network) => (1, 3),
        (false, Unreachable::Prohibited) => (1, 1),
    };
    let quote = if is_v4 {
        // The header and eight bytes, RFC 792.
        &original.bytes()[..original.bytes().len().min(original.offset + 8)]
    } else {
        &original.bytes()[..original.bytes().len().min(MTU - 48)]
    };
    let error = Message {
        kind,
        code,
        rest: [0; 4],
        quote,
    };
    error.emit(buffer, original.destination(), original.source())
}

struct Message<'a> {
    kind: u8,
    code: u8,
    rest: [u8; 4],
    quote: &'a [u8],
}

impl Message<'_> {
    fn emit(&self, buffer: &mut [u8], from: IpAddr, to: IpAddr) -> Option<usize> {
        let number = if from.is_ipv4() {
            protocol::ICMP
        } else {
            protocol::ICMPV6
        };
        let length = u16::try_from(self.quote.len() + 8).ok()?;
        let offset = emit_ip_header(buffer, (from, to), (number, TTL), length)?;
        let end = offset + usize::from(length);
        let icmp = buffer.get_mut(offset..end)?;
        icmp[..4].copy_from_slice(&[self.kind, self.code, 0, 0]);
        icmp[4..8].copy_from_slice(&self.rest);
        icmp[8..].copy_from_slice(self.quote);
        let sum = Checksum::new();
        let sum = match from {
            IpAddr::V4(_) => sum,
            IpAddr::V6(_) => sum.add_pseudo_header(from, to, number, u32::from(length)),
        };
        let sum = sum.add_bytes(icmp).finish();
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        Some(end)
    }
}

/// The packet that an ICMP error quotes; often only its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotedPacket {
    /// Source address of the quoted packet.
    pub source: IpAddr,
    /// Destination address of the quoted packet.
    pub destination: IpAddr,
    /// Flow by source port, or by id of an echo request.
    pub source_flow: Flow,
    offset: usize,
}

/// A received ICMP error whose quoted packet was understood. spec: data-plane 17.4
#[derive(Debug, Clone, Copy)]
pub struct IcmpError<'a> {
    kind: u8,
    code: u8,
    rest: [u8; 4],
    quote: &'a [u8],
    /// The packet it is about.
    pub quoted: QuotedPacket,
}

impl<'a> IcmpError<'a> {
    /// Reads the error in a packet.
    ///
    /// None unless it is destination unreachable, packet too big or time exceeded, and quotes
    /// TCP, UDP or an echo request.
    pub fn parse<B: AsRef<[u8]>>(packet: &'a IpPacket<B>) -> Option<Self> {
        let Transport::IcmpError { kind, code } = packet.transport() else {
            return None;
        };
        let supported: &[u8] = if packet.source().is_ipv4() {
            &[3, 11]
        } else {
            &[1, 2, 3]
        };
        if !supported.contains(&kind) {
            return None;
        }
        let payload = packet.payload();
        let quote = &payload[8..];
        let rest = [payload[4], payload[5], payload[6], payload[7]];
        Some(Self {
            kind,
            code,
            rest,
            quote,
            quoted: QuotedPacket::parse(quote)?,
        })
    }

    /// Writes the error as it looks inside the tunnel and returns its length in bytes.
    ///
    /// The quoted packet gets the destination and the source port or id that its sender knows;
    /// checksums within the quotation are left as they are.
    pub fn emit_translated(
        &self,
        buffer: &mut [u8],
        (from, to): (IpAddr, IpAddr),
        inside_port: u16,
    ) -> Option<usize> {
        let mut copy = [0; MTU];
        let longest = if from.is_ipv4() { MTU - 28 } else { MTU - 48 };
        let length = self.quote.len().min(longest);
        let quote = &mut copy[..length];
        quote.copy_from_slice(&self.quote[..length]);
        match from {
            IpAddr::V4(from) => quote[16..20].copy_from_slice(&from.octets()),
            IpAddr::V6(from) => quote[24..40].copy_from_slice(&from.octets()),
        }
        let at = match self.quoted.source_flow {
            Flow::Echo(_) => self.quoted.offset + 4,
            Flow::Tcp(_) | Flow::Udp(_) => self.quoted.offset,
        };
        quote
            .get_mut(at..at + 2)?
            .copy_from_slice(&inside_port.to_be_bytes());
        let message = Message {
            kind: self.kind,
            code: self.code,
            rest: self.rest,
            quote,
        };
        message.emit(buffer, from, to)
    }
}

impl QuotedPacket {
    fn parse(quote: &[u8]) -> Option<Self> {
        let (number, offset, source, destination) = match quote.first()? >> 4 {
            4 => {
                let header: &[u8; 20] = quote.first_chunk()?;
                let address = |at: usize| -> IpAddr {
                    Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into()
                };
                (
                    header[9],
                    usize::from(header[0] & 0x0f) * 4,
                    address(12),
                    address(16),
                )
            }
            6 => {
                let header: &[u8; 40] = quote.first_chunk()?;
                let address = |at: usize| -> Option<IpAddr> {
                    let octets: [u8; 16] = header[at..at + 16].try_into().ok()?;
                    Some(Ipv6Addr::from(octets).into())
                };
                (header[6], 40, address(8)?, address(24)?)
            }
            _ => return None,
        };
        let transport = quote.get(offset..offset + 8).filter(|_| offset >= 20)?;
        let word = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
        let source_flow = match (number, transport[0]) {
            (protocol::TCP, _) => Flow::Tcp(word(0)),
            (protocol::UDP, _) => Flow::Udp(word(0)),
            (protocol::ICMP, 8) | (protocol::ICMPV6, 128) => Flow::Echo(word(4)),
            _ => return None,
        };
        Some(Self {
            source,
            destination,
            source_flow,
            offset,
        })
    }
}
