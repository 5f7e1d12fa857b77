//! Outgoing datagrams, collected into batches that one system call can send. spec: data-plane 18.2

use crate::Ecn;
use model::limits::CHANNEL_HEADER;
use std::{collections::VecDeque, fmt, net::SocketAddr, slice::Chunks};

/// Most datagrams in one batch: what Linux accepts in one segmented send.
const MAX_SEGMENTS: usize = 64;
/// Most bytes in one batch of data.
const MAX_BYTES: usize = 65_000;
/// Most bytes in one batch of control messages.
const MAX_CONTROL_BYTES: usize = 4096;
/// Room behind the last datagram that a writer may use and give back.
const SLACK: usize = 256;
/// How many buffers of one size wait for use.
const MAX_POOLED: usize = 64;
/// How many of the newest batches are searched for one to append to.
const MAX_SEARCH: usize = 16;

/// One or more equally sized datagrams for one path; the last one may be shorter.
///
/// Maps onto one send with segmentation offload. Give it back through
/// [`Connectivity::recycle`](crate::Connectivity::recycle) once it is sent.
pub struct Transmit {
    /// The local address to send from; `None` leaves the choice to the kernel.
    pub source: Option<SocketAddr>,
    /// Where to.
    pub destination: SocketAddr,
    /// ECN bits for the IP header.
    pub ecn: Ecn,
    /// Size in bytes of each datagram but the last.
    pub segment_size: usize,
    buffer: Vec<u8>,
    length: usize,
    open: bool,
}

impl Transmit {
    /// All datagrams, one behind the other.
    pub fn payload(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// The datagrams one by one.
    pub fn segments(&self) -> Chunks<'_, u8> {
        self.payload().chunks(self.segment_size)
    }

    fn route(&self) -> Route {
        Route {
            source: self.source,
            destination: self.destination,
            ecn: self.ecn,
        }
    }

    /// Whether a datagram of this length can go behind the others.
    fn has_room(&self, length: usize) -> bool {
        self.open
            && length <= self.segment_size
            && self.length + length + SLACK <= self.buffer.len()
    }

    fn commit(&mut self, length: usize) {
        self.length += length;
        // Only the last datagram of a batch may be shorter.
        self.open = length == self.segment_size && self.length < MAX_SEGMENTS * self.segment_size;
    }
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit")
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("ecn", &self.ecn)
            .field("segment_size", &self.segment_size)
            .field("length", &self.length)
            .finish()
    }
}

/// What datagrams of one batch have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) source: Option<SocketAddr>,
    pub(crate) destination: SocketAddr,
    pub(crate) ecn: Ecn,
}

impl Route {
    /// A route for control messages, which never take part in ECN.
    pub(crate) const fn control(source: Option<SocketAddr>, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
            ecn: Ecn::NotEct,
        }
    }
}

/// The datagrams that wait for the caller, oldest first.
///
/// Order is kept for each route: a datagram only ever joins the newest batch of its route.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    batches: VecDeque<Transmit>,
    data_buffers: Vec<Vec<u8>>,
    control_buffers: Vec<Vec<u8>>,
}

impl SendQueue {
    /// Appends a control message.
    pub(crate) fn push(&mut self, route: Route, message: &[u8]) {
        self.push_parts(route, &[], message);
    }

    /// Appends a control message that goes through a channel of a relay.
    pub(crate) fn push_to_channel(
        &mut self,
        route: Route,
        header: [u8; CHANNEL_HEADER],
        message: &[u8],
    ) {
        self.push_parts(route, &header, message);
    }

    fn push_parts(&mut self, route: Route, header: &[u8], message: &[u8]) {
        let length = header.len() + message.len();
        let batch = self.open_batch(route, length, MAX_CONTROL_BYTES);
        let room = &mut batch.buffer[batch.length..][..length];
        room[..header.len()].copy_from_slice(header);
        room[header.len()..].copy_from_slice(message);
        batch.commit(length);
    }

