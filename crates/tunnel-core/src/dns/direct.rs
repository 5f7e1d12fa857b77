//! Queries to servers outside the tunnel, which are reached directly. spec: data-plane 12.5

use super::{
    pending::{Answer, Pending, Unasked},
    unpredictable::random_id,
};
use crate::event::{DnsAccess, DnsFailure, DnsQuery, QueryId};
use model::SeedTree;
use rand_chacha::ChaCha20Rng;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Queries that wait at a time. spec: data-plane 19
const MAX_PENDING: usize = 1000;

/// How long a query waits. Whoever asks for us gives up earlier and says so; one whose end nobody
/// tells must not keep its place.
const TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug)]
struct Waiting {
    pending: Pending,
    /// The ID that it went out with.
    wire_id: u16,
    until: Instant,
}

/// All direct queries in flight.
#[derive(Debug)]
pub(crate) struct DirectQueries {
    /// In the order in which they time out.
    pending: BTreeMap<QueryId, Waiting>,
    queries: VecDeque<DnsQuery>,
    next: u64,
    rng: ChaCha20Rng,
}

impl DirectQueries {
    pub(crate) fn new(seed: &SeedTree) -> Self {
        Self {
            pending: BTreeMap::new(),
            queries: VecDeque::new(),
            next: 0,
            rng: seed.stream("numbers of DNS queries outside"),
        }
    }

    /// Sends a query on its way.
    ///
    /// # Errors
    ///
    /// Too many wait, or it cannot be sent; the query comes back.
    pub(crate) fn ask(
        &mut self,
        pending: Pending,
        access: DnsAccess,
        now: Instant,
    ) -> Result<(), Box<Unasked>> {
        if self.pending.len() >= MAX_PENDING {
            return Err(Unasked::too_many(pending));
        }
        let fixed = pending.fixed_id();
        let wire_id = fixed.unwrap_or_else(|| random_id(&mut self.rng));
        let Some(message) = pending.outgoing(wire_id) else {
            return Err(Unasked::unsendable(pending));
        };
        let id = QueryId(self.next);
        self.next += 1;
        self.queries.push_back(DnsQuery {
            id,
            server: pending.server,
            transport: pending.requestor.transport(),
            access,
            message,
        });
        let until = now + TIMEOUT;
        let waiting = Waiting {
            pending,
            wire_id,
            until,
        };
        self.pending.insert(id, waiting);
        Ok(())
    }

    /// What became of a query; none if it is unknown.
    ///
    /// An answer with another ID or another question counts as a failure.
    pub(crate) fn finish(
        &mut self,
        id: QueryId,
        answer: Result<&[u8], DnsFailure>,
    ) -> Option<(Pending, Answer)> {
        let Waiting {
            pending, wire_id, ..
        } = self.pending.remove(&id)?;
        let answer = answer.and_then(|answer| {
            let restored = pending.restore(answer, wire_id);
            restored.ok_or(DnsFailure::Failed)
        });
        Some((pending, answer))
    }

    pub(crate) fn poll_query(&mut self) -> Option<DnsQuery> {
        self.queries.pop_front()
    }

    /// Takes out what waited for too long.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Pending> {
        let mut expired = vec![];
        while let Some(oldest) = self.pending.first_entry()
            && oldest.get().until <= now
        {
            expired.push(oldest.remove().pending);
        }
        expired
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (_, oldest) = self.pending.first_key_value()?;
        Some(oldest.until)
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Takes out all queries.
    pub(crate) fn drain(&mut self) -> Vec<Pending> {
        self.queries.clear();
        let pending = std::mem::take(&mut self.pending).into_values();
        pending.map(|waiting| waiting.pending).collect()
    }
}
