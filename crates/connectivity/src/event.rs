//! What goes in and comes out of [`Connectivity`](crate::Connectivity).

use crate::{DropReason, Ecn, Transmit};
use model::{Candidate, IceCredentials, PeerId, PresharedKey, PublicKey, RelayId};
use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Which end of a tunnel this is. spec: data-plane 2.1
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Controls ICE and starts WireGuard handshakes; packets wait until there is a path.
    Client,
    /// Follows; packets without a path are dropped.
    Gateway,
}

/// What two peers need to meet: handed to both by the portal. spec: data-plane 2.3
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// WireGuard key of the peer.
    pub public_key: PublicKey,
    /// Mixed into every handshake with this peer.
    pub preshared_key: PresharedKey,
    /// ICE credentials of this side.
    pub local_ice: IceCredentials,
    /// ICE credentials of the peer.
    pub remote_ice: IceCredentials,
}

/// What became of an authorization. spec: data-plane 2.13
///
/// Either way packets may be sent to the peer from then on, and wait for as long as they have to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upsert {
    /// A new connection. An older one with the same peer is gone without an event, with all packets
    /// that waited for it; the caller's state about that peer has to go, too.
    Created,
    /// The connection that exists has the same key and ICE credentials, and goes on. Its pre-shared key
    /// stays, even if the authorization brings another one.
    Reused,
}

/// A connection needs a relay, and none is known. spec: data-plane 2.13
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no relay is usable")]
pub struct NoRelay;

/// One UDP datagram as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// The address it was sent to: ours, with our port.
    pub local: SocketAddr,
    /// The address it came from.
    pub remote: SocketAddr,
    /// ECN bits of its IP header.
    pub ecn: Ecn,
    /// What it carries: one segment, never several.
    pub payload: &'a [u8],
}

/// What a datagram turned out to be. What else it led to comes by
/// [`poll`](crate::Connectivity::poll).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// An IP packet of a peer: the first `len` bytes of the caller's buffer. In the other cases, and
    /// behind those bytes, the content of the buffer means nothing.
    Packet {
        /// Who sent it: the peer is authenticated. Its addresses are not checked, and neither is anything
        /// but the version, the length and the ECN bits; whether the peer may send it is the caller's to
        /// decide.
        peer: PeerId,
        /// Its length in bytes, at most [`MTU`](model::limits::MTU).
        len: usize,
    },
    /// Something for this machine alone: a check, a handshake, an answer of a relay, a keep-alive.
    Consumed,
    /// Nothing we can use; ordinary, and counted already.
    Dropped(DropReason),
}

/// What became of an IP packet on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Encrypted into a batch that the next polls hand out. Nobody confirms that it arrives.
    Sent,
    /// A copy is kept until path and session are there. It goes out then, or is counted as dropped if
    /// 128 newer ones come or the connection ends; the caller hears no more of it.
    Buffered,
    /// Gone; ordinary, and counted already. Sending it again leads to the same until something changes.
    Dropped(DropReason),
}

/// What [`Connectivity::poll`](crate::Connectivity::poll) has for the caller to do.
#[derive(Debug)]
pub enum Output {
    /// Put this on the network, in the order in which it comes, and give the buffer back by
    /// [`recycle`](crate::Connectivity::recycle). What cannot be sent may be dropped: that is like a loss
    /// on the way.
    Send(Transmit),
    /// Tell the rest of the program; never one for each packet.
    Event(Event),
    /// Everything was handed out: poll again after the next input. Call
    /// [`handle_timeout`](crate::Connectivity::handle_timeout) at the given time; `None` means that
    /// nothing will happen before another input. A later poll may name another time, which counts then.
    Idle(Option<Wakeup>),
}

/// When to call `handle_timeout`, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wakeup {
    /// The time. Earlier or later calls are harmless.
    pub at: Instant,
    /// The timer that expires then, for logs; the text may change.
    pub why: &'static str,
}

/// AllocationEvent about connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Signal these to the peer. spec: data-plane 2.8
    CandidatesAdded {
        /// Whom to tell.
        peer: PeerId,
        /// In the order of their text; best first for a new connection.
        candidates: Vec<Candidate>,
    },
    /// Signal that these are no longer valid.
    CandidatesRemoved {
        /// Whom to tell.
        peer: PeerId,
        /// In the order of their text.
        candidates: Vec<Candidate>,
    },
    /// The first WireGuard handshake with this peer is done.
    Established {
        /// With whom.
        peer: PeerId,
    },
    /// The connection is gone. It is not built again without a new authorization.
    Closed {
        /// With whom it was.
        peer: PeerId,
        /// Why.
        reason: CloseReason,
    },
    /// There is no relay left, or an authorization came without one being known.
    NoRelays,
}

/// Why a connection ended. spec: data-plane 2.16
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer signalled no candidate within 10 s.
    NoCandidates,
    /// No candidate pair works any more.
    NoPath,
    /// Handshakes went unanswered for 15 s.
    HandshakeTimeout,
    /// No new session for 540 s.
    Expired,
}

impl CloseReason {
    /// The name in logs and for scripts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCandidates => "no-candidates",
            Self::NoPath => "no-path",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kind of path the packets to a peer take. spec: data-plane 2.11
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// From host to host.
    PeerToPeer,
    /// To the peer's relay.
    PeerToRelay,
    /// Through our relay.
    RelayToPeer,
    /// Through our relay and the peer's.
    RelayToRelay,
}

impl PathKind {
    /// The name in logs and for scripts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PeerToPeer => "peer-to-peer",
            Self::PeerToRelay => "peer-to-relay",
            Self::RelayToPeer => "relay-to-peer",
            Self::RelayToRelay => "relay-to-relay",
        }
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A connection at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    /// With whom.
    pub peer: PeerId,
    /// The path in use; `None` while connecting.
    pub path: Option<PathKind>,
    /// Our relay on that path, if it goes through one.
    pub relay: Option<RelayId>,
    /// The last measured round trip on that path.
    pub rtt: Option<Duration>,
    /// Bytes of IP packets sent.
    pub sent: u64,
    /// Bytes of IP packets received.
    pub received: u64,
    /// When the last handshake was done, since the Unix epoch.
    pub last_handshake: Option<Duration>,
    /// No packet for 20 s: checks are slow.
    pub idle: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_logs_and_scripts_know() {
        let reasons = [
            CloseReason::NoCandidates,
            CloseReason::NoPath,
            CloseReason::HandshakeTimeout,
            CloseReason::Expired,
        ];
        let names = reasons.map(|reason| reason.to_string());
        let known = ["no-candidates", "no-path", "handshake-timeout", "expired"];
        assert_eq!(names, known);

        let kinds = [
            PathKind::PeerToPeer,
            PathKind::PeerToRelay,
            PathKind::RelayToPeer,
            PathKind::RelayToRelay,
        ];
        let names = kinds.map(|kind| kind.to_string());
        let known = [
            "peer-to-peer",
            "peer-to-relay",
            "relay-to-peer",
            "relay-to-relay",
        ];
        assert_eq!(names, known);
    }
}