    /// Lets `writer` write a datagram of `length` bytes in place.
    ///
    /// The writer sees up to 256 bytes more than it asked for. It returns whether the datagram is
    /// to be kept; if not, the room is given back.
    pub(crate) fn write<T>(
        &mut self,
        route: Route,
        length: usize,
        writer: impl FnOnce(&mut [u8]) -> (bool, T),
    ) -> T {
        let batch = self.open_batch(route, length, MAX_BYTES);
        let (keep, result) = writer(&mut batch.buffer[batch.length..][..length + SLACK]);
        if keep {
            batch.commit(length);
        } else if let Some(batch) = self.batches.pop_back_if(|batch| batch.length == 0) {
            self.recycle(batch);
        }
        result
    }

    /// The oldest batch.
    pub(crate) fn pop(&mut self) -> Option<Transmit> {
        self.batches.pop_front()
    }

    /// Takes back the buffer of a batch.
    pub(crate) fn recycle(&mut self, batch: Transmit) {
        let pool = match batch.buffer.len() {
            size if size == MAX_BYTES + SLACK => &mut self.data_buffers,
            size if size == MAX_CONTROL_BYTES + SLACK => &mut self.control_buffers,
            _ => return,
        };
        if pool.len() < MAX_POOLED {
            pool.push(batch.buffer);
        }
    }

    /// Forgets everything that waits; how many datagrams that were.
    pub(crate) fn clear(&mut self) -> usize {
        let mut forgotten = 0;
        while let Some(batch) = self.batches.pop_front() {
            forgotten += batch.segments().count();
            self.recycle(batch);
        }
        forgotten
    }

    /// The batch that takes a datagram of this length: the newest of the route, or a new one.
    fn open_batch(&mut self, route: Route, length: usize, size: usize) -> &mut Transmit {
        let newest = self
            .batches
            .iter()
            .rev()
            .take(MAX_SEARCH)
            .position(|batch| batch.route() == route)
            .map(|from_back| self.batches.len() - 1 - from_back)
            .filter(|&index| self.batches[index].has_room(length));
        let index = newest.unwrap_or_else(|| {
            let buffer = self.take_buffer(size.max(length));
            self.batches.push_back(Transmit {
                source: route.source,
                destination: route.destination,
                ecn: route.ecn,
                segment_size: length,
                buffer,
                length: 0,
                open: true,
            });
            self.batches.len() - 1
        });
        &mut self.batches[index]
    }

