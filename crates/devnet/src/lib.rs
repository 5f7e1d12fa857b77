//! Stand-ins for a Firezone network: what a client needs around it, on one machine.
//!
//! [`portal`] is the control plane that clients, gateways and relays dial.

pub mod portal;
