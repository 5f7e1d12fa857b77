//! Queries over TCP: one connection to each server, for all queries, RFC 7766 section 6.2.1.

mod connection;

use super::rules::{MAX_PENDING, plain};
use crate::{
    dns::{
        pending::{Answer, Pending, Unasked},
        stack::Stack,
        unpredictable::{random_id, random_port},
    },
    event::DnsFailure,
};
use connection::{Progress, ServerConnection, Waiting};
use ip_packet::IpPacket;
use rand_chacha::ChaCha20Rng;
use smoltcp::iface::SocketHandle;
use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// A connection on which nothing arrives is given up after this time; queries end before.
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// Connections that end while others may begin.
const MAX_CLOSING: usize = 64;

/// A connection without queries that waits for its end.
#[derive(Debug)]
struct Closing {
    server: SocketAddr,
    port: u16,
    handle: SocketHandle,
}

/// All queries over TCP through the tunnel.
pub(crate) struct TcpClient {
    stack: Stack,
    connections: BTreeMap<SocketAddr, ServerConnection>,
    closing: VecDeque<Closing>,
    finished: VecDeque<(Pending, Answer)>,
    rng: ChaCha20Rng,
    deadline: Option<Instant>,
}

impl TcpClient {
    pub(crate) fn new(mut rng: ChaCha20Rng, now: Instant) -> Self {
        Self {
            stack: Stack::new(&mut rng, now),
            connections: BTreeMap::new(),
            closing: VecDeque::new(),
            finished: VecDeque::new(),
            rng,
            deadline: None,
        }
    }

    /// Asks over the server's connection, which is made if there is none.
    ///
    /// # Errors
    ///
    /// Too many wait, or there is no way to connect; the query comes back.
    pub(crate) fn ask(
        &mut self,
        pending: Pending,
        ours: IpAddr,
        now: Instant,
    ) -> Result<(), Box<Unasked>> {
        if self.waiting() >= MAX_PENDING {
            return Err(Unasked::too_many(pending));
        }
        let query = Waiting {
            pending,
            asked_at: now,
            is_repeated: false,
        };
        let asked = self.send(query, ours, now);
        self.poll(now);
        asked.map_err(Unasked::unsendable)
    }

