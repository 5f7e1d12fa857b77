//! DNS over TCP at the sentinel addresses, on a user-space TCP stack. spec: data-plane 12.2
//!
//! Sockets come and go with connections: a listening one is made when a SYN arrives, so that an
//! idle client spends no memory on buffers. Queries of one connection are answered in the order in
//! which their answers are known, RFC 7766 section 6.2.1.1.

use super::{
    datagram::PORT,
    stack::{self, Stack},
};
use dns_message::Frames;
use ip_packet::{IpPacket, Transport};
use model::SeedTree;
use smoltcp::{iface::SocketHandle, socket::tcp::State};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// Connections at a time to one sentinel.
const MAX_CONNECTIONS: usize = 10;

/// Queries of one connection that wait for answers, beyond which no more are read.
const MAX_IN_FLIGHT: usize = 64;

/// Unsent answers of one connection, in bytes, beyond which no more queries are read.
const MAX_UNSENT: usize = 256 * 1024;

/// A connection that nobody uses is closed after this time, RFC 7766 section 6.2.3.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection whose other end takes nothing ends after this time.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// One TCP connection to the stub resolver; numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Connection(u64);

struct Stream {
    handle: SocketHandle,
    sentinel: IpAddr,
    remote: SocketAddr,
    frames: Frames,
    /// Queries that were handed out and not answered yet.
    in_flight: usize,
    /// When bytes moved the last time.
    used_at: Instant,
    is_closing: bool,
}

/// All connections to all sentinels.
pub(crate) struct TcpServer {
    stack: Stack,
    streams: BTreeMap<Connection, Stream>,
    next: u64,
    deadline: Option<Instant>,
}

impl TcpServer {
    pub(crate) fn new(seed: &SeedTree, now: Instant) -> Self {
        let mut rng = seed.stream("sequence numbers of DNS over TCP");
        Self {
            stack: Stack::new(&mut rng, now),
            streams: BTreeMap::new(),
            next: 0,
            deadline: None,
        }
    }

    /// Whether a segment belongs to a connection that exists.
    pub(crate) fn knows(&self, packet: &IpPacket<&[u8]>) -> bool {
        let remote = remote(packet);
        let sentinel = packet.destination();
        let mut streams = self.streams.values();
        streams.any(|s| s.sentinel == sentinel && Some(s.remote) == remote)
    }

    /// A TCP segment to port 53 of a sentinel.
    pub(crate) fn handle_packet(&mut self, packet: &IpPacket<&[u8]>, now: Instant) {
        if packet.tcp_syn_sequence().is_some() {
            self.listen(packet, now);
        }
        self.stack.receive(packet);
    }

    /// Moves segments and bytes, and drops connections that have ended.
    pub(crate) fn poll(&mut self, now: Instant) {
        self.stack.poll(now);
        let stack = &mut self.stack;
        self.streams.retain(|_, stream| {
            let lives = stream.advance(stack, now);
            if !lives {
                stack.remove(stream.handle);
            }
            lives
        });
        self.stack.poll(now);
        let timers = self.streams.values().map(Stream::deadline);
        self.deadline = timers.chain(self.stack.deadline(now)).min();
    }

    /// A query with the connection and the sentinel it came to; each must be answered once.
    pub(crate) fn next_query(&mut self) -> Option<(Connection, IpAddr, Vec<u8>)> {
        self.streams.iter_mut().find_map(|(&connection, stream)| {
            if !stream.may_ask() {
                return None;
            }
            let message = stream.frames.next()?;
            stream.in_flight += 1;
            Some((connection, stream.sentinel, message))
        })
    }

    /// Answers a query; the connection may be gone.
    pub(crate) fn reply(&mut self, connection: Connection, message: &[u8]) {
        let Some(stream) = self.streams.get_mut(&connection) else {
            return;
        };
        stream.in_flight = stream.in_flight.saturating_sub(1);
        if !stream.frames.push(message) {
            self.abort(connection);
        }
    }

