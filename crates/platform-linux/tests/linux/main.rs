//! The platform against a real kernel, in namespaces that each test makes for itself.
//!
//! Needs root (`CAP_SYS_ADMIN`, `CAP_NET_ADMIN`), `/dev/net/tun` and iproute2; without them the tests
//! fail and say so.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod conformance;
mod faults;
mod leftovers;
mod namespace;
mod network;
mod packets;
mod resolvers;
