//! Why a packet or datagram went no further, and how often.

use std::fmt;

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Why a packet or datagram was dropped. Dropping is ordinary; it is counted, not reported.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[$doc])* $name,)*
        }

        impl DropReason {
            /// All reasons, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// A short text for logs and status pages.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

drop_reasons! {
    /// A handshake message whose first MAC is not for us.
    BadMac => "handshake is not for us",
    /// A handshake that fails to decrypt or repeats an old timestamp.
    BadHandshake => "handshake is invalid",
    /// The ring of waiting packets was full; the oldest one went.
    BufferFull => "buffer is full",
    /// A decrypted packet that is no IP packet.
    MalformedInner => "inner packet is malformed",
    /// The relay has no channel to the peer's address, and none can be opened.
    NoChannel => "no channel to the peer",
    /// There is no session with this peer to send in.
    NoSession => "no session",
    /// No path to the peer yet, and packets do not wait on this side.
    NotConnected => "not connected",
    /// More handshakes than a second allows; a cookie was sent.
    RateLimited => "too many handshakes",
    /// A data message that was received before, or is too old to tell.
    Replayed => "replayed",
    /// A datagram or packet larger than any we exchange. spec: data-plane 7
    TooLarge => "too large",
    /// Channel data for a channel that is not confirmed.
    UnboundChannel => "channel is not bound",
    /// A data message that does not decrypt.
    Undecryptable => "does not decrypt",
    /// A connectivity check that belongs to no connection or has no valid integrity.
    UnknownCheck => "connectivity check is not ours",
    /// The caller named a peer that has no connection.
    UnknownPeer => "unknown peer",
    /// Channel data or a relay's answer from a source that is no relay of ours.
    UnknownRelay => "not from a relay of ours",
    /// A WireGuard message for a session or from a key we do not know.
    UnknownSession => "unknown session",
    /// Nothing we speak.
    Unrecognized => "unrecognized",
}

/// How many packets and datagrams were dropped, for each reason.
#[derive(Clone, PartialEq, Eq)]
pub struct DropCounters([u64; DropReason::ALL.len()]);

impl DropCounters {
    pub(crate) const fn new() -> Self {
        Self([0; DropReason::ALL.len()])
    }

    pub(crate) fn count(&mut self, reason: DropReason) {
        self.0[reason.index()] += 1;
    }

    /// How many were dropped for this reason.
    pub const fn get(&self, reason: DropReason) -> u64 {
        self.0[reason.index()]
    }

    /// How many were dropped altogether.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason that occurred, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|&reason| (reason, self.get(reason)))
            .filter(|&(_, count)| count > 0)
    }
}

impl fmt::Debug for DropCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let mut counters = DropCounters::new();
        for &reason in DropReason::ALL {
            counters.count(reason);
        }
        assert_eq!(
            counters.total(),
            u64::try_from(DropReason::ALL.len()).unwrap()
        );
        assert!(counters.iter().all(|(_, count)| count == 1));
    }
}
