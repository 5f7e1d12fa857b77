//! The development relay: a TURN server that speaks what clients and gateways need.
//! spec: data-plane 5
//!
//! [`Server`] is the protocol without sockets; [`run`] puts sockets and the portal around it.

mod allocation;
mod auth;
mod message;
mod server;
mod shell;
#[cfg(test)]
mod tests;

pub use auth::password;
pub use server::{Forward, Ports, Server, ServerConfig};
pub use shell::{Config, Fault, run};
