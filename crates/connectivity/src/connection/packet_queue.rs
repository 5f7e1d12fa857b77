//! What waits for a path: the newest 128 of a kind. spec: data-plane 2.14

use std::collections::VecDeque;

/// How many wait at most.
const CAPACITY: usize = 128;

/// A first-in, first-out buffer that loses its oldest entry when it is full.
#[derive(Debug, Default)]
pub(crate) struct PacketQueue(VecDeque<Vec<u8>>);

impl PacketQueue {
    /// Appends a copy; whether an older entry had to go.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let is_full = self.0.len() == CAPACITY;
        if is_full {
            self.0.pop_front();
        }
        self.0.push_back(bytes.to_vec());
        is_full
    }

    /// Takes the oldest entry.
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        self.0.pop_front()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_128_stay_in_order() {
        let mut queue = PacketQueue::default();
        for n in 0..200u8 {
            assert_eq!(queue.push(&[n]), n >= 128);
        }
        let kept: Vec<u8> = std::iter::from_fn(|| queue.pop())
            .map(|entry| entry[0])
            .collect();
        assert_eq!(kept, (72..200).collect::<Vec<u8>>());
    }
}
