//! What a datagram is, by its first bytes. spec: data-plane 1.1

use crate::session::MAX_HANDSHAKE;
use model::limits::WIREGUARD_OVERHEAD;

/// Length of a WireGuard initiation, response and cookie.
const INITIATION: usize = MAX_HANDSHAKE;
const RESPONSE: usize = 92;
const COOKIE: usize = 64;

/// What a datagram may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The first byte of STUN. WireGuard handshakes have it too, so only the source tells.
    MaybeStun,
    /// The first byte of ChannelData.
    MaybeChannelData,
    /// Nothing a relay would say.
    Other,
}

/// Sorts a datagram by its first byte.
pub(crate) fn classify(datagram: &[u8]) -> Class {
    match datagram.first() {
        Some(0..=3) => Class::MaybeStun,
        Some(64..=79) => Class::MaybeChannelData,
        _ => Class::Other,
    }
}

/// A WireGuard message, by type and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireGuard {
    /// Initiation or response.
    Handshake,
    /// Cookie or data, for the session with this index of ours.
    Session(u32),
}

/// Recognizes a WireGuard message.
pub(crate) fn wireguard(message: &[u8]) -> Option<WireGuard> {
    let (&kind, rest) = message.split_first_chunk::<4>()?;
    let index = || {
        let index = rest.first_chunk::<4>()?;
        Some(WireGuard::Session(u32::from_le_bytes(*index)))
    };
    match (u32::from_le_bytes(kind), message.len()) {
        (1, INITIATION) | (2, RESPONSE) => Some(WireGuard::Handshake),
        (3, COOKIE) | (4, WIREGUARD_OVERHEAD..) => index(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_sorts_datagrams() {
        for byte in 0..=255u8 {
            let expected = match byte {
                0..=3 => Class::MaybeStun,
                64..=79 => Class::MaybeChannelData,
                _ => Class::Other,
            };
            assert_eq!(classify(&[byte]), expected);
        }
        assert_eq!(classify(&[]), Class::Other);
    }

    #[test]
    fn wireguard_messages_have_their_lengths() {
        let message = |kind: u8, length: usize| {
            let mut message = vec![0; length];
            message[0] = kind;
            message[4..8].copy_from_slice(&[1, 2, 3, 4]);
            message
        };
        let session = Some(WireGuard::Session(0x0403_0201));
        for (kind, length, expected) in [
            (1, 148, Some(WireGuard::Handshake)),
            (1, 147, None),
            (2, 92, Some(WireGuard::Handshake)),
            (2, 93, None),
            (3, 64, session),
            (3, 65, None),
            (4, 32, session),
            (4, 31, None),
            (4, 1312, session),
            (5, 148, None),
        ] {
            assert_eq!(
                wireguard(&message(kind, length)),
                expected,
                "{kind} {length}"
            );
        }
        let mut reserved = message(4, 32);
        reserved[2] = 1;
        assert_eq!(wireguard(&reserved), None);
        assert_eq!(wireguard(&[4, 0, 0]), None);
    }
}
