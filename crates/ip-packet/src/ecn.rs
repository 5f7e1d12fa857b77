//! Explicit congestion notification, and how it passes through a tunnel. spec: data-plane 17.1

use crate::checksum::adjust_at;

/// The two ECN bits of an IP header, RFC 3168.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Ecn {
    /// 00: the transport does not take part.
    #[default]
    NotEct,
    /// 10: capable transport, codepoint 0.
    Ect0,
    /// 01: capable transport, codepoint 1.
    Ect1,
    /// 11: congestion was experienced on the way.
    Ce,
}

impl Ecn {
    /// The meaning of the two lowest bits of a traffic class octet; the others are ignored.
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0b10 => Self::Ect0,
            0b01 => Self::Ect1,
            0b11 => Self::Ce,
            _ => Self::NotEct,
        }
    }

    /// The two bits as they stand in an IP header.
    #[inline]
    pub const fn bits(self) -> u8 {
        match self {
            Self::NotEct => 0b00,
            Self::Ect0 => 0b10,
            Self::Ect1 => 0b01,
            Self::Ce => 0b11,
        }
    }

    /// The marking of an IP packet; whatever is no IP packet takes no part.
    #[inline]
    pub fn of_packet(packet: &[u8]) -> Self {
        match packet {
            [first, second, ..] if first >> 4 == 4 => Self::from_bits(*second),
            [first, second, ..] if first >> 4 == 6 => Self::from_bits(*second >> 4),
            _ => Self::NotEct,
        }
    }

    /// Whether the transport takes part and has not met congestion yet.
    const fn is_ect(self) -> bool {
        matches!(self, Self::Ect0 | Self::Ect1)
    }
}

/// Carries a congestion mark of an outer header into the packet that was inside. RFC 6040 section 4.2
///
/// Only a packet of a capable transport is marked, and the checksum of an IPv4 header stays right.
/// What is no IP packet is left alone. Costs a comparison for an outer header without mark.
#[inline]
pub fn propagate_congestion(outer: Ecn, packet: &mut [u8]) {
    if outer != Ecn::Ce || !Ecn::of_packet(packet).is_ect() {
        return;
    }
    match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => {
            let old = [packet[0], packet[1]];
            packet[1] |= Ecn::Ce.bits();
            let new = [packet[0], packet[1]];
            adjust_at(packet, 10, &old, &new);
        }
        Some(6) => packet[1] |= Ecn::Ce.bits() << 4,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Ecn; 4] = [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce];

    fn ipv4(ecn: Ecn) -> Vec<u8> {
        let mut packet = vec![0; 28];
        packet[0] = 0x45;
        packet[1] = 0xb8 | ecn.bits();
        packet[2..4].copy_from_slice(&28u16.to_be_bytes());
        packet[8] = 64;
        packet[9] = 17;
        packet[12..20].copy_from_slice(&[100, 64, 0, 1, 100, 64, 0, 2]);
        let checksum = !sum(&packet[..20]);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet
    }

    fn ipv6(ecn: Ecn) -> Vec<u8> {
        let mut packet = vec![0; 48];
        packet[0] = 0x6b;
        packet[1] = 0x8f | (ecn.bits() << 4);
        packet
    }

    fn sum(words: &[u8]) -> u16 {
        let mut sum: u32 = words
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    #[test]
    fn bits_round_trip() {
        for ecn in ALL {
            assert_eq!(Ecn::from_bits(ecn.bits() | 0xfc), ecn);
            assert_eq!(Ecn::of_packet(&ipv4(ecn)), ecn);
            assert_eq!(Ecn::of_packet(&ipv6(ecn)), ecn);
        }
        assert_eq!(Ecn::of_packet(&[]), Ecn::NotEct);
        assert_eq!(Ecn::of_packet(&[0x15, 3]), Ecn::NotEct);
    }

    #[test]
    fn congestion_reaches_only_capable_transports() {
        for outer in ALL {
            for inner in ALL {
                let marked = outer == Ecn::Ce && matches!(inner, Ecn::Ect0 | Ecn::Ect1);
                let expected = if marked { Ecn::Ce } else { inner };
                for (mut packet, untouched) in
                    [(ipv4(inner), ipv4(expected)), (ipv6(inner), ipv6(expected))]
                {
                    propagate_congestion(outer, &mut packet);
                    assert_eq!(packet, untouched, "{outer:?} over {inner:?}");
                }
            }
        }
    }

    #[test]
    fn header_checksum_stays_valid_for_every_header() {
        for id in 0..=u16::MAX {
            let mut packet = ipv4(Ecn::Ect0);
            packet[10..12].fill(0);
            packet[4..6].copy_from_slice(&id.to_be_bytes());
            let checksum = !sum(&packet[..20]);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
            propagate_congestion(Ecn::Ce, &mut packet);
            assert_eq!(sum(&packet[..20]), 0xffff, "{id}");
        }
    }

    #[test]
    fn short_packets_are_left_alone() {
        let mut packet = [0x45, Ecn::Ect0.bits(), 0];
        propagate_congestion(Ecn::Ce, &mut packet);
        assert_eq!(packet, [0x45, Ecn::Ect0.bits(), 0]);
    }
}
