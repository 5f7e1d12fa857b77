//! Sizes and ports of DNS over UDP in the tunnel.

use model::limits;

/// Port of DNS.
pub(crate) const PORT: u16 = 53;

/// Headers of a UDP packet of IPv6, the longer ones.
pub(crate) const UDP_HEADERS: usize = 48;

/// Largest UDP payload of a packet in the tunnel, in bytes.
pub(crate) const fn largest_payload(is_v4: bool) -> usize {
    limits::MTU - if is_v4 { 28 } else { UDP_HEADERS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_offer_to_take_fits_a_packet_of_either_family() {
        assert_eq!([true, false].map(largest_payload), [1252, 1232]);
        let offered = usize::from(dns_message::ADVERTISED_PAYLOAD);
        assert!(offered <= largest_payload(true) && offered <= largest_payload(false));
    }
}
