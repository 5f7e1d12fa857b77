//! Packets on their way from or to the TUN device, in buffers that are used again and again.
//!
//! Each packet has a slot of its own with head room in front, where a device driver puts its header,
//! so that a packet is decrypted straight into the buffer that is written to the device.

use model::limits::{MTU, TAG};
use std::fmt;

/// Bytes in front of each packet for a device header; enough for virtio-net's ten, and even enough
/// to keep packets aligned.
pub const HEADROOM: usize = 16;

/// Bytes that each slot has for a packet: the largest one and an authentication tag, and what is left
/// of the last cache line.
pub const ROOM: usize = (HEADROOM + MTU + TAG).next_multiple_of(64) - HEADROOM;

/// Most packets that one read from a device is split into. A batch to read into should have at least
/// this capacity, or else packets are lost.
pub const MAX_SPLIT: usize = 64;

const SLOT: usize = HEADROOM + ROOM;

/// Slots that may keep the size they grew to when a device merged packets into them. A device
/// merges into the first packet of a flow, so few slots grow.
const LARGE_SLOTS: usize = 16;

/// A bounded batch of packets.
pub struct PacketBatch {
    // Outside of `frames`, every slot has the length `SLOT`.
    slots: Vec<Vec<u8>>,
    lengths: Vec<usize>,
    used: usize,
}

impl PacketBatch {
    /// A batch for up to `capacity` packets, at least one.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            slots: vec![vec![0; SLOT]; capacity],
            lengths: vec![0; capacity],
            used: 0,
        }
    }

    /// Largest number of packets.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Number of packets.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether there is no packet.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether no further packet has room.
    pub fn is_full(&self) -> bool {
        self.used == self.slots.len()
    }

    /// Forgets the packets and keeps the buffers.
    pub fn clear(&mut self) {
        self.restore();
        self.used = 0;
    }

    /// The packets in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let used = self.slots.iter().zip(&self.lengths).take(self.used);
        used.map(|(slot, length)| &slot[HEADROOM..HEADROOM + length])
    }

    /// The packets in order, to be changed in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let used = self.slots.iter_mut().zip(&self.lengths).take(self.used);
        used.map(|(slot, length)| &mut slot[HEADROOM..HEADROOM + length])
    }

    /// The room for the next packet, [`ROOM`] bytes; nothing if the batch is full.
    ///
    /// What is written there becomes a packet by [`Self::commit`].
    pub fn spare(&mut self) -> &mut [u8] {
        match self.slots.get_mut(self.used) {
            Some(slot) => &mut slot[HEADROOM..],
            None => &mut [],
        }
    }

    /// Makes the first `length` bytes of the spare room the next packet.
    ///
    /// # Panics
    ///
    /// If that is more than the spare room has.
    pub fn commit(&mut self, length: usize) {
        assert!(
            length <= self.spare().len(),
            "{length} bytes were never written"
        );
        self.lengths[self.used] = length;
        self.used += 1;
    }

    /// Appends a copy of a packet; `false` if it has no room.
    pub fn push(&mut self, packet: &[u8]) -> bool {
        let Some(room) = self.spare().get_mut(..packet.len()) else {
            return false;
        };
        room.copy_from_slice(packet);
        self.commit(packet.len());
        true
    }

    /// For device drivers: lends all free slots, each [`HEADROOM`] + [`ROOM`] bytes, with a length
    /// per slot to be filled in. The first slots, as many as returned, become packets.
    ///
    /// # Errors
    ///
    /// Those of `read`; the batch is unchanged then.
    ///
    /// # Panics
    ///
    /// If `read` reports packets that it had no room for.
    pub fn fill<E>(
        &mut self,
        read: impl FnOnce(&mut [Vec<u8>], &mut [usize]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let free = self.slots.len() - self.used;
        let lengths = &mut self.lengths[self.used..];
        let count = read(&mut self.slots[self.used..], lengths)?;
        assert!(count <= free, "{count} packets in {free} slots");
        let fits = lengths[..count].iter().all(|length| *length <= ROOM);
        assert!(fits, "a packet larger than its slot");
        self.used += count;
        Ok(count)
    }

    /// For device drivers: the packets as frames, each the head room followed by the packet and
    /// nothing more. Frames may be swapped and may grow; [`Self::clear`] must follow.
    pub fn frames(&mut self) -> &mut [Vec<u8>] {
        let used = self.slots.iter_mut().zip(&self.lengths).take(self.used);
        for (slot, length) in used {
            slot.truncate(HEADROOM + length);
        }
        &mut self.slots[..self.used]
    }

    /// Brings the slots that were lent as frames back to their usual length.
    fn restore(&mut self) {
        for (index, slot) in self.slots.iter_mut().take(self.used).enumerate() {
            slot.resize(SLOT, 0);
            if index >= LARGE_SLOTS && slot.capacity() > 2 * SLOT {
                slot.shrink_to(SLOT);
            }
        }
    }
}

