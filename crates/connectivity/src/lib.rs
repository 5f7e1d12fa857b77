//! WireGuard sessions to peers over direct or relayed paths, without I/O.
//!
//! A [`Connectivity`] finds a path to every peer it is given an [`Authorization`] for: ICE tries
//! addresses of both ends, a TURN client opens relays for when nothing else works, and WireGuard
//! protects what goes over the path that was chosen. Both roles are here: the client, which
//! decides and initiates, and the gateway, which follows.
//!
//! What it is not: it owns no socket, reads no clock and knows no portal. Packets are opaque
//! except for their ECN bits; who may send what to whom is decided above. It speaks the protocol
//! of July 2025; what a later generation does better inside is built in where the peer can't tell.
//!
//! # Contract
//!
//! Call any input, then [`Connectivity::poll`] until it returns [`Output::Idle`]:
//!
//! ```
//! use connectivity::{Connectivity, Datagram, Output, Received, Role};
//! use model::Seed;
//! use std::time::{Duration, Instant};
//!
//! fn drain(connectivity: &mut Connectivity) -> Option<Instant> {
//!     loop {
//!         match connectivity.poll() {
//!             Output::Send(transmit) => {
//!                 // One send with segmentation offload: `transmit.payload()` in pieces of
//!                 // `transmit.segment_size` from `transmit.source` to `transmit.destination`.
//!                 connectivity.recycle(transmit);
//!             }
//!             Output::Event(event) => println!("{event:?}"),
//!             Output::Idle(wakeup) => return wakeup.map(|wakeup| wakeup.at),
//!         }
//!     }
//! }
//!
//! let now = Instant::now();
//! let seed = Seed::from_bytes([7; 32]); // 32 bytes of the operating system's entropy
//! let mut connectivity = Connectivity::new(Role::Client, seed, Duration::ZERO, now);
//! connectivity.handle_timeout(now);
//! assert_eq!(drain(&mut connectivity), None);
//! ```
//!
//! Every call does all it can at once: what can go out in a turn goes out in that turn. Nothing is
//! allocated for a packet in either direction once a path is there and buffers are recycled.
//!
//! # Design
//!
//! * One coordinator routes; each relay, connection, session and channel is a machine of its own
//!   that gets time and neighbours lent. Deadlines are kept in one queue, so an idle thousand of
//!   connections costs nothing per packet.
//! * WireGuard messages find their session by receiver index or static key, not by address, so a
//!   peer may change its address at any time. spec: data-plane 6.2
//! * Checks can be repeated from anywhere by whoever has seen them. The ICE agent hears of few addresses
//!   that nobody signalled before they have answered, and others are asked without keeping anything
//!   about them; what the agent does not forget by itself is dropped when it starts over.
//! * Channels of relays are used while the request for them is under way, and unanswered checks
//!   are repeated as soon as there is reason to believe in them: a relayed connection needs no
//!   timeout to come about.
//! * `boringtun` reads the clock and draws ephemeral keys by itself, and `is` draws transaction
//!   ids; neither takes them as arguments. Everything else comes from the seed.

mod candidate;
mod connection;
mod connectivity;
mod deadlines;
mod demux;
mod drop_reason;
mod event;
mod local_candidates;
mod relay;
mod session;
#[cfg(test)]
mod traces;
mod transmit;

pub use connectivity::Connectivity;
pub use drop_reason::DropReason;
pub use event::{
    Authorization, CloseReason, Datagram, Event, NoRelay, Output, PathKind, PeerStatus, Received,
    Role, Upsert, Verdict, Wakeup,
};
pub use ip_packet::Ecn;
pub use model::DropCounters;
pub use transmit::Transmit;
