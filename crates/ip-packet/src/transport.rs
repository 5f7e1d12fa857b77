//! What a packet carries: ports and ids of TCP, UDP and ICMP.

/// Protocol numbers of the IANA registry that are looked at.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Reserved; marks control messages inside the tunnel. spec: data-plane 13.1
    pub const CONTROL: u8 = 255;
}

/// The transport header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A TCP segment.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// A UDP datagram.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// An echo request of ICMP or ICMPv6.
    EchoRequest {
        /// Identifier.
        id: u16,
    },
    /// An echo reply of ICMP or ICMPv6.
    EchoReply {
        /// Identifier.
        id: u16,
    },
    /// An error message of ICMP or ICMPv6 that quotes a packet.
    IcmpError {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
    },
    /// Any other ICMP or ICMPv6 message.
    OtherIcmp {
        /// ICMP type.
        kind: u8,
    },
    /// Another protocol, by its number.
    Other(u8),
}

/// What a packet belongs to, seen from its sender: the key of filters, NAT and caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flow {
    /// TCP by port.
    Tcp(u16),
    /// UDP by port.
    Udp(u16),
    /// ICMP echo by identifier.
    Echo(u16),
}

impl Transport {
    /// The flow by source port; none for what has neither port nor echo id.
    pub const fn source(self) -> Option<Flow> {
        match self {
            Self::Tcp { source, .. } => Some(Flow::Tcp(source)),
            Self::Udp { source, .. } => Some(Flow::Udp(source)),
            Self::EchoRequest { id } | Self::EchoReply { id } => Some(Flow::Echo(id)),
            Self::IcmpError { .. } | Self::OtherIcmp { .. } | Self::Other(_) => None,
        }
    }

    /// The flow by destination port; none for what has neither port nor echo id.
    pub const fn destination(self) -> Option<Flow> {
        match self {
            Self::Tcp { destination, .. } => Some(Flow::Tcp(destination)),
            Self::Udp { destination, .. } => Some(Flow::Udp(destination)),
            Self::EchoRequest { id } | Self::EchoReply { id } => Some(Flow::Echo(id)),
            Self::IcmpError { .. } | Self::OtherIcmp { .. } | Self::Other(_) => None,
        }
    }

    /// Whether it is a message of ICMP or ICMPv6.
    pub const fn is_icmp(self) -> bool {
        matches!(
            self,
            Self::EchoRequest { .. }
                | Self::EchoReply { .. }
                | Self::IcmpError { .. }
                | Self::OtherIcmp { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_seen_from_both_ends() {
        let ends = |transport: Transport| (transport.source(), transport.destination());
        let (source, destination) = (1000, 53);
        let tcp = Transport::Tcp {
            source,
            destination,
        };
        assert_eq!(ends(tcp), (Some(Flow::Tcp(1000)), Some(Flow::Tcp(53))));
        let udp = Transport::Udp {
            source,
            destination,
        };
        assert_eq!(ends(udp), (Some(Flow::Udp(1000)), Some(Flow::Udp(53))));
        for echo in [
            Transport::EchoRequest { id: 7 },
            Transport::EchoReply { id: 7 },
        ] {
            assert_eq!(ends(echo), (Some(Flow::Echo(7)), Some(Flow::Echo(7))));
            assert!(echo.is_icmp());
        }
        for (other, is_icmp) in [
            (Transport::IcmpError { kind: 3, code: 1 }, true),
            (Transport::OtherIcmp { kind: 9 }, true),
            (Transport::Other(protocol::CONTROL), false),
        ] {
            assert_eq!(ends(other), (None, None));
            assert_eq!(other.is_icmp(), is_icmp);
        }
        assert!(!tcp.is_icmp() && !udp.is_icmp());
    }
}
