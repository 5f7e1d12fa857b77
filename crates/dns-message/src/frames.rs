//! DNS messages on a TCP connection: each behind its length, RFC 1035 section 4.2.2.

use std::collections::VecDeque;

/// Longest message with its length.
const MAX_FRAME: usize = 2 + 65_535;

/// Bytes that wait in both directions between a connection and whole messages.
///
/// The connection takes from [`Self::unsent`] and says how many by [`Self::sent`], and hands what
/// it received to [`Self::receive`], which takes no more than [`Self::room`].
///
/// ```
/// let mut here = dns_message::Frames::default();
/// let mut there = dns_message::Frames::default();
/// assert!(here.push(b"message"));
/// while !here.unsent().is_empty() {
///     let taken = there.receive(here.unsent());
///     here.sent(taken);
/// }
/// assert_eq!(there.next(), Some(b"message".to_vec()));
/// ```
#[derive(Debug, Default)]
pub struct Frames {
    received: Vec<u8>,
    /// Bytes of `received` that were handed out.
    taken: usize,
    unsent: VecDeque<u8>,
}

impl Frames {
    /// Queues a message; says whether it can be framed, which takes at most 65,535 bytes.
    #[must_use = "a message that cannot be framed is not sent"]
    #[inline]
    pub fn push(&mut self, message: &[u8]) -> bool {
        let Ok(length) = u16::try_from(message.len()) else {
            return false;
        };
        self.unsent.extend(length.to_be_bytes());
        self.unsent.extend(message);
        true
    }

    /// Bytes that the connection did not take yet.
    #[inline]
    pub fn unsent_len(&self) -> usize {
        self.unsent.len()
    }

    /// The next bytes for the connection, though perhaps not all; empty if there are none.
    #[inline]
    pub fn unsent(&self) -> &[u8] {
        self.unsent.as_slices().0
    }

    /// The connection took this many of [`Self::unsent`].
    #[inline]
    pub fn sent(&mut self, count: usize) {
        self.unsent.drain(..count.min(self.unsent.len()));
    }

    /// How many bytes [`Self::receive`] takes: what the longest message leaves free, so that what
    /// nobody takes out stays bounded.
    #[inline]
    pub fn room(&self) -> usize {
        (MAX_FRAME + self.taken).saturating_sub(self.received.len())
    }

    /// Bytes from the connection; says how many were taken.
    #[inline]
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        self.received.drain(..self.taken);
        self.taken = 0;
        self.received.extend_from_slice(&bytes[..count]);
        count
    }

    /// Whether a whole message waits.
    #[inline]
    pub fn has_message(&self) -> bool {
        self.peek().is_some()
    }

    /// The next whole message.
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would end where more may follow"
    )]
    pub fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.peek()?.to_vec();
        self.taken += 2 + message.len();
        Some(message)
    }

    #[inline]
    fn peek(&self) -> Option<&[u8]> {
        let rest = self.received.get(self.taken..)?;
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        rest.get(2..2 + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_have_their_length_in_front() {
        let mut frames = Frames::default();
        assert!(frames.push(b"abc") && frames.push(b""));
        assert_eq!(frames.unsent(), b"\0\x03abc\0\0");
        assert_eq!(frames.unsent_len(), 7);
        frames.sent(4);
        assert_eq!(frames.unsent(), b"c\0\0");
        assert!(!frames.push(&[0; 65_536]));
        assert!(frames.push(&[0; 65_535]));
    }

    #[test]
    fn no_more_than_the_longest_message_waits() {
        let mut frames = Frames::default();
        let stream = vec![0xff; 100_000];
        assert_eq!(frames.room(), MAX_FRAME);
        assert_eq!(frames.receive(&stream), MAX_FRAME);
        assert_eq!((frames.room(), frames.receive(&stream)), (0, 0));
        assert_eq!(frames.next().map(|message| message.len()), Some(65_535));
        assert_eq!(frames.room(), MAX_FRAME);
    }

    proptest! {
        #[test]
        fn messages_arrive_whole_in_any_pieces(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..10),
            pieces in proptest::collection::vec(1_usize..50, 1..20),
        ) {
            let (mut from, mut to) = (Frames::default(), Frames::default());
            for message in &messages {
                prop_assert!(from.push(message));
            }
            let mut arrived = vec![];
            let mut pieces = pieces.iter().cycle();
            while !from.unsent().is_empty() {
                let piece = from.unsent();
                let piece = &piece[..piece.len().min(*pieces.next().unwrap())];
                let taken = to.receive(piece);
                prop_assert_eq!(taken, piece.len());
                from.sent(taken);
                while to.has_message() {
                    arrived.extend(to.next());
                }
            }
            prop_assert_eq!(to.next(), None);
            prop_assert_eq!(arrived, messages);
        }
    }
}
