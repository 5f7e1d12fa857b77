//! An emulated network for tests: no sockets, no threads, no clock, no entropy.
//!
//! A [`Network`] carries UDP datagrams between hosts. Each host has an uplink and a downlink with a
//! rate, a queue, a delay, loss and more ([`LinkConfig`]), and may stand behind a NAT of any kind
//! that RFC 4787 describes ([`NatConfig`]). In between is a core without any limit. [`Link`] and
//! [`Nat`] are machines of their own, for tests that need only one of them.
//!
//! What it is not: there are no fragments, no ICMP, no routing, no NAT behind a NAT, and no
//! transport but UDP. It is nothing for production.
//!
//! # Contract
//!
//! Time is what the caller says. Send at an instant; [`Network::deadline`] says when something
//! happens next; call [`Network::receive`] with that instant until it returns nothing. Of what
//! happens at the same instant, what was sent first comes first. All chance comes from a seed, with
//! a stream for each link and each NAT, so that one more draw on one of them changes no other one.
//!
//! ```
//! use model::{Seed, SeedTree};
//! use netem::{Datagram, Ecn, LinkConfig, Loss, NatConfig, Network, Share};
//! use std::{net::SocketAddr, time::{Duration, Instant}};
//!
//! let mut network = Network::new(SeedTree::new(Seed::from_bytes([7; 32])));
//! let nat = network.add_nat("203.0.113.1".parse()?, NatConfig::SYMMETRIC);
//! let home = network.add_host(vec!["192.168.0.2".parse()?], Some(nat));
//! let server = network.add_host(vec!["198.51.100.1".parse()?], None);
//! network.set_uplink(home, LinkConfig {
//!     delay: Duration::from_millis(20),
//!     rate: Some(1_000_000),
//!     loss: Loss::Uniform(Share::percent(1)),
//!     ..LinkConfig::IDEAL
//! });
//!
//! let (from, to) = ("192.168.0.2:5000".parse()?, "198.51.100.1:3478".parse()?);
//! for n in 0..10 {
//!     let payload = vec![n; 100];
//!     network.send(home, Datagram { from, to, ecn: Ecn::NotEct, payload }, Instant::now());
//! }
//! while let Some(now) = network.deadline() {
//!     while let Some(received) = network.receive(now) {
//!         assert_eq!((received.host, received.local), (server, to));
//!         assert_eq!(received.remote.ip(), "203.0.113.1".parse::<std::net::IpAddr>()?);
//!     }
//! }
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod drop_reason;
mod link;
mod nat;
mod network;
mod share;

pub use drop_reason::DropReason;
pub use ip_packet::Ecn;
pub use link::{Bound, Delivery, Link, LinkConfig, Loss, Reorder};
pub use nat::{Dependence, Nat, NatConfig, PortAssignment};
pub use network::{Datagram, HostId, NatId, Network, Received};
pub use share::Share;
