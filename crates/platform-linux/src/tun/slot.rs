//! Packet slots as `tun-rs` wants them.

use platform::HEADROOM;
use tun_rs::ExpandBuffer;

/// Largest merged packet: what the length field of IP can say.
const LARGEST: usize = 65_535;

/// A frame that grows when packets are merged into it.
///
/// `tun-rs` merges only what fits into the capacity that a buffer claims. Claiming the maximum and
/// growing on demand keeps slots small that nothing is merged into.
#[repr(transparent)]
pub(super) struct Slot(Vec<u8>);

impl Slot {
    /// The same frames, to be merged.
    #[expect(unsafe_code, reason = "a slice of wrappers has no safe constructor")]
    pub(super) fn wrap(frames: &mut [Vec<u8>]) -> &mut [Self] {
        let frames: *mut [Vec<u8>] = frames;
        // SAFETY: `Slot` is a transparent wrapper of `Vec<u8>` without invariants of its own, so
        // both slices have the same layout, and the result borrows what was borrowed exclusively.
        unsafe { &mut *(frames as *mut [Self]) }
    }
}

impl AsRef<[u8]> for Slot {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Slot {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl ExpandBuffer for Slot {
    fn buf_capacity(&self) -> usize {
        // `tun-rs` counts the head room twice.
        2 * HEADROOM + LARGEST
    }

    fn buf_resize(&mut self, length: usize, value: u8) {
        self.0.resize(length, value);
    }

    fn buf_extend_from_slice(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_frames_are_the_same_frames() {
        let mut frames = vec![vec![1], vec![2, 3]];
        let slots = Slot::wrap(&mut frames);
        assert_eq!(slots.len(), 2);
        slots[0].buf_extend_from_slice(&[9]);
        slots[1].as_mut()[0] = 7;
        slots.swap(0, 1);
        slots[1].buf_resize(3, 4);
        assert_eq!(frames, [vec![7, 3], vec![1, 9, 4]]);
    }
}
