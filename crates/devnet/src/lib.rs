//! Stand-ins for a Firezone network: what a client needs around it, on one machine.
//!
//! * [`portal`] is the control plane that clients, gateways and relays dial.
//! * [`relay`] forwards datagrams between parties that cannot reach each other.
//! * [`gateway`] lets clients reach the resources of a site.
//!
//! What it is not: none of it is meant for production. Accounts live in one file, nobody signs in
//! with a browser, and load is what one machine makes.
//!
//! # Contract
//!
//! Each party has a core without I/O and a `run` that puts sockets around it. They keep the wire
//! formats of the real parties, so that any of them can be replaced by a real one.
//!
//! ```no_run
//! # async fn run(config: devnet::relay::Config) -> Result<(), devnet::relay::Fault> {
//! let (stop, stopped) = tokio::sync::mpsc::channel(1);
//! let relay = devnet::relay::run(config, stopped); // on a `tokio::task::LocalSet`
//! # drop(stop);
//! relay.await
//! # }
//! ```

mod dialer;
pub mod gateway;
pub mod portal;
pub mod relay;
