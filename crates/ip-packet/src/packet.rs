//! The checked view of an IP packet.

use crate::{
    ecn::Ecn,
    transport::{Transport, protocol},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Extension headers that are skipped before giving up.
const MAX_EXTENSIONS: usize = 8;

/// Why bytes are not a packet that the tunnel handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum PacketFault {
    /// A fragment; the tunnel neither makes nor forwards them.
    #[error("fragments are not supported")]
    Fragment,
    /// A length field contradicts the number of bytes.
    #[error("a length field does not match the packet")]
    Length,
    /// A header is cut short or contradicts itself.
    #[error("a header is malformed")]
    Malformed,
    /// The version is neither 4 nor 6.
    #[error("the IP version is unknown")]
    Version,
}

/// An IPv4 or IPv6 packet whose headers were checked once.
#[derive(Debug, Clone, Copy)]
pub struct IpPacket<B> {
    pub(crate) buffer: B,
    /// Where the transport header starts.
    pub(crate) offset: usize,
    transport: Transport,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
}

struct Network {
    offset: usize,
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
}

impl<B: AsRef<[u8]>> IpPacket<B> {
    /// Checks the headers.
    ///
    /// # Errors
    ///
    /// Lengths must match exactly, fragments are refused. spec: data-plane 17.1
    pub fn parse(buffer: B) -> Result<Self, PacketFault> {
        let bytes = buffer.as_ref();
        let network = match bytes.first().ok_or(PacketFault::Length)? >> 4 {
            4 => parse_v4(bytes)?,
            6 => parse_v6(bytes)?,
            _ => return Err(PacketFault::Version),
        };
        let payload = &bytes[network.offset..];
        let transport = parse_transport(network.protocol, payload, network.source.is_ipv4())?;
        Ok(Self {
            offset: network.offset,
            transport,
            source: network.source,
            destination: network.destination,
            protocol: network.protocol,
            buffer,
        })
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_ref()
    }

    /// Source address.
    pub const fn source(&self) -> IpAddr {
        self.source
    }

    /// Destination address.
    pub const fn destination(&self) -> IpAddr {
        self.destination
    }

    /// Number of the transport protocol, behind all extension headers.
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// What the packet carries.
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Transport header and everything behind it.
    pub fn payload(&self) -> &[u8] {
        &self.bytes()[self.offset..]
    }

    /// The bytes behind the UDP header; empty for other protocols.
    pub fn udp_payload(&self) -> &[u8] {
        match self.transport {
            Transport::Udp { .. } => &self.payload()[8..],
            _ => &[],
        }
    }

    /// Congestion mark of the IP header.
    pub fn ecn(&self) -> Ecn {
        Ecn::of_packet(self.bytes())
    }

    /// TCP sequence number and flags of a SYN without ACK; none for everything else.
    pub fn tcp_syn_sequence(&self) -> Option<u32> {
        let Transport::Tcp { .. } = self.transport else {
            return None;
        };
        let header = self.payload();
        let is_syn = header[13] & 0x12 == 0x02;
        is_syn.then(|| u32::from_be_bytes([header[4], header[5], header[6], header[7]]))
    }

    /// Whether a TCP segment carries RST.
    pub fn is_tcp_reset(&self) -> bool {
        matches!(self.transport, Transport::Tcp { .. }) && self.payload()[13] & 0x04 != 0
    }

    pub(crate) fn set_addresses(&mut self, source: IpAddr, destination: IpAddr) {
        (self.source, self.destination) = (source, destination);
    }

    pub(crate) fn set_transport(&mut self, transport: Transport) {
        self.transport = transport;
    }
}