    /// Queries that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.connections
            .values()
            .map(ServerConnection::waiting)
            .sum()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.closing.is_empty()
    }

    /// Whether a segment belongs to one of our connections.
    pub(crate) fn knows(&self, from: SocketAddr, port: u16) -> bool {
        let is_open = self
            .connections
            .get(&from)
            .is_some_and(|connection| connection.port == port);
        let ends = |closing: &Closing| closing.server == from && closing.port == port;
        is_open || self.closing.iter().any(ends)
    }

    /// A segment of one of our connections.
    pub(crate) fn handle_packet(&mut self, packet: &IpPacket<&[u8]>, now: Instant) {
        self.stack.receive(packet);
        self.poll(now);
    }

    /// A segment from this port could not be delivered; says whether it was one of ours.
    pub(crate) fn fail(&mut self, server: IpAddr, port: u16, now: Instant) -> bool {
        let at = |(address, connection): &(&SocketAddr, &ServerConnection)| {
            address.ip() == server && connection.port == port
        };
        let Some((&server, _)) = self.connections.iter().find(at) else {
            return false;
        };
        if let Some(mut connection) = self.connections.remove(&server) {
            self.close(server, &connection, true);
            let waiting = connection.take_waiting();
            self.give_up(waiting, DnsFailure::Failed);
        }
        self.poll(now);
        true
    }

    /// Moves segments and bytes, gives up what takes too long, asks again what a server that
    /// hung up left unanswered.
    pub(crate) fn poll(&mut self, now: Instant) {
        self.stack.poll(now);
        let servers: Vec<SocketAddr> = self.connections.keys().copied().collect();
        for server in servers {
            self.advance(server, now);
        }
        self.stack.poll(now);
        let stack = &mut self.stack;
        self.closing.retain(|closing| {
            let is_open = stack.socket(closing.handle).is_open();
            if !is_open {
                stack.remove(closing.handle);
            }
            is_open
        });
        let timers = self.connections.values().map(ServerConnection::deadline);
        self.deadline = timers.chain(self.stack.deadline(now)).min();
    }

    pub(crate) fn poll_finished(&mut self) -> Option<(Pending, Answer)> {
        self.finished.pop_front()
    }

    pub(crate) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.stack.poll_packet()
    }

    pub(crate) fn drain(&mut self) -> Vec<Pending> {
        let mut queries = vec![];
        while let Some((_, mut connection)) = self.connections.pop_first() {
            self.stack.remove(connection.handle);
            queries.extend(connection.take_waiting().map(|waiting| waiting.pending));
        }
        while let Some(closing) = self.closing.pop_front() {
            self.stack.remove(closing.handle);
        }
        while self.stack.poll_packet().is_some() {}
        queries.extend(self.finished.drain(..).map(|(pending, _)| pending));
        self.deadline = None;
        queries
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn send(&mut self, query: Waiting, ours: IpAddr, now: Instant) -> Result<(), Pending> {
        let server = plain(query.pending.server);
        if !self.connections.contains_key(&server) {
            let closing = &self.closing;
            let is_taken = |port| closing.iter().any(|c| (c.server, c.port) == (server, port));
            let Some(port) = random_port(&mut self.rng, is_taken) else {
                return Err(query.pending);
            };
            let from = SocketAddr::new(ours, port);
            let Ok(handle) = self.stack.connect(from, server, DEAD_AFTER) else {
                return Err(query.pending);
            };
            self.connections
                .insert(server, ServerConnection::new(handle, from, now));
        }
        let wire_id = random_id(&mut self.rng);
        match self.connections.get_mut(&server) {
            Some(connection) => connection.ask(query, wire_id, now),
            None => Err(query.pending),
        }
    }

    fn advance(&mut self, server: SocketAddr, now: Instant) {
        let Some(connection) = self.connections.get_mut(&server) else {
            return;
        };
        let socket = self.stack.socket(connection.handle);
        let progress = connection.advance(socket, &mut self.finished, now);
        let expired = connection.expire(now);
        let is_dead = expired
            .iter()
            .any(|query| connection.is_silent_since(query));
        self.give_up(expired.into_iter(), DnsFailure::TimedOut);
        match progress {
            Progress::Open if !is_dead => {}
            Progress::Idle => {
                if let Some(connection) = self.connections.remove(&server) {
                    self.close(server, &connection, false);
                }
            }
            Progress::Open | Progress::Ended => self.reconnect(server, now),
        }
    }

    /// The server ended a connection: what it did not answer is asked once more, if it had
    /// accepted the connection at all.
    fn reconnect(&mut self, server: SocketAddr, now: Instant) {
        let Some(mut connection) = self.connections.remove(&server) else {
            return;
        };
        self.close(server, &connection, true);
        let (ours, was_accepted) = (connection.ours, connection.was_accepted);
        for mut query in connection.take_waiting() {
            if query.is_repeated || !was_accepted {
                self.finished
                    .push_back((query.pending, Err(DnsFailure::Failed)));
                continue;
            }
            query.is_repeated = true;
            if let Err(pending) = self.send(query, ours, now) {
                self.finished.push_back((pending, Err(DnsFailure::Failed)));
            }
        }
    }

    /// Ends a connection, by a reset or in peace.
    fn close(&mut self, server: SocketAddr, connection: &ServerConnection, reset: bool) {
        let socket = self.stack.socket(connection.handle);
        match reset {
            true => socket.abort(),
            false => socket.close(),
        }
        if self.closing.len() >= MAX_CLOSING
            && let Some(oldest) = self.closing.pop_front()
        {
            self.stack.remove(oldest.handle);
        }
        self.closing.push_back(Closing {
            server,
            port: connection.port,
            handle: connection.handle,
        });
    }

    fn give_up(&mut self, queries: impl Iterator<Item = Waiting>, failure: DnsFailure) {
        let failed = queries.map(|query| (query.pending, Err(failure)));
        self.finished.extend(failed);
    }
}
