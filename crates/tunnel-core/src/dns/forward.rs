//! Queries that wait for an answer from a server outside the tunnel. spec: data-plane 12.5

use super::stub;
use crate::event::{DnsFailure, QueryId};
use std::{collections::BTreeMap, net::SocketAddr};

/// Queries that wait at a time. spec: data-plane 19
const MAX_PENDING: usize = 1000;

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A TCP connection to the stub resolver.
    Tcp(super::tcp::Connection),
    /// A UDP socket of a program on this host.
    Udp {
        /// The program's socket.
        from: SocketAddr,
        /// What it asked.
        sentinel: SocketAddr,
    },
}

#[derive(Debug)]
struct Pending {
    asker: Asker,
    query: Vec<u8>,
}

/// All queries under way.
#[derive(Debug, Default)]
pub(crate) struct Forwarder {
    pending: BTreeMap<QueryId, Pending>,
    next: u64,
}

impl Forwarder {
    /// Remembers a query; none if too many wait.
    pub(crate) fn begin(&mut self, asker: Asker, query: &[u8]) -> Option<QueryId> {
        if self.pending.len() >= MAX_PENDING {
            return None;
        }
        let id = QueryId(self.next);
        self.next += 1;
        self.pending.insert(
            id,
            Pending {
                asker,
                query: query.to_vec(),
            },
        );
        Some(id)
    }

    /// Who is to be told what; none for unknown queries and when silence is the answer.
    ///
    /// An answer with another id or another question counts as a failure. A query over UDP that
    /// timed out stays unanswered, so that the program asks its next server.
    pub(crate) fn finish(
        &mut self,
        id: QueryId,
        answer: Result<&[u8], DnsFailure>,
    ) -> Option<(Asker, Vec<u8>)> {
        let Pending { asker, query } = self.pending.remove(&id)?;
        let reply = match answer {
            Ok(answer) if answers(&query, answer) => answer.to_vec(),
            Err(DnsFailure::TimedOut) if matches!(asker, Asker::Udp { .. }) => return None,
            Ok(_) | Err(DnsFailure::Failed | DnsFailure::TimedOut) => stub::server_failure(&query),
        };
        Some((asker, reply))
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }
}

/// Whether a message responds to a query: same id, same question.
fn answers(query: &[u8], answer: &[u8]) -> bool {
    let is_response = answer.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let same_id = query.get(..2) == answer.get(..2);
    let same_question = match (stub::question(query), stub::question(answer)) {
        (Some(asked), Some(answered)) => asked.eq_ignore_ascii_case(answered),
        _ => false,
    };
    is_response && same_id && same_question
}
