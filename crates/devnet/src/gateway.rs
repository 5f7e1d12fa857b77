//! The development gateway: lets clients reach the resources of a site.
//! spec: data-plane 15
//!
//! [`Core`] is the data plane without I/O; [`run`] puts a TUN device, sockets, name resolution,
//! a DNS server and the portal around it. The host has to forward and to masquerade.

mod access;
mod client;
mod core;
mod dns;
mod nat;
mod shell;

pub use self::core::{Core, Lookup, Output, Received};
pub use shell::{Config, Fault, run};