fn parse_v4(bytes: &[u8]) -> Result<Network, PacketFault> {
    let header: &[u8; 20] = bytes.first_chunk().ok_or(PacketFault::Length)?;
    let offset = usize::from(header[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if offset < 20 {
        return Err(PacketFault::Malformed);
    }
    if total != bytes.len() || offset > total {
        return Err(PacketFault::Length);
    }
    // More-fragments flag or a fragment offset.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return Err(PacketFault::Fragment);
    }
    let address = |at: usize| {
        Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into()
    };
    Ok(Network {
        offset,
        protocol: header[9],
        source: address(12),
        destination: address(16),
    })
}

fn parse_v6(bytes: &[u8]) -> Result<Network, PacketFault> {
    let header: &[u8; 40] = bytes.first_chunk().ok_or(PacketFault::Length)?;
    if usize::from(u16::from_be_bytes([header[4], header[5]])) + 40 != bytes.len() {
        return Err(PacketFault::Length);
    }
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&header[at..at + 16]);
        Ipv6Addr::from(octets).into()
    };
    let (protocol, offset) = skip_extensions(bytes, header[6])?;
    Ok(Network {
        offset,
        protocol,
        source: address(8),
        destination: address(24),
    })
}

/// Finds the transport header behind hop-by-hop, routing, destination and atomic fragment headers.
fn skip_extensions(bytes: &[u8], first: u8) -> Result<(u8, usize), PacketFault> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;

    let (mut next, mut offset) = (first, 40);
    for _ in 0..MAX_EXTENSIONS {
        let length = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => {
                let header = bytes
                    .get(offset..offset + 2)
                    .ok_or(PacketFault::Malformed)?;
                usize::from(header[1]) * 8 + 8
            }
            FRAGMENT => {
                let header = bytes
                    .get(offset..offset + 8)
                    .ok_or(PacketFault::Malformed)?;
                if u16::from_be_bytes([header[2], header[3]]) & 0xfff9 != 0 {
                    return Err(PacketFault::Fragment);
                }
                8
            }
            _ => return Ok((next, offset)),
        };
        next = bytes[offset];
        offset += length;
        if offset > bytes.len() {
            return Err(PacketFault::Malformed);
        }
    }
    Err(PacketFault::Malformed)
}

fn parse_transport(number: u8, payload: &[u8], is_v4: bool) -> Result<Transport, PacketFault> {
    match number {
        protocol::TCP => parse_tcp(payload),
        protocol::UDP => parse_udp(payload),
        protocol::ICMP if is_v4 => parse_icmp(payload, &[3, 4, 5, 11, 12], (8, 0)),
        protocol::ICMPV6 if !is_v4 => parse_icmp(payload, &[1, 2, 3, 4], (128, 129)),
        // The other family's ICMP.
        protocol::ICMP | protocol::ICMPV6 => Err(PacketFault::Malformed),
        other => Ok(Transport::Other(other)),
    }
}

fn parse_tcp(payload: &[u8]) -> Result<Transport, PacketFault> {
    let header: &[u8; 20] = payload.first_chunk().ok_or(PacketFault::Length)?;
    let data = usize::from(header[12] >> 4) * 4;
    if data < 20 || data > payload.len() {
        return Err(PacketFault::Malformed);
    }
    let (source, destination) = ports(header);
    Ok(Transport::Tcp {
        source,
        destination,
    })
}

fn parse_udp(payload: &[u8]) -> Result<Transport, PacketFault> {
    let header: &[u8; 8] = payload.first_chunk().ok_or(PacketFault::Length)?;
    if usize::from(u16::from_be_bytes([header[4], header[5]])) != payload.len() {
        return Err(PacketFault::Length);
    }
    let (source, destination) = ports(header);
    Ok(Transport::Udp {
        source,
        destination,
    })
}

fn parse_icmp(payload: &[u8], errors: &[u8], echo: (u8, u8)) -> Result<Transport, PacketFault> {
    let header: &[u8; 8] = payload.first_chunk().ok_or(PacketFault::Length)?;
    let (kind, code) = (header[0], header[1]);
    let id = u16::from_be_bytes([header[4], header[5]]);
    Ok(match kind {
        _ if kind == echo.0 => Transport::EchoRequest { id },
        _ if kind == echo.1 => Transport::EchoReply { id },
        _ if errors.contains(&kind) => Transport::IcmpError { kind, code },
        _ => Transport::OtherIcmp { kind },
    })
}

fn ports(header: &[u8]) -> (u16, u16) {
    (
        u16::from_be_bytes([header[0], header[1]]),
        u16::from_be_bytes([header[2], header[3]]),
    )
}
