//! Seeds for the cores, drawn from the operating system.

use model::Seed;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::io;

/// A fresh seed.
///
/// # Errors
///
/// When the operating system has no entropy to give.
pub(crate) fn seed() -> io::Result<Seed> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("no entropy"))?;
    Ok(Seed::from_bytes(bytes))
}
