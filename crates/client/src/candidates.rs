//! Addresses of ours that gateways are yet to hear of, or to forget.

use model::{Candidate, GatewayId};
use std::collections::BTreeMap;
use tunnel_core::PortalRequest;

/// Addresses that wait for one gateway; more than it would use, and more than a host has.
const MAX_CHANGES: usize = 256;

/// What a gateway is yet to be told of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It leads to us.
    Added,
    /// It leads to us again, and may lead another way than before.
    Restored,
    /// It no longer leads to us.
    Removed,
}

/// The changes that are not told yet: of each address the latest one, however long the portal is
/// away. When too many wait for a gateway, addresses that are gone are forgotten first: it will
/// notice that they lead nowhere.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Candidates {
    /// The addresses of each gateway in the order in which they first changed.
    changes: BTreeMap<GatewayId, Vec<(Candidate, Change)>>,
}

impl Candidates {
    /// These addresses lead to us.
    pub(crate) fn add(&mut self, gateway: GatewayId, candidates: Vec<Candidate>) {
        let changes = self.changes.entry(gateway).or_default();
        for candidate in candidates {
            match position(changes, &candidate) {
                None => push(changes, candidate, Change::Added),
                Some(place) if changes[place].1 == Change::Removed => {
                    changes[place].1 = Change::Restored;
                }
                Some(_) => {}
            }
        }
    }

    /// These addresses no longer lead to us.
    pub(crate) fn remove(&mut self, gateway: GatewayId, candidates: Vec<Candidate>) {
        let changes = self.changes.entry(gateway).or_default();
        for candidate in candidates {
            match position(changes, &candidate) {
                None => push(changes, candidate, Change::Removed),
                Some(place) => changes[place].1 = Change::Removed,
            }
        }
    }

    /// Adds what changed later.
    pub(crate) fn extend(&mut self, later: Self) {
        for (gateway, changes) in later.changes {
            for (candidate, change) in changes {
                if change != Change::Added {
                    self.remove(gateway, vec![candidate.clone()]);
                }
                if change != Change::Removed {
                    self.add(gateway, vec![candidate]);
                }
            }
        }
    }

    /// Takes all of it as messages: what is withdrawn comes first.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = PortalRequest> + use<> {
        let changes = std::mem::take(&mut self.changes);
        changes.into_iter().flat_map(|(gateway, changes)| {
            let of = |is_wanted: fn(Change) -> bool| -> Vec<Candidate> {
                let wanted = changes.iter().filter(|(_, change)| is_wanted(*change));
                wanted.map(|(candidate, _)| candidate.clone()).collect()
            };
            let removed = PortalRequest::RemoveCandidates {
                gateway,
                candidates: of(|change| change != Change::Added),
            };
            let added = PortalRequest::AddCandidates {
                gateway,
                candidates: of(|change| change != Change::Removed),
            };
            [removed, added].into_iter().filter(is_worth_telling)
        })
    }
}

fn position(changes: &[(Candidate, Change)], candidate: &Candidate) -> Option<usize> {
    changes.iter().position(|(known, _)| known == candidate)
}

fn push(changes: &mut Vec<(Candidate, Change)>, candidate: Candidate, change: Change) {
    if changes.len() >= MAX_CHANGES {
        let gone = changes.iter().position(|(_, of)| *of == Change::Removed);
        changes.remove(gone.unwrap_or(0));
    }
    changes.push((candidate, change));
}

fn is_worth_telling(request: &PortalRequest) -> bool {
    match request {
        PortalRequest::AddCandidates { candidates, .. }
        | PortalRequest::RemoveCandidates { candidates, .. } => !candidates.is_empty(),
        PortalRequest::CreateFlow { .. } | PortalRequest::Reconnect => true,
    }
}

#[cfg(test)]
mod tests;
