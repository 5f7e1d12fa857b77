//! The client's data plane as a state machine.
//!
//! [`Tunnel`] decides what becomes of every packet between the TUN device and the network: which
//! resource it belongs to, which gateway reaches that, whether access has to be asked for first,
//! what the stub resolver answers. Encryption and paths are [`connectivity`]'s.
//!
//! What it is not: it opens no socket, reads no clock, draws no randomness, knows no portal
//! message. The shell around it does all that and calls in.
//!
//! # Contract
//!
//! Call one `handle_*`, then [`Tunnel::poll`] until it returns [`Output::Idle`], and
//! [`Tunnel::handle_timeout`] when the wake-up of that is due. The page of [`Tunnel`] says more
//! about kinds of methods, the order of calls and time.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use tunnel_core::{Config, Output, Tunnel};
//!
//! fn drain(tunnel: &mut Tunnel) -> Option<Instant> {
//!     loop {
//!         match tunnel.poll() {
//!             Output::Send(transmit) => tunnel.recycle(transmit), // after sending it
//!             Output::Deliver(_packet) => {}                      // write it to the TUN device
//!             Output::Request(_request) => {}                     // send it to the portal
//!             Output::Plan(_plan) => {}                           // configure the interface
//!             Output::Query(_query) => {}                         // ask a DNS server
//!             Output::Event(_event) => {}                         // report it to the application
//!             Output::Idle(wakeup) => return wakeup.map(|wakeup| wakeup.at),
//!         }
//!     }
//! }
//!
//! let now = Instant::now();
//! let seed = model::Seed::from_bytes([7; 32]); // from the operating system
//! let mut tunnel = Tunnel::new(Config::default(), seed, Duration::ZERO, now);
//! tunnel.handle_timeout(now);
//! assert_eq!(drain(&mut tunnel), None);
//! ```
//!
//! # Design
//!
//! * The coordinator in `tunnel` routes; every rule has a machine of its own that owns its state:
//!   resources, authorizations, gateways, the decision about packets to translated names, the resolver.
//! * A cached flow costs one lookup: the peer of a destination is remembered until something
//!   happens that could change it.
//! * What waits for something is bounded, everywhere.

mod authorization;
mod dns;
mod dns_nat;
mod drop_reason;
mod event;
#[cfg(test)]
mod fixtures;
mod gateway;
mod peer_cache;
mod prefix_map;
mod reconnect;
mod resource;
mod tunnel;
mod waiting;

pub use connectivity::{CloseReason, Datagram, Ecn, PathKind, PeerStatus, Transmit, Wakeup};
pub use drop_reason::DropReason;
pub use event::{
    Authorized, DnsAccess, DnsFailure, DnsQuery, DnsServer, DnsTransport, Event, Output,
    PortalRequest, PortalUpdate, QueryId, Refusal, ResourceStatus, SiteState,
};
pub use model::{DropCounters, Reason};
pub use tunnel::{Config, Received, Tunnel, Verdict};
