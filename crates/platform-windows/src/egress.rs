//! The way to a destination outside of the tunnel, weighed as Windows weighs it.
//!
//! [`choose`] is a pure function over a [`Table`] of routes, interfaces and addresses, the same on
//! every system. On Windows `resolver` reads that table from the system for each question; the
//! answers are kept by the sockets' factory. spec: platform 11.1
//!
//! # Order of routes
//!
//! 1. The longest prefix.
//! 2. The least sum of the route's metric and the interface's metric in that family.
//! 3. The least interface index.
//!
//! Routes count whose interface is up, has the family, is not the tunnel, and owns an address that
//! can be the source. The source is then chosen by RFC 6724 section 5, for IPv4 with what Windows
//! adds to it: the address that has most leading bits in common with the next hop.

mod choice;
mod source;
#[cfg(target_os = "windows")]
mod system;
mod table;

#[cfg(test)]
mod tests;

pub use choice::{NoRoute, choose};
#[cfg(target_os = "windows")]
pub use system::{read, resolver};
pub use table::{Address, Interface, Route, State, Table};

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Which interface is the tunnel: shared by who makes it and who looks for ways around it.
///
/// Whoever changes it resets the sockets' factory.
#[derive(Debug, Clone, Default)]
pub struct Tunnel(Arc<AtomicU64>);

impl Tunnel {
    /// The tunnel's adapter has this LUID now; `None` if there is none.
    pub fn set(&self, luid: Option<u64>) {
        self.0.store(luid.unwrap_or(0), Ordering::Release);
    }

    /// LUID of the tunnel's adapter.
    pub fn luid(&self) -> Option<u64> {
        // No interface has the LUID 0.
        Some(self.0.load(Ordering::Acquire)).filter(|luid| *luid != 0)
    }
}
