//! Changes to a packet in place that keep its checksums right.

use crate::{checksum::adjust_at, packet::IpPacket, transport::Transport};
use std::net::IpAddr;

/// Which end of a packet is rewritten.
#[derive(Clone, Copy)]
enum End {
    Destination,
    Source,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> IpPacket<B> {
    /// Replaces the source address; an address of the other family changes nothing.
    pub fn set_source(&mut self, address: IpAddr) {
        self.set_address(End::Source, self.source(), address);
    }

    /// Replaces the destination address; an address of the other family changes nothing.
    pub fn set_destination(&mut self, address: IpAddr) {
        self.set_address(End::Destination, self.destination(), address);
    }

    /// Replaces the source port or the echo id.
    pub fn set_source_port(&mut self, port: u16) {
        self.set_port(End::Source, port);
    }

    /// Replaces the destination port or the echo id.
    pub fn set_destination_port(&mut self, port: u16) {
        self.set_port(End::Destination, port);
    }

    fn set_address(&mut self, end: End, old: IpAddr, new: IpAddr) {
        let v4_at = match end {
            End::Destination => 16,
            End::Source => 12,
        };
        let v6_at = match end {
            End::Destination => 24,
            End::Source => 8,
        };
        match (old, new) {
            (IpAddr::V4(old), IpAddr::V4(new)) => {
                let (old, new) = (old.octets(), new.octets());
                let bytes = self.buffer.as_mut();
                bytes[v4_at..v4_at + 4].copy_from_slice(&new);
                adjust_at(bytes, 10, &old, &new);
                self.adjust_transport(&old, &new, true);
            }
            (IpAddr::V6(old), IpAddr::V6(new)) => {
                let (old, new) = (old.octets(), new.octets());
                self.buffer.as_mut()[v6_at..v6_at + 16].copy_from_slice(&new);
                self.adjust_transport(&old, &new, true);
            }
            _ => return,
        }
        match end {
            End::Destination => self.set_addresses(self.source(), new),
            End::Source => self.set_addresses(new, self.destination()),
        }
    }

    fn set_port(&mut self, end: End, port: u16) {
        let (at, transport) = match (self.transport(), end) {
            (Transport::Tcp { destination, .. }, End::Source) => (
                0,
                Transport::Tcp {
                    source: port,
                    destination,
                },
            ),
            (Transport::Tcp { source, .. }, End::Destination) => (
                2,
                Transport::Tcp {
                    source,
                    destination: port,
                },
            ),
            (Transport::Udp { destination, .. }, End::Source) => (
                0,
                Transport::Udp {
                    source: port,
                    destination,
                },
            ),
            (Transport::Udp { source, .. }, End::Destination) => (
                2,
                Transport::Udp {
                    source,
                    destination: port,
                },
            ),
            (Transport::EchoRequest { .. }, _) => (4, Transport::EchoRequest { id: port }),
            (Transport::EchoReply { .. }, _) => (4, Transport::EchoReply { id: port }),
            _ => return,
        };
        let at = self.offset + at;
        let bytes = self.buffer.as_mut();
        let old = [bytes[at], bytes[at + 1]];
        let new = port.to_be_bytes();
        bytes[at..at + 2].copy_from_slice(&new);
        self.adjust_transport(&old, &new, false);
        self.set_transport(transport);
    }

    /// Adjusts the transport checksum; `pseudo` says that the change is in the pseudo header.
    fn adjust_transport(&mut self, old: &[u8], new: &[u8], pseudo: bool) {
        let is_v4 = self.source().is_ipv4();
        let field = match self.transport() {
            Transport::Tcp { .. } => 16,
            Transport::Udp { .. } => 6,
            // ICMP for IPv4 has no pseudo header.
            transport if transport.is_icmp() && !(pseudo && is_v4) => 2,
            _ => return,
        };
        let is_udp = matches!(self.transport(), Transport::Udp { .. });
        let at = self.offset + field;
        let bytes = self.buffer.as_mut();
        // A UDP sender without a checksum stays without one. spec: data-plane 17.1
        if is_udp && bytes[at..at + 2] == [0, 0] {
            return;
        }
        adjust_at(bytes, at, old, new);
        if is_udp && bytes[at..at + 2] == [0, 0] {
            bytes[at..at + 2].copy_from_slice(&[0xff, 0xff]);
        }
    }
}
