//! Whole sessions for tests: no sockets, no threads, no waiting.
//!
//! [`World`] puts a client's [`tunnel_core::Tunnel`], a gateway, a relay and a portal of few words
//! on an emulated [`netem::Network`], so that a test sends a packet into one end and sees it come out
//! at the other. [`VirtualRelay`] is its relay, for worlds of other makes. [`TcpHost`] is a program or a server at either end that speaks TCP.
//!
//! What it is not: nothing here is for production.
//!
//! # Contract
//!
//! Time moves only in [`World::run_for`] and [`World::run_until`]; everything that is due at an
//! instant happens at it, in an order that a seed determines.
//!
//! ```
//! use netem::NatConfig;
//! use netsim::{World, WorldConfig};
//!
//! let mut world = World::new(WorldConfig::behind(Some(NatConfig::SYMMETRIC)));
//! world.run_until_ready();
//! ```

mod relay;
mod tcp_host;
mod world;

pub use relay::{Relayed, VirtualRelay};
pub use tcp_host::TcpHost;
pub use world::{Path, World, WorldConfig};