    fn take_buffer(&mut self, size: usize) -> Vec<u8> {
        let pooled = match size {
            MAX_BYTES => self.data_buffers.pop(),
            MAX_CONTROL_BYTES => self.control_buffers.pop(),
            _ => None,
        };
        pooled.unwrap_or_else(|| vec![0; size + SLACK])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::limits::MAX_UDP_PAYLOAD;

    fn route(port: u16) -> Route {
        Route {
            source: None,
            destination: SocketAddr::from(([192, 0, 2, 1], port)),
            ecn: Ecn::NotEct,
        }
    }

    fn write(queue: &mut SendQueue, route: Route, length: usize, fill: u8) {
        queue.write(route, length, |room| {
            room[..length].fill(fill);
            (true, ())
        });
    }

    fn shapes(queue: &mut SendQueue) -> Vec<(u16, usize, usize)> {
        std::iter::from_fn(|| queue.pop())
            .map(|batch| {
                let port = batch.destination.port();
                (port, batch.segment_size, batch.payload().len())
            })
            .collect()
    }

    #[test]
    fn equal_datagrams_share_a_batch() {
        let mut queue = SendQueue::default();
        for fill in 0..3 {
            write(&mut queue, route(1), 100, fill);
        }
        let batch = queue.pop().unwrap();
        let segments: Vec<_> = batch.segments().collect();
        assert_eq!(segments, [&[0; 100], &[1; 100], &[2; 100]]);
        assert!(queue.pop().is_none());
    }

    #[test]
    fn buffers_are_used_again_for_what_they_are_large_enough_for() {
        let mut queue = SendQueue::default();
        let mut buffers = vec![];
        for size in [MAX_CONTROL_BYTES, MAX_BYTES, MAX_CONTROL_BYTES, MAX_BYTES] {
            queue.open_batch(route(1), 20, size).commit(20);
            let batch = queue.pop().unwrap();
            assert_eq!(batch.buffer.len(), size + SLACK);
            buffers.push(batch.buffer.as_ptr());
            queue.recycle(batch);
        }
        assert_eq!(buffers[..2], buffers[2..]);
    }

    #[test]
    fn a_shorter_datagram_ends_its_batch() {
        let mut queue = SendQueue::default();
        for length in [100, 100, 40, 40, 100] {
            write(&mut queue, route(1), length, 0);
        }
        assert_eq!(
            shapes(&mut queue),
            [(1, 100, 240), (1, 40, 40), (1, 100, 100)]
        );
    }

    #[test]
    fn routes_do_not_mix_and_keep_their_order() {
        let mut queue = SendQueue::default();
        for (port, length) in [(1, 100), (2, 100), (1, 100), (1, 120), (1, 100), (2, 50)] {
            write(&mut queue, route(port), length, 0);
        }
        let marked = Route {
            ecn: Ecn::Ce,
            ..route(1)
        };
        write(&mut queue, marked, 100, 0);
        assert_eq!(
            shapes(&mut queue),
            [(1, 100, 200), (2, 100, 150), (1, 120, 220), (1, 100, 100)]
        );
    }

    #[test]
    fn batches_are_bounded_in_segments_and_bytes() {
        let mut queue = SendQueue::default();
        for _ in 0..MAX_SEGMENTS + 1 {
            write(&mut queue, route(1), 100, 0);
        }
        assert_eq!(shapes(&mut queue), [(1, 100, 6400), (1, 100, 100)]);

        for _ in 0..MAX_SEGMENTS {
            write(&mut queue, route(1), MAX_UDP_PAYLOAD, 0);
        }
        let shapes = shapes(&mut queue);
        let segments = shapes.iter().map(|shape| shape.2 / MAX_UDP_PAYLOAD);
        assert_eq!(segments.sum::<usize>(), MAX_SEGMENTS);
        assert!(shapes.iter().all(|shape| shape.2 <= MAX_BYTES));
    }

    #[test]
    fn refused_datagrams_leave_no_trace() {
        let mut queue = SendQueue::default();
        assert_eq!(queue.write(route(1), 100, |_| (false, 7)), 7);
        assert!(queue.pop().is_none());
        write(&mut queue, route(1), 100, 1);
        queue.write(route(1), 100, |room| (false, room.fill(9)));
        write(&mut queue, route(1), 100, 2);
        let batch = queue.pop().unwrap();
        assert_eq!(batch.segments().map(|s| s[0]).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn control_messages_and_data_keep_their_order_on_a_route() {
        let mut queue = SendQueue::default();
        queue.push(route(1), &[1; 60]);
        queue.push_to_channel(route(1), [0x40, 0, 0, 2], &[2; 2]);
        write(&mut queue, route(1), 1316, 3);
        assert_eq!(shapes(&mut queue), [(1, 60, 66), (1, 1316, 1316)]);
    }

    #[test]
    fn recycled_buffers_are_used_again_and_bounded() {
        let mut queue = SendQueue::default();
        write(&mut queue, route(1), 100, 1);
        let batch = queue.pop().unwrap();
        let address = batch.buffer.as_ptr();
        queue.recycle(batch);
        write(&mut queue, route(2), 100, 1);
        assert_eq!(queue.pop().unwrap().buffer.as_ptr(), address);

        for port in 0..100 {
            write(&mut queue, route(port), 100, 1);
        }
        assert_eq!(queue.clear(), 100);
        assert!(queue.pop().is_none());
        assert_eq!(queue.data_buffers.len(), MAX_POOLED);
    }
}
