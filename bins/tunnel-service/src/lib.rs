//! The tunnel service: runs the tunnel with the rights of the system, on behalf of a GUI that has
//! none.
//!
//! [`Service`] is the whole life of it, over any [`Machine`] and any [`local_socket::Listener`], so
//! that tests run it without rights. The program `firezone-client-tunnel` brings the real ones.
//!
//! # Contract
//!
//! * One GUI at a time; the next one waits. A GUI that misbehaves or dies costs its own connection:
//!   its session ends, the host is as it was before, and the next one is served.
//! * No GUI, no tunnel: nothing is connected before a GUI says so, nor after it is gone.
//! * What a crashed run left behind is undone before the first GUI is served.
//! * [`AdminCommand`]s come from signals and administrators. They are carried out before any message
//!   of a GUI.

mod access;
mod admin;
mod gui;
mod machine;
mod resources;
mod service;
mod session;

pub use access::{Policy, Refusal};
pub use admin::{AdminCommand, AdminCommands, admin_commands, answer_administrators};
pub use machine::Machine;
pub use service::{Lifetime, Service};
