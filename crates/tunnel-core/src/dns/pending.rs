//! Queries that wait for an answer: who asked, and what.

use super::{datagram::largest_payload, tcp::Connection};
use crate::{
    drop_reason::DropReason,
    event::{DnsFailure, DnsTransport},
};
use dns_message::{HEADER, Query, Response, compose_forwarded, set_id};
use std::{collections::HashSet, net::SocketAddr};

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requestor {
    /// A TCP connection to the stub resolver.
    Tcp(Connection),
    /// A UDP socket of a program on this host.
    Udp {
        /// The program's socket.
        from: SocketAddr,
        /// What it asked.
        sentinel: SocketAddr,
    },
}

impl Requestor {
    /// Queries go on the way they came.
    pub(crate) fn transport(self) -> DnsTransport {
        match self {
            Self::Tcp(_) => DnsTransport::Tcp,
            Self::Udp { .. } => DnsTransport::Udp,
        }
    }

    /// Largest answer that can be handed on, in bytes.
    pub(crate) fn limit(self, query: &Query<'_>) -> usize {
        match self {
            Self::Tcp(_) => usize::from(u16::MAX),
            Self::Udp { from, .. } => query.reply_limit(largest_payload(from.is_ipv4())),
        }
    }
}

/// A query that is under way to a server.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) requestor: Requestor,
    pub(crate) server: SocketAddr,
    /// Which state of the cache the answer belongs to.
    pub(crate) epoch: u64,
    query: Box<[u8]>,
}

/// A query that cannot be asked.
#[derive(Debug)]
pub(crate) struct Unasked {
    pub(crate) pending: Pending,
    /// Why.
    pub(crate) reason: DropReason,
}

impl Unasked {
    /// As many as may wait do so already.
    pub(crate) fn too_many(pending: Pending) -> Box<Self> {
        let reason = DropReason::TooManyQueries;
        Box::new(Self { pending, reason })
    }

    /// There is no way to send it.
    pub(crate) fn unsendable(pending: Pending) -> Box<Self> {
        let reason = DropReason::UnsendableQuery;
        Box::new(Self { pending, reason })
    }
}

/// What became of a query.
pub(crate) type Answer = Result<Vec<u8>, DnsFailure>;

impl Pending {
    pub(crate) fn new(
        requestor: Requestor,
        query: &Query<'_>,
        server: SocketAddr,
        epoch: u64,
    ) -> Self {
        let query = query.bytes().into();
        Self {
            requestor,
            server,
            epoch,
            query,
        }
    }

    /// What was asked.
    pub(crate) fn query(&self) -> Option<Query<'_>> {
        Query::parse(&self.query).ok()
    }

    /// The message for the server.
    pub(crate) fn outgoing(&self, wire_id: u16) -> Option<Vec<u8>> {
        let query = self.query()?;
        let limit = match self.requestor {
            Requestor::Tcp(_) => None,
            Requestor::Udp { .. } => {
                let largest = largest_payload(self.server.is_ipv4());
                Some(self.requestor.limit(&query).min(largest))
            }
        };
        Some(compose_forwarded(&query, wire_id, limit))
    }

    /// The answer as the requestor is to see it, with the ID and the letter case of its own query;
    /// none if the message does not answer the query.
    pub(crate) fn restore(&self, answer: &[u8], wire_id: u16) -> Option<Vec<u8>> {
        let query = self.query()?;
        let response = Response::parse(answer).ok()?;
        if !response.answers(&query, wire_id) {
            return None;
        }
        let mut restored = answer.to_vec();
        set_id(&mut restored, query.id());
        let question = query.question();
        restored[HEADER..HEADER + question.len()].copy_from_slice(question);
        Some(restored)
    }

    /// The ID with which the query has to go out, if any one does not do: a signature covers that
    /// of the requestor.
    pub(crate) fn fixed_id(&self) -> Option<u16> {
        let query = self.query().filter(Query::is_signed)?;
        Some(query.id())
    }
}

/// Queries over UDP that are in flight, so that a repeated one does not go out again.
#[derive(Debug, Default)]
pub(crate) struct InFlight(HashSet<(SocketAddr, SocketAddr, Box<[u8]>)>);

impl InFlight {
    /// Whether the query is new.
    pub(crate) fn begin(&mut self, requestor: Requestor, query: &Query<'_>) -> bool {
        key(requestor, query).is_none_or(|key| self.0.insert(key))
    }

    pub(crate) fn end(&mut self, requestor: Requestor, query: &Query<'_>) {
        if let Some(key) = key(requestor, query) {
            self.0.remove(&key);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

fn key(requestor: Requestor, query: &Query<'_>) -> Option<(SocketAddr, SocketAddr, Box<[u8]>)> {
    let Requestor::Udp { from, sentinel } = requestor else {
        return None;
    };
    let question = [&query.bytes()[..2], query.question()].concat();
    Some((from, sentinel, question.into()))
}
