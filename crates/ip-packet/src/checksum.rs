//! The Internet checksum, in full (RFC 1071) and incrementally (RFC 1624).

use std::net::IpAddr;

/// A running one's complement sum of 16-bit words.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checksum(u64);

impl Checksum {
    /// An empty sum.
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds bytes; an odd last byte counts as the high half of a word.
    #[must_use]
    pub fn add_bytes(mut self, bytes: &[u8]) -> Self {
        let mut words = bytes.chunks_exact(4);
        for word in words.by_ref() {
            self.0 += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
        }
        let mut rest = [0; 4];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        self.0 += u64::from(u32::from_be_bytes(rest));
        self
    }

    /// Adds one word.
    #[must_use]
    pub const fn add_word(mut self, word: u16) -> Self {
        self.0 += word as u64;
        self
    }

    /// Adds the pseudo header of RFC 793 and RFC 8200 section 8.1.
    #[must_use]
    pub fn add_pseudo_header(self, from: IpAddr, to: IpAddr, protocol: u8, length: u32) -> Self {
        let sum = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                self.add_bytes(&from.octets()).add_bytes(&to.octets())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                self.add_bytes(&from.octets()).add_bytes(&to.octets())
            }
            _ => self,
        };
        sum.add_bytes(&length.to_be_bytes())
            .add_word(u16::from(protocol))
    }

    /// The complement of the sum: what stands in a header's checksum field.
    pub fn finish(self) -> u16 {
        !self.fold()
    }

    fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).expect("folded until it fits 16 bits")
    }
}

/// The checksum after `old` bytes were replaced by `new` ones at an even offset.
///
/// Both have the same, even length. RFC 1624 equation 3: HC' = ~(~HC + ~m + m').
pub fn adjust(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    debug_assert_eq!(old.len(), new.len(), "replaced bytes keep their number");
    let mut sum = Checksum::new().add_word(!checksum).add_bytes(new);
    for word in old.chunks_exact(2) {
        sum = sum.add_word(!u16::from_be_bytes([word[0], word[1]]));
    }
    sum.finish()
}

/// Adjusts the checksum that stands at this offset of a packet.
pub(crate) fn adjust_at(bytes: &mut [u8], at: usize, old: &[u8], new: &[u8]) {
    let checksum = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    bytes[at..at + 2].copy_from_slice(&adjust(checksum, old, new).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_sums() {
        // RFC 1071 section 3.
        let sum = Checksum::new().add_bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), !0xddf2);
        // RFC 1624 section 4.
        assert_eq!(adjust(0xdd2f, &[0x55, 0x55], &[0x32, 0x85]), 0x0000);
    }

    #[test]
    fn odd_bytes_are_padded() {
        let odd = Checksum::new().add_bytes(&[1, 2, 3]).finish();
        assert_eq!(odd, Checksum::new().add_bytes(&[1, 2, 3, 0]).finish());
    }

    proptest! {
        #[test]
        fn incremental_equals_full(
            mut bytes in proptest::collection::vec(any::<u8>(), 20..60),
            new in any::<[u8; 4]>(),
            at in 0usize..8,
        ) {
            let at = at * 2;
            // An all-zero sum has two representations; real headers never sum to zero.
            bytes[18] |= 1;
            let before = Checksum::new().add_bytes(&bytes).finish();
            let old: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            bytes[at..at + 4].copy_from_slice(&new);
            let after = Checksum::new().add_bytes(&bytes).finish();
            prop_assert_eq!(adjust(before, &old, &new), after);
        }
    }
}