impl fmt::Debug for PacketBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketBatch")
            .field("packets", &self.used)
            .field("capacity", &self.slots.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::limits::MAX_UDP_PAYLOAD;

    #[test]
    fn slots_have_room_for_what_is_decrypted_into_them() {
        let mut batch = PacketBatch::new(1);
        assert!(batch.spare().len() >= MTU + 16);
        assert!(batch.spare().len() >= MAX_UDP_PAYLOAD);
        assert!(HEADROOM >= 10 && HEADROOM.is_multiple_of(2));
    }

    #[test]
    fn packets_come_out_as_they_went_in() {
        let mut batch = PacketBatch::new(3);
        batch.spare()[..3].copy_from_slice(b"one");
        batch.commit(3);
        assert!(batch.push(b"two!"));
        batch.iter_mut().for_each(|packet| packet[0] = b'*');
        assert_eq!(batch.iter().collect::<Vec<_>>(), [&b"*ne"[..], b"*wo!"]);
        assert_eq!((batch.len(), batch.is_full()), (2, false));
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(batch.iter().count(), 0);
    }

    #[test]
    fn full_batch_has_no_room() {
        let mut batch = PacketBatch::new(2);
        assert!(batch.push(b"a") && batch.push(b"b"));
        assert!(batch.is_full() && batch.spare().is_empty());
        assert!(!batch.push(b"c"));
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn packet_larger_than_a_slot_is_refused() {
        let mut batch = PacketBatch::new(2);
        assert!(!batch.push(&[0; ROOM + 1]));
        assert!(batch.push(&[0; ROOM]));
        assert_eq!(batch.len(), 1);
    }

    #[test]
    #[should_panic(expected = "never written")]
    fn commit_beyond_the_room_is_caught() {
        PacketBatch::new(1).commit(ROOM + 1);
    }

    #[test]
    fn driver_fills_free_slots_behind_the_packets() {
        let mut batch = PacketBatch::new(4);
        assert!(batch.push(b"first"));
        let read = batch.fill(|slots, lengths| {
            assert_eq!((slots.len(), lengths.len()), (3, 3));
            assert!(slots.iter().all(|slot| slot.len() == SLOT));
            slots[0][HEADROOM..HEADROOM + 6].copy_from_slice(b"second");
            lengths[0] = 6;
            Ok::<_, ()>(1)
        });
        assert_eq!(read, Ok(1));
        assert_eq!(batch.iter().collect::<Vec<_>>(), [&b"first"[..], b"second"]);
        assert_eq!(batch.fill(|_, _| Err("gone")), Err("gone"));
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn frames_are_exact_and_clearing_restores_the_slots() {
        let mut batch = PacketBatch::new(64);
        for round in 0..3 {
            for _ in 0..64 {
                assert!(batch.push(b"packet"), "round {round}");
            }
            let frames = batch.frames();
            assert!(frames.iter().all(|f| f.len() == HEADROOM + 6));
            // A device merged the batch into every packet and swapped two of them.
            for frame in frames.iter_mut() {
                frame.resize(HEADROOM + 60_000, 1);
            }
            frames.swap(0, 63);
            batch.clear();
            assert_eq!(batch.spare().len(), ROOM);
            let held: usize = batch.slots.iter().map(Vec::capacity).sum();
            assert!(held < 16 * 128 * 1024 + 64 * 2 * SLOT, "{held} bytes kept");
        }
    }
}
