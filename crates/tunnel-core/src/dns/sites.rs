//! Queries for a site that no gateway is authorized for yet. spec: data-plane 11, 12.5

use super::pending::{Pending, Unasked};
use model::ResourceId;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Queries that wait for one resource.
const MAX_PER_RESOURCE: usize = 128;

/// Queries that wait for all resources.
const MAX_WAITING: usize = 1024;

/// How long a query waits.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Waiting {
    pending: Pending,
    is_v4: bool,
    until: Instant,
}

/// Queries that wait for an authorization.
#[derive(Debug, Default)]
pub(crate) struct SiteQueries {
    by_resource: BTreeMap<ResourceId, VecDeque<Waiting>>,
    count: usize,
    wanted: VecDeque<ResourceId>,
}

impl SiteQueries {
    /// Keeps a query and wants the resource authorized; `is_v4` is the family in which the
    /// gateway is to be asked.
    ///
    /// # Errors
    ///
    /// Too many wait; the query comes back.
    pub(crate) fn hold(
        &mut self,
        resource: ResourceId,
        pending: Pending,
        is_v4: bool,
        now: Instant,
    ) -> Result<(), Box<Unasked>> {
        let of_resource = self.by_resource.get(&resource).map_or(0, VecDeque::len);
        if of_resource >= MAX_PER_RESOURCE || self.count >= MAX_WAITING {
            return Err(Unasked::too_many(pending));
        }
        self.count += 1;
        let waiting = self.by_resource.entry(resource).or_default();
        waiting.push_back(Waiting {
            pending,
            is_v4,
            until: now + TIMEOUT,
        });
        self.want(resource);
        Ok(())
    }

    /// Wants a resource authorized.
    pub(crate) fn want(&mut self, resource: ResourceId) {
        if !self.wanted.contains(&resource) {
            self.wanted.push_back(resource);
        }
    }

    /// A resource that has to be authorized.
    pub(crate) fn poll_wanted(&mut self) -> Option<ResourceId> {
        self.wanted.pop_front()
    }

    /// Takes out what waited for a resource, in the order of arrival.
    pub(crate) fn release(&mut self, resource: ResourceId) -> Vec<(Pending, bool)> {
        let waiting = self.by_resource.remove(&resource).unwrap_or_default();
        self.count -= waiting.len();
        waiting.into_iter().map(|w| (w.pending, w.is_v4)).collect()
    }

    /// Takes out what waited for too long.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Pending> {
        let mut expired = vec![];
        self.by_resource.retain(|_, waiting| {
            while waiting.front().is_some_and(|first| first.until <= now) {
                expired.extend(waiting.pop_front().map(|waiting| waiting.pending));
            }
            !waiting.is_empty()
        });
        self.count -= expired.len();
        expired
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.count
    }

    /// Takes out all queries.
    pub(crate) fn drain(&mut self) -> Vec<Pending> {
        let waiting = std::mem::take(self).by_resource.into_values().flatten();
        waiting.map(|waiting| waiting.pending).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let first = |waiting: &VecDeque<Waiting>| waiting.front().map(|first| first.until);
        self.by_resource.values().filter_map(first).min()
    }
}
