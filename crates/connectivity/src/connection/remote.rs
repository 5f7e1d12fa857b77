//! What we know of the addresses of a peer. spec: data-plane 2.9

use model::{Candidate, CandidateKind};
use std::{collections::BTreeSet, net::SocketAddr};

/// Most candidates of one peer that are looked at.
const MAX_CANDIDATES: usize = 100;
/// Most guessed candidates that one new candidate leads to.
const MAX_GUESSES: usize = 2;

/// The candidates a peer signalled.
#[derive(Debug, Default)]
pub(crate) struct RemoteCandidates {
    known: Vec<Candidate>,
    guessed: BTreeSet<SocketAddr>,
}

impl RemoteCandidates {
    /// Takes in a candidate. `None` if there are too many already; else what it leads us to guess.
    ///
    /// A static port forward on a NAT that hides ports otherwise keeps the host's own port, so
    /// reflexive IPs and host ports are combined. IPv4 only: there are no such NATs for IPv6.
    pub(crate) fn add(&mut self, candidate: &Candidate) -> Option<Vec<Candidate>> {
        if self.find(candidate).is_some() {
            return Some(Vec::new());
        }
        if self.known.len() >= MAX_CANDIDATES {
            return None;
        }
        let mut guesses = self.guesses(candidate);
        guesses.retain(|guess| {
            !self
                .known
                .iter()
                .any(|known| known.address == guess.address)
                && guess.address != candidate.address
        });
        guesses.retain(|guess| {
            self.guessed.len() < MAX_CANDIDATES && self.guessed.insert(guess.address)
        });
        self.known.push(candidate.clone());
        Some(guesses)
    }

    /// Whether a candidate is known.
    pub(crate) fn contains(&self, candidate: &Candidate) -> bool {
        self.find(candidate).is_some()
    }

    /// Whether the peer signalled this address, or we guessed it.
    pub(crate) fn has_address(&self, address: SocketAddr) -> bool {
        self.guessed.contains(&address) || self.known.iter().any(|known| known.address == address)
    }

    /// Forgets a candidate, and the guesses that rested on it. `None` if it was not known.
    pub(crate) fn remove(&mut self, candidate: &Candidate) -> Option<Vec<SocketAddr>> {
        let index = self.find(candidate)?;
        let removed = self.known.remove(index);
        let ip = removed.address.ip();
        let still_reflexive = self
            .known
            .iter()
            .any(|known| is_reflexive(known) && known.address.ip() == ip);
        if !is_reflexive(&removed) || still_reflexive {
            return Some(Vec::new());
        }
        let orphaned: Vec<_> = self
            .guessed
            .iter()
            .filter(|guess| guess.ip() == ip)
            .copied()
            .collect();
        self.guessed.retain(|guess| guess.ip() != ip);
        Some(orphaned)
    }

    /// Addresses that a relay needs a permission for before it forwards from there (RFC 8656 section 9):
    /// all but the peer's own.
    pub(crate) fn needing_permission(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.known
            .iter()
            .filter(|candidate| candidate.kind != CandidateKind::Host)
            .map(|candidate| candidate.address)
    }

    fn find(&self, candidate: &Candidate) -> Option<usize> {
        self.known
            .iter()
            .position(|known| known.address == candidate.address && known.kind == candidate.kind)
    }

    fn guesses(&self, candidate: &Candidate) -> Vec<Candidate> {
        let pairs = self.known.iter().filter_map(|known| match candidate.kind {
            CandidateKind::ServerReflexive => Some((candidate, known)),
            CandidateKind::Host => Some((known, candidate)),
            CandidateKind::PeerReflexive | CandidateKind::Relay => None,
        });
        pairs
            .filter(|(reflexive, host)| {
                is_reflexive(reflexive)
                    && host.kind == CandidateKind::Host
                    && reflexive.address.is_ipv4()
                    && host.address.is_ipv4()
            })
            .map(|(reflexive, host)| Candidate {
                address: SocketAddr::new(reflexive.address.ip(), host.address.port()),
                ..reflexive.clone()
            })
            .take(MAX_GUESSES)
            .collect()
    }
}