    /// Resets a connection.
    pub(crate) fn abort(&mut self, connection: Connection) {
        if let Some(stream) = self.streams.get(&connection) {
            self.stack.socket(stream.handle).abort();
        }
    }

    /// Resets all connections.
    pub(crate) fn reset(&mut self, now: Instant) {
        for stream in self.streams.values() {
            self.stack.socket(stream.handle).abort();
        }
        self.poll(now);
    }

    /// A packet for the TUN device.
    pub(crate) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.stack.poll_packet()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Makes a socket for a connection that is about to begin.
    fn listen(&mut self, packet: &IpPacket<&[u8]>, now: Instant) {
        let (sentinel, Some(remote)) = (packet.destination(), remote(packet)) else {
            return;
        };
        if !self.make_room(sentinel, remote, now) {
            return;
        }
        let at = SocketAddr::new(sentinel, PORT);
        let Some(handle) = self.stack.listen(at, STALL_TIMEOUT) else {
            return;
        };
        let stream = Stream {
            handle,
            sentinel,
            remote,
            frames: Frames::default(),
            in_flight: 0,
            used_at: now,
            is_closing: false,
        };
        self.streams.insert(Connection(self.next), stream);
        self.next += 1;
    }

    /// Whether another connection may begin: the one that was idle for the longest time gives
    /// way to it.
    fn make_room(&mut self, sentinel: IpAddr, remote: SocketAddr, now: Instant) -> bool {
        let of_sentinel = |(_, stream): &(&Connection, &Stream)| stream.sentinel == sentinel;
        let mut streams = self.streams.iter().filter(of_sentinel);
        if let Some((&connection, stream)) = streams.find(|(_, s)| s.remote == remote) {
            // The port is used anew: what is left of the old connection is in the way.
            if self.stack.socket(stream.handle).state() != State::TimeWait {
                return false;
            }
            self.abort(connection);
            self.poll(now);
        }
        let streams = self.streams.iter().filter(of_sentinel);
        if streams.clone().count() < MAX_CONNECTIONS {
            return true;
        }
        let idle = streams.filter(|(_, stream)| stream.is_idle());
        let Some((&connection, _)) = idle.min_by_key(|(_, stream)| stream.used_at) else {
            return false;
        };
        self.abort(connection);
        self.poll(now);
        true
    }
}

impl Stream {
    /// Moves bytes; says whether the connection goes on.
    fn advance(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let socket = stack.socket(self.handle);
        let sent = stack::send(&mut self.frames, socket);
        let received = self.is_read() && stack::receive(&mut self.frames, socket);
        if sent || received {
            self.used_at = now;
        }
        let unused = now.saturating_duration_since(self.used_at);
        // The other end has nothing more to ask and got everything, or nobody says anything.
        let is_done = socket.state() == State::CloseWait && !self.frames.has_message();
        if self.is_idle() && (is_done || unused >= IDLE_TIMEOUT) {
            socket.close();
            self.is_closing = true;
        }
        if unused >= STALL_TIMEOUT {
            socket.abort();
        }
        socket.state() != State::Closed
    }

    /// Whether more may be read: a program that takes no answers is not read from.
    fn is_read(&self) -> bool {
        self.in_flight < MAX_IN_FLIGHT && self.frames.unsent_len() < MAX_UNSENT
    }

    fn may_ask(&self) -> bool {
        self.is_read() && !self.is_closing
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.frames.unsent_len() == 0
    }

    fn deadline(&self) -> Instant {
        match self.is_idle() && !self.is_closing {
            true => self.used_at + IDLE_TIMEOUT,
            false => self.used_at + STALL_TIMEOUT,
        }
    }
}

fn remote(packet: &IpPacket<&[u8]>) -> Option<SocketAddr> {
    match packet.transport() {
        Transport::Tcp { source, .. } => Some(SocketAddr::new(packet.source(), source)),
        _ => None,
    }
}
