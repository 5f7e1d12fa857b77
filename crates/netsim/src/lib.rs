//! An emulated network for tests: no sockets, no threads, no waiting.
//!
//! [`Network`] moves datagrams between hosts behind address translation, with latency and loss.
//! [`World`] puts a client's [`tunnel_core::Tunnel`], a gateway, a relay and a portal of few words
//! on it, so that a test sends a packet into one end and sees it come out at the other.
//! [`TcpHost`] is a program or a server at either end that speaks TCP.
//!
//! What it is not: bandwidth and queues are not emulated, and nothing here is for production.
//!
//! # Contract
//!
//! Time moves only in [`World::run_for`] and [`World::run_until`]; everything that is due at an
//! instant happens at it, in an order that a seed determines.
//!
//! ```
//! use netsim::{Nat, World, WorldConfig};
//!
//! let mut world = World::new(WorldConfig { nat: Nat::Symmetric, ..WorldConfig::default() });
//! world.run_until_ready();
//! ```

mod network;
mod tcp_host;
mod world;

pub use network::{HostId, Nat, Network, Received};
pub use tcp_host::TcpHost;
pub use world::{Path, World, WorldConfig};
