//! How many of all.

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};

/// Parts of the whole that a [`Share`] counts.
const WHOLE: u32 = 1_000_000;

/// How many of all datagrams something happens to, on average.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(WHOLE);

    /// This many of a hundred; 100 at most.
    pub const fn percent(count: u32) -> Self {
        Self::of(count, 100)
    }

    /// This many of a thousand; 1000 at most.
    pub const fn per_thousand(count: u32) -> Self {
        Self::of(count, 1000)
    }

    /// One of this many; at least one.
    pub const fn one_in(count: u32) -> Self {
        Self::of(1, if count == 0 { 1 } else { count })
    }

    const fn of(count: u32, of: u32) -> Self {
        let count = if count > of { of } else { count };
        // Both are small: the product of a million and a thousand fits.
        Self(WHOLE / of * count)
    }

    /// Whether it happens to the next one.
    pub(crate) fn draw(self, rng: &mut ChaCha20Rng) -> bool {
        rng.next_u64() % u64::from(WHOLE) < u64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Seed, SeedTree};

    #[test]
    fn shares_are_what_they_say() {
        assert_eq!(Share::percent(100), Share::ALL);
        assert_eq!(Share::percent(250), Share::ALL);
        assert_eq!(Share::percent(0), Share::NONE);
        assert_eq!(Share::percent(3), Share::per_thousand(30));
        assert_eq!(Share::one_in(4), Share::percent(25));
        assert_eq!(Share::one_in(0), Share::ALL);
    }

    #[test]
    fn draws_follow_the_share() {
        let mut rng = SeedTree::new(Seed::from_bytes([3; 32])).stream("draws");
        for (share, expected) in [
            (Share::NONE, 0..=0),
            (Share::per_thousand(5), 400..=600),
            (Share::percent(30), 29_500..=30_500),
            (Share::ALL, 100_000..=100_000),
        ] {
            let drawn = (0..100_000).filter(|_| share.draw(&mut rng)).count();
            assert!(expected.contains(&drawn), "{share:?}: {drawn}");
        }
    }
}