fn is_reflexive(candidate: &Candidate) -> bool {
    candidate.kind == CandidateKind::ServerReflexive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(text: &str) -> Candidate {
        format!("candidate:1 1 udp 100 {text}").parse().unwrap()
    }

    fn addresses(candidates: Option<Vec<Candidate>>) -> Vec<String> {
        let candidates = candidates.into_iter().flatten();
        candidates.map(|c| c.address.to_string()).collect()
    }

    #[test]
    fn reflexive_addresses_and_host_ports_combine_in_any_order() {
        let host = candidate("192.168.1.1 52625 typ host");
        let reflexive = candidate("203.0.113.7 40000 typ srflx raddr 0.0.0.0 rport 0");
        for pair in [[&host, &reflexive], [&reflexive, &host]] {
            let mut remote = RemoteCandidates::default();
            assert!(addresses(remote.add(pair[0])).is_empty());
            assert_eq!(addresses(remote.add(pair[1])), ["203.0.113.7:52625"]);
            assert!(addresses(remote.add(pair[1])).is_empty(), "known by now");
        }
    }

    #[test]
    fn nothing_is_guessed_for_ipv6_or_for_what_is_known() {
        let mut remote = RemoteCandidates::default();
        remote.add(&candidate("2001:db8::1 52625 typ host"));
        let reflexive = candidate("2001:db8::2 1 typ srflx raddr :: rport 0");
        assert!(addresses(remote.add(&reflexive)).is_empty());
        remote.add(&candidate("192.168.1.1 52625 typ host"));
        let same_port = candidate("203.0.113.7 52625 typ srflx raddr 0.0.0.0 rport 0");
        assert!(addresses(remote.add(&same_port)).is_empty());
    }

    #[test]
    fn guesses_are_bounded() {
        let mut remote = RemoteCandidates::default();
        for port in 1..=90 {
            remote.add(&candidate(&format!("192.168.1.1 {port} typ host")));
        }
        let reflexive = candidate("203.0.113.7 40000 typ srflx raddr 0.0.0.0 rport 0");
        assert_eq!(addresses(remote.add(&reflexive)).len(), MAX_GUESSES);
        for port in 100..200 {
            remote.add(&candidate(&format!("192.168.1.1 {port} typ host")));
        }
        assert_eq!(remote.known.len(), MAX_CANDIDATES);
        assert_eq!(remote.add(&candidate("192.168.1.1 300 typ host")), None);
    }

    #[test]
    fn guesses_go_with_the_reflexive_address_they_rest_on() {
        let mut remote = RemoteCandidates::default();
        remote.add(&candidate("192.168.1.1 52625 typ host"));
        let reflexive = candidate("203.0.113.7 40000 typ srflx raddr 0.0.0.0 rport 0");
        remote.add(&reflexive);
        let orphaned = remote.remove(&reflexive).unwrap();
        assert_eq!(orphaned, ["203.0.113.7:52625".parse().unwrap()]);
        assert_eq!(remote.remove(&reflexive), None, "gone already");
    }

    #[test]
    fn what_is_removed_is_unknown_and_its_guesses_stay_with_another_of_its_address() {
        let mut remote = RemoteCandidates::default();
        let reflexive = |port: u16| {
            candidate(&format!(
                "203.0.113.7 {port} typ srflx raddr 0.0.0.0 rport 0"
            ))
        };
        let host = candidate("203.0.113.7 9 typ host");
        for known in [
            &candidate("192.168.1.1 52625 typ host"),
            &reflexive(1),
            &reflexive(2),
            &host,
        ] {
            remote.add(known);
            assert!(remote.contains(known));
        }
        assert_eq!(remote.remove(&reflexive(1)), Some(vec![]), "one is left");
        assert!(!remote.contains(&reflexive(1)) && remote.contains(&reflexive(2)));
        // What is at the same address without a NAT is no reason for a guess.
        let orphaned = remote.remove(&reflexive(2)).unwrap();
        assert!(orphaned.contains(&"203.0.113.7:52625".parse().unwrap()));
        assert_eq!(remote.remove(&host), Some(vec![]));
    }

    #[test]
    fn relays_have_to_open_up_for_everything_but_hosts() {
        let mut remote = RemoteCandidates::default();
        remote.add(&candidate("192.168.1.1 1 typ host"));
        remote.add(&candidate("203.0.113.7 2 typ srflx raddr 0.0.0.0 rport 0"));
        remote.add(&candidate("203.0.113.9 3 typ relay raddr 0.0.0.0 rport 0"));
        remote.add(&candidate("203.0.113.8 4 typ prflx raddr 0.0.0.0 rport 0"));
        let ports: Vec<_> = remote
            .needing_permission()
            .map(|address| address.port())
            .collect();
        assert_eq!(ports, [2, 3, 4]);
    }
}
