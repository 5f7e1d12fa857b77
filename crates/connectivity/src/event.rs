//! What goes in and comes out of [`Connectivity`](crate::Connectivity).

use crate::{DropReason, Ecn, Transmit};
use model::{Candidate, IceCredentials, PeerId, PresharedKey, PublicKey, RelayId};
use std::{
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upsert {
    /// A new connection; an older one with the same peer is gone.
    Created,
    /// The connection that exists serves this authorization too; its pre-shared key stays.
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

/// What a datagram turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// An IP packet of a peer: the first `len` bytes of the caller's buffer.
    Packet {
        /// Who sent it. The addresses inside are not checked.
        peer: PeerId,
        /// Its length in bytes.
        len: usize,
    },
    /// Something for us alone.
    Consumed,
    /// Nothing we can use.
    Dropped(DropReason),
}

/// What became of an IP packet on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Encrypted into a batch that the next polls hand out.
    Sent,
    /// Kept until the session is there.
    Buffered,
    /// Gone.
    Dropped(DropReason),
}

/// What [`Connectivity::poll`](crate::Connectivity::poll) has for the caller.
#[derive(Debug)]
pub enum Output {
    /// Put this on the network.
    Send(Transmit),
    /// Tell the rest of the program.
    Event(Event),
    /// Nothing more; call `handle_timeout` at the given time, if any.
    Idle(Option<Wakeup>),
}

/// When to call `handle_timeout`, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wakeup {
    /// The time. Earlier or later calls are harmless.
    pub at: Instant,
    /// What is due then, for logs.
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
