//! Frames: a length of four bytes, big-endian, and that many bytes. spec: client-app 13.1

use crate::error::Fault;
use zeroize::Zeroizing;

/// Largest payload, in bytes. spec: client-app 18
pub const MAX_PAYLOAD: usize = 8 * 1024 * 1024;

/// Bytes of the length.
pub(crate) const HEADER: usize = 4;

/// Room that a frame gets before any byte of it arrived.
const FIRST_ROOM: usize = 4096;

/// The content of a frame; wiped when dropped, because it may hold a token.
pub(crate) type Payload = Zeroizing<Vec<u8>>;

/// Puts frames together from bytes as they arrive.
///
/// The announced length allocates nothing: room doubles as bytes fill it.
#[derive(Default)]
pub(crate) struct Decoder {
    header: [u8; HEADER],
    filled: usize,
    body: Payload,
}

impl Decoder {
    /// Whether a frame has begun and is not complete.
    pub(crate) fn is_inside(&self) -> bool {
        self.filled > 0
    }

    /// Where the next bytes belong; never empty. Report them by [`Decoder::advance`].
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.filled < HEADER {
            return &mut self.header[self.filled..];
        }
        let used = self.filled - HEADER;
        if used == self.body.len() {
            let wanted = (used * 2).max(FIRST_ROOM).min(self.length());
            let mut larger = Payload::new(Vec::with_capacity(wanted));
            larger.extend_from_slice(&self.body);
            larger.resize(wanted, 0);
            self.body = larger;
        }
        &mut self.body[used..]
    }

    /// Takes note of bytes that were written to [`Decoder::room`]; the frame, if that completes it.
    pub(crate) fn advance(&mut self, count: usize) -> Result<Option<Payload>, Fault> {
        self.filled += count;
        if self.filled < HEADER {
            return Ok(None);
        }
        let length = self.length();
        if length > MAX_PAYLOAD {
            return Err(Fault::FrameTooLarge {
                length: u32::from_be_bytes(self.header),
                limit: MAX_PAYLOAD,
            });
        }
        if self.filled < HEADER + length {
            return Ok(None);
        }
        self.filled = 0;
        Ok(Some(std::mem::take(&mut self.body)))
    }

    fn length(&self) -> usize {
        usize::try_from(u32::from_be_bytes(self.header)).unwrap_or(usize::MAX)
    }
}

/// The length that stands in front of a payload.
///
/// # Errors
///
/// If the payload is larger than a frame may be.
pub(crate) fn header(payload: &[u8]) -> Result<[u8; HEADER], Fault> {
    let length = u32::try_from(payload.len()).ok();
    let length = length.filter(|_| payload.len() <= MAX_PAYLOAD);
    let length = length.ok_or(Fault::MessageTooLarge(payload.len()))?;
    Ok(length.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds bytes in pieces of at most these sizes, over and over.
    fn decode(bytes: &[u8], pieces: &[usize]) -> Result<Vec<Vec<u8>>, Fault> {
        let mut decoder = Decoder::default();
        let mut frames = vec![];
        let mut rest = bytes;
        for piece in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let room = decoder.room();
            let count = room.len().min(*piece).min(rest.len());
            room[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            let frame = decoder.advance(count)?;
            // What is kept grows with what arrived, and not with what was announced.
            let arrived = decoder.filled.saturating_sub(HEADER);
            assert!(decoder.body.capacity() <= FIRST_ROOM.max(2 * arrived));
            frames.extend(frame.map(|frame| frame.to_vec()));
        }
        Ok(frames)
    }

    fn encode(payload: &[u8]) -> Vec<u8> {
        [&header(payload).unwrap()[..], payload].concat()
    }

    #[test]
    fn a_frame_is_its_length_and_its_payload() {
        assert_eq!(encode(b"\"ClearLogs\""), b"\0\0\0\x0b\"ClearLogs\"");
        let frames = decode(b"\0\0\0\x02{}\0\0\0\0\0\0\0\x01[", &[1]).unwrap();
        assert_eq!(frames, [&b"{}"[..], b"", b"["]);
    }

    #[test]
    fn the_limit_is_inclusive() {
        let largest = vec![b' '; MAX_PAYLOAD];
        assert_eq!(decode(&encode(&largest), &[usize::MAX]).unwrap(), [largest]);
        for length in [8 * 1024 * 1024 + 1, u32::MAX] {
            let fault = decode(&length.to_be_bytes(), &[4]).unwrap_err();
            assert!(matches!(fault, Fault::FrameTooLarge { length: found, .. } if found == length));
        }
        let fault = header(&vec![0; MAX_PAYLOAD + 1]).unwrap_err();
        assert!(matches!(fault, Fault::MessageTooLarge(_)));
    }

    #[test]
    fn an_announced_length_allocates_next_to_nothing() {
        let mut decoder = Decoder::default();
        decoder.room().copy_from_slice(&8_388_608_u32.to_be_bytes());
        assert!(decoder.advance(4).unwrap().is_none());
        let mut arrived = 0;
        for _ in 0..4 {
            let room = decoder.room().len();
            assert!(room <= FIRST_ROOM.max(arrived), "{room} after {arrived}");
            assert!(decoder.body.capacity() <= FIRST_ROOM.max(2 * arrived));
            arrived += room;
            assert!(decoder.advance(room).unwrap().is_none());
        }
        assert!(decoder.is_inside());
    }

    #[test]
    fn a_large_frame_is_copied_a_few_times_only() {
        let mut decoder = Decoder::default();
        let length = 4 * 1024 * 1024_usize;
        let header = header(&vec![0; length]).unwrap();
        decoder.room().copy_from_slice(&header);
        decoder.advance(HEADER).unwrap();
        let (mut copied, mut arrived, mut place) = (0, 0, None);
        let frame = loop {
            let room = decoder.room();
            if place != Some(room.as_ptr().wrapping_sub(arrived)) {
                copied += arrived;
                place = Some(room.as_ptr().wrapping_sub(arrived));
            }
            let count = room.len().min(1000);
            arrived += count;
            if let Some(frame) = decoder.advance(count).unwrap() {
                break frame;
            }
        };
        assert_eq!(frame.len(), length);
        assert!(copied <= length, "{copied} bytes were copied for {length}");
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 0..4),
            pieces in prop::collection::vec(1_usize..5000, 1..8),
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|payload| encode(payload)).collect();
            prop_assert_eq!(decode(&bytes, &pieces).unwrap(), payloads);
        }

        #[test]
        fn arbitrary_bytes_harm_nobody(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            pieces in prop::collection::vec(1_usize..50, 1..8),
        ) {
            // Whatever comes out, it is no more than what went in.
            if let Ok(frames) = decode(&bytes, &pieces) {
                prop_assert!(frames.concat().len() <= bytes.len());
            }
        }
    }
}
