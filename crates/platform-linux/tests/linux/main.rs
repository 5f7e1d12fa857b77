//! The platform against a real kernel, in namespaces that each test makes for itself.
//!
//! Needs root (`CAP_SYS_ADMIN`, `CAP_NET_ADMIN`), `/dev/net/tun`, iproute2, dbus-daemon and
//! systemd-resolved; without them the tests fail and say so.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod conformance;
mod daemons;
mod faults;
mod leftovers;
mod namespace;
mod network;
mod packets;
mod resolved;
mod resolvers;
