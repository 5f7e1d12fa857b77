//! What hostile input must not do: one function per boundary of `docs/security.md`.
//!
//! Each [`Target`] takes bytes that somebody hostile chose and does with them what the product
//! would do. It panics when a promise is broken: the input is kept, takes too much memory, or gets
//! its sender something that the portal did not grant.
//!
//! What it is not: nothing here is for production.
//!
//! # Contract
//!
//! Targets keep nothing between two calls, so that an input means the same wherever it is tried. Two
//! callers exist: the programs in `fuzz/`, which look for inputs that break something, guided by
//! coverage, and the tests of this crate, which try all inputs of `fuzz/corpus` again.
//!
//! ```
//! for target in fuzz_targets::TARGETS {
//!     target.check(b"anything");
//! }
//! ```

mod datagrams;
mod dns;
mod ipc;
mod memory;
mod network;
mod packets;
mod patterns;
mod portal;
mod resolv_conf;
mod script;
mod session;

/// One boundary, and what its input may cost.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of the program in `fuzz/`, and of the folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Does with the input what the product would do.
    run: fn(&[u8]),
    /// Bytes that may be allocated at a time, beside [`Target::PER_BYTE`] for each byte of input.
    limit: usize,
}

/// All boundaries.
pub const TARGETS: [Target; 9] = [
    Target::new("datagrams", datagrams::run, 4 << 20),
    Target::new("dns_query", dns::query, 64 << 10),
    Target::new("dns_response", dns::response, 64 << 10),
    Target::new("ipc", ipc::run, 256 << 10),
    Target::new("packets", packets::run, 16 << 10),
    Target::new("patterns", patterns::run, 16 << 10),
    Target::new("portal", portal::run, 64 << 10),
    Target::new("resolv_conf", resolv_conf::run, 16 << 10),
    Target::new("session", session::run, 16 << 20),
];

impl Target {
    /// Bytes of memory that each byte of input may cost.
    pub const PER_BYTE: usize = 128;

    const fn new(name: &'static str, run: fn(&[u8]), limit: usize) -> Self {
        Self { name, run, limit }
    }

    /// The target with this name.
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.into_iter().find(|target| target.name == name)
    }

    /// Tries an input. If it takes too much memory the process ends.
    ///
    /// # Panics
    ///
    /// If a promise is broken.
    pub fn check(&self, input: &[u8]) {
        let limit = self.limit + Self::PER_BYTE * input.len();
        memory::limited(limit, || (self.run)(input));
    }
}
