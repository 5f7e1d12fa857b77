//! Why a packet or datagram went no further.

model::drop_reasons! {
    /// Why [`Connectivity`](crate::Connectivity) dropped a packet or datagram.
    ///
    /// Each is counted once, in [`Connectivity::counters`](crate::Connectivity::counters), whether
    /// the caller hears of it or not.
    pub enum DropReason {
        /// A handshake message whose first MAC is not for us.
        BadMac => "bad-mac",
        /// A handshake that fails to decrypt or repeats an old timestamp.
        BadHandshake => "bad-handshake",
        /// As many packets as may wait for a path did so already; the oldest of them went.
        BufferFull => "buffer-full",
        /// It waited for a path or a session of a connection that ended or was replaced.
        ConnectionClosed => "connection-closed",
        /// A decrypted packet that is no IP packet.
        MalformedInner => "malformed-inner",
        /// The relay has no channel to the peer's address, and none can be opened.
        NoChannel => "no-channel",
        /// The session has expired, and as many packets as may wait for the next one do so already.
        NoSession => "no-session",
        /// No path to the peer yet, and packets do not wait on this side.
        NotConnected => "not-connected",
        /// More handshakes than a second allows; a cookie was sent.
        RateLimited => "rate-limited",
        /// A data message that was received before, or is too old to tell.
        Replayed => "replayed",
        /// It waited for a path, a session or its turn when everything started over.
        Reset => "reset",
        /// A datagram or packet larger than any we exchange. spec: data-plane 7
        TooLarge => "too-large",
        /// Channel data for a channel that is not confirmed.
        UnboundChannel => "unbound-channel",
        /// A data message that does not decrypt.
        Undecryptable => "undecryptable",
        /// A connectivity check that belongs to no connection or has no valid integrity.
        UnknownCheck => "unknown-check",
        /// The caller named a peer that has no connection.
        UnknownPeer => "unknown-peer",
        /// Channel data from a source that is no relay of ours.
        UnknownRelay => "unknown-relay",
        /// A WireGuard message for a session or from a key we do not know.
        UnknownSession => "unknown-session",
        /// A connectivity check from an address that nobody signalled and that has not answered one of
        /// ours. It was sent one, and no answer.
        UnprovenSource => "unproven-source",
        /// Nothing we speak.
        Unrecognized => "unrecognized",
        /// A relay's answer to nothing we asked, or without a valid signature.
        UnsolicitedAnswer => "unsolicited-answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Reason as _;

    #[test]
    fn names_are_those_that_scripts_know() {
        let names: Vec<&str> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        let known = [
            "bad-mac",
            "bad-handshake",
            "buffer-full",
            "connection-closed",
            "malformed-inner",
            "no-channel",
            "no-session",
            "not-connected",
            "rate-limited",
            "replayed",
            "reset",
            "too-large",
            "unbound-channel",
            "undecryptable",
            "unknown-check",
            "unknown-peer",
            "unknown-relay",
            "unknown-session",
            "unproven-source",
            "unrecognized",
            "unsolicited-answer",
        ];
        assert_eq!(names, known);
    }
}
