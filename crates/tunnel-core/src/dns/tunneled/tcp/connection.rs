//! One connection to one server.

use crate::{
    dns::{
        pending::{Answer, Pending},
        stack,
        tunneled::rules::TIMEOUT,
    },
    event::DnsFailure,
};
use dns_message::Frames;
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{Socket, State},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// A connection without queries is closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A query that waits for its answer.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) pending: Pending,
    pub(crate) asked_at: Instant,
    /// It was asked before, over a connection that the server ended.
    pub(crate) is_repeated: bool,
}

impl Waiting {
    pub(crate) fn until(&self) -> Instant {
        self.asked_at + TIMEOUT
    }
}

/// How a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Open,
    /// Nobody has asked for a while.
    Idle,
    /// The other end, or the network, ended it.
    Ended,
}

/// A connection with its queries.
#[derive(Debug)]
pub(crate) struct ServerConnection {
    pub(crate) handle: SocketHandle,
    /// Our end.
    pub(crate) ours: IpAddr,
    pub(crate) port: u16,
    /// Whether the server accepted the connection.
    pub(crate) was_accepted: bool,
    frames: Frames,
    /// By the IDs that they went out with.
    waiting: BTreeMap<u16, Waiting>,
    used_at: Instant,
    /// When the server said something the last time.
    last_received: Instant,
}

impl ServerConnection {
    pub(crate) fn new(handle: SocketHandle, from: SocketAddr, now: Instant) -> Self {
        Self {
            handle,
            ours: from.ip(),
            port: from.port(),
            was_accepted: false,
            frames: Frames::default(),
            waiting: BTreeMap::new(),
            used_at: now,
            last_received: now,
        }
    }

    /// Queries that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Queues a query with an ID that no other one has, near the given one.
    ///
    /// # Errors
    ///
    /// It cannot be sent; the query comes back.
    pub(crate) fn ask(
        &mut self,
        query: Waiting,
        mut wire_id: u16,
        now: Instant,
    ) -> Result<(), Pending> {
        if let Some(fixed) = query.pending.fixed_id() {
            if self.waiting.contains_key(&fixed) {
                return Err(query.pending);
            }
            wire_id = fixed;
        }
        while self.waiting.contains_key(&wire_id) {
            wire_id = wire_id.wrapping_add(1);
        }
        let message = query.pending.outgoing(wire_id);
        if !message.is_some_and(|message| self.frames.push(&message)) {
            return Err(query.pending);
        }
        self.waiting.insert(wire_id, query);
        self.used_at = now;
        Ok(())
    }

    /// Moves bytes between socket and queries.
    pub(crate) fn advance(
        &mut self,
        socket: &mut Socket<'_>,
        finished: &mut VecDeque<(Pending, Answer)>,
        now: Instant,
    ) -> Progress {
        self.was_accepted |= socket.state() == State::Established;
        stack::send(&mut self.frames, socket);
        loop {
            let received = stack::receive(&mut self.frames, socket);
            while let Some(message) = self.frames.next() {
                (self.used_at, self.last_received) = (now, now);
                finished.extend(self.finish(&message));
            }
            if !received {
                break;
            }
        }
        match socket.state() {
            State::SynSent | State::SynReceived | State::Established => {}
            _ => return Progress::Ended,
        }
        let is_idle = self.waiting.is_empty() && now >= self.used_at + IDLE_TIMEOUT;
        if is_idle {
            Progress::Idle
        } else {
            Progress::Open
        }
    }

    /// Whether the server has said nothing since this query was asked.
    pub(crate) fn is_silent_since(&self, query: &Waiting) -> bool {
        self.last_received <= query.asked_at
    }

    /// Takes out what waited for too long.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Waiting> {
        let is_late = |_: &u16, waiting: &mut Waiting| waiting.until() <= now;
        let expired = self.waiting.extract_if(.., is_late);
        expired.map(|(_, waiting)| waiting).collect()
    }

    /// Takes out all queries, those that were asked first in front.
    pub(crate) fn take_waiting(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        let mut waiting: Vec<Waiting> = std::mem::take(&mut self.waiting).into_values().collect();
        waiting.sort_by_key(|waiting| waiting.asked_at);
        waiting.into_iter()
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Instant {
        let first = self.waiting.values().map(Waiting::until).min();
        first.unwrap_or(self.used_at + IDLE_TIMEOUT)
    }

    /// The query that a message answers, with its answer.
    fn finish(&mut self, message: &[u8]) -> Option<(Pending, Answer)> {
        let wire_id = dns_message::id(message)?;
        let Waiting { pending, .. } = self.waiting.remove(&wire_id)?;
        let restored = pending.restore(message, wire_id);
        Some((pending, restored.ok_or(DnsFailure::Failed)))
    }
}
