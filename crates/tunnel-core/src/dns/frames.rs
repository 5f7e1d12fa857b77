//! DNS messages on a TCP connection: each behind its length, RFC 1035 section 4.2.2.

use smoltcp::socket::tcp::Socket;
use std::collections::VecDeque;

/// Longest message with its length.
const MAX_FRAME: usize = 2 + 65_535;

/// Bytes that wait in both directions between a socket and whole messages.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    received: Vec<u8>,
    /// Bytes of `received` that were handed out.
    taken: usize,
    unsent: VecDeque<u8>,
}

impl Frames {
    /// Bytes that the socket did not take yet.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Queues a message; says whether it can be framed.
    pub(crate) fn push(&mut self, message: &[u8]) -> bool {
        let Ok(length) = u16::try_from(message.len()) else {
            return false;
        };
        self.unsent.extend(length.to_be_bytes());
        self.unsent.extend(message);
        true
    }

    /// Hands bytes to the socket, as many as fit; says whether there were any.
    pub(crate) fn send(&mut self, socket: &mut Socket<'_>) -> bool {
        let mut any = false;
        while !self.unsent.is_empty() && socket.can_send() {
            let (head, _) = self.unsent.as_slices();
            let Ok(count) = socket.send_slice(head) else {
                break;
            };
            self.unsent.drain(..count);
            any = true;
        }
        any
    }

    /// Takes bytes from the socket, no more than the longest message has; says whether there
    /// were any.
    pub(crate) fn receive(&mut self, socket: &mut Socket<'_>) -> bool {
        let mut any = false;
        while self.received.len() - self.taken < MAX_FRAME && socket.can_recv() {
            self.received.drain(..self.taken);
            self.taken = 0;
            let room = MAX_FRAME - self.received.len();
            let count = socket.recv(|bytes| {
                let count = bytes.len().min(room);
                self.received.extend_from_slice(&bytes[..count]);
                (count, count)
            });
            any |= count.is_ok_and(|count| count > 0);
        }
        any
    }

    /// Whether a whole message waits.
    pub(crate) fn has_message(&self) -> bool {
        self.peek().is_some()
    }

    /// The next whole message.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.peek()?.to_vec();
        self.taken += 2 + message.len();
        Some(message)
    }

    fn peek(&self) -> Option<&[u8]> {
        let rest = self.received.get(self.taken..)?;
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        rest.get(2..2 + length)
    }
}
