//! The only source of randomness of the pure cores.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use ring::digest;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 bytes of entropy, drawn by the shell from the operating system.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The seed with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A seed split into labelled streams, so that one more draw of one kind shifts no other.
///
/// Streams of keys and of public values come from different labels: what is seen on the wire
/// tells nothing about the state that makes keys.
#[derive(Debug, Clone)]
pub struct SeedTree(Seed);

impl SeedTree {
    /// A tree with this root.
    pub const fn new(root: Seed) -> Self {
        Self(root)
    }

    /// The random stream with this label; the same label always starts the same stream.
    pub fn stream(&self, label: &str) -> ChaCha20Rng {
        let mut bytes = self.derive(label);
        let rng = ChaCha20Rng::from_seed(bytes);
        bytes.zeroize();
        rng
    }

    /// The tree below this label.
    pub fn branch(&self, label: &str) -> Self {
        Self(Seed(self.derive(label)))
    }

    fn derive(&self, label: &str) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.0.0);
        context.update(label.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng as _;

    #[test]
    fn streams_are_repeatable_and_independent() {
        let tree = SeedTree::new(Seed::from_bytes([1; 32]));
        let draw = |label: &str| tree.stream(label).next_u64();
        assert_eq!(draw("keys"), draw("keys"));
        assert_ne!(draw("keys"), draw("jitter"));
        assert_ne!(tree.branch("a").stream("keys").next_u64(), draw("keys"));
    }

    #[test]
    fn seeds_do_not_print() {
        let tree = SeedTree::new(Seed::from_bytes([0x5a; 32]));
        assert_eq!(format!("{tree:?}"), "SeedTree(Seed(..))");
    }
}
