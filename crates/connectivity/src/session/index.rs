//! Ids of connections inside WireGuard's session indices. spec: data-plane 6.2

use rand_core::Rng;

/// Feedback of a 24-bit shift register that runs through every value but zero.
const POLYNOMIAL: u32 = 0x00D8_0000;
const MASK: u32 = 0x00FF_FFFF;

/// Hands out 24-bit ids in an order that tells an observer nothing; none repeats before all were used.
#[derive(Debug)]
pub(crate) struct Indices {
    state: u32,
    mask: u32,
}

impl Indices {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self {
            state: (rng.next_u32() & MASK).max(1),
            mask: rng.next_u32() & MASK,
        }
    }

    /// The next id, below 2^24.
    pub(crate) fn next(&mut self) -> u32 {
        let id = (self.state - 1) ^ self.mask;
        let feedback = if self.state & 1 == 1 { POLYNOMIAL } else { 0 };
        self.state = (self.state >> 1) ^ feedback;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Seed, SeedTree};

    #[test]
    fn no_index_repeats_before_all_were_used() {
        let mut rng = SeedTree::new(Seed::from_bytes([7; 32])).stream("indices");
        let mut indices = Indices::new(&mut rng);
        let mut seen = vec![false; 1 << 24];
        let first = indices.next();
        seen[usize::try_from(first).unwrap()] = true;
        for _ in 1..(1 << 24) - 1 {
            let index = usize::try_from(indices.next()).unwrap();
            assert!(!seen[index], "{index} came twice");
            seen[index] = true;
        }
        assert_eq!(indices.next(), first, "then it starts over");
    }
}
