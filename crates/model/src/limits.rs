//! Sizes that all parties of a network agree on. spec: data-plane 7

/// Largest IP packet inside the tunnel, in bytes.
pub const MTU: usize = 1280;

/// Bytes that WireGuard adds to a packet: type, receiver, counter, tag.
pub const WIREGUARD_OVERHEAD: usize = 32;

/// Bytes of the tag behind an encrypted packet, a part of [`WIREGUARD_OVERHEAD`].
pub const TAG: usize = 16;

/// Bytes of a TURN ChannelData header.
pub const CHANNEL_HEADER: usize = 4;

/// Largest UDP payload between two nodes, in bytes: the largest packet, encrypted, in a channel.
pub const MAX_UDP_PAYLOAD: usize = MTU + WIREGUARD_OVERHEAD + CHANNEL_HEADER;

#[cfg(test)]
mod tests {
    #[test]
    fn the_largest_datagram_is_that_of_the_specification() {
        assert_eq!(super::MAX_UDP_PAYLOAD, 1316);
    }
}
