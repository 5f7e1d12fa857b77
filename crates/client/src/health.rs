//! Which DNS servers answer, and what the operator is told about it.
//!
//! A time-out counts only if the server answered nothing since that query was asked: a busy server
//! that loses some queries is not silent.

use std::{collections::BTreeMap, net::SocketAddr};
use tunnel_core::DnsFailure;

/// Time-outs in a row after which a server counts as silent.
const SILENT: u8 = 3;

/// Queries that a silent server gets at a time: enough to notice that it is back, too few to take
/// the room of others.
const TRIALS: u16 = 32;

/// Servers that are remembered.
const MAX_SERVERS: usize = 512;

/// The servers that were asked.
#[derive(Debug, Default)]
pub(crate) struct Health(BTreeMap<SocketAddr, Server>);

#[derive(Debug, Default)]
struct Server {
    under_way: u16,
    timeouts: u8,
    // Queries so far, and how many there were when the last answer came.
    asked: u64,
    asked_at_answer: u64,
}

/// A query in the order of those to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn(u64);

impl Health {
    /// Counts a query in; none if it would be in vain.
    pub(crate) fn admit(&mut self, address: SocketAddr) -> Option<Turn> {
        if self.0.len() >= MAX_SERVERS && !self.0.contains_key(&address) {
            self.0.retain(|_, server| server.under_way > 0);
            if self.0.len() >= MAX_SERVERS {
                return None;
            }
        }
        let server = self.0.entry(address).or_default();
        if server.timeouts >= SILENT && server.under_way >= TRIALS {
            return None;
        }
        server.under_way = server.under_way.saturating_add(1);
        server.asked += 1;
        Some(Turn(server.asked))
    }

    /// Counts a query out. Tells the operator when a server falls silent or is back.
    pub(crate) fn on_outcome(
        &mut self,
        address: SocketAddr,
        turn: Turn,
        failure: Option<DnsFailure>,
    ) {
        // Unknown since everything was forgotten.
        let Some(server) = self.0.get_mut(&address) else {
            return;
        };
        server.under_way = server.under_way.saturating_sub(1);
        match failure {
            Some(DnsFailure::TimedOut) if turn.0 <= server.asked_at_answer => {}
            Some(DnsFailure::TimedOut) => {
                server.timeouts = server.timeouts.saturating_add(1);
                if server.timeouts == SILENT {
                    tracing::debug!(server = %address, "This DNS server does not answer");
                    tracing::warn!("A DNS server does not answer, `status` lists them");
                }
            }
            // Neither silent nor healthy.
            Some(DnsFailure::Failed) => {}
            None => {
                if server.timeouts >= SILENT {
                    tracing::debug!(server = %address, "This DNS server answers again");
                    tracing::info!("A DNS server answers again");
                }
                server.timeouts = 0;
                server.asked_at_answer = server.asked;
            }
        }
    }

    /// Starts anew: other servers, or another network.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::logged;

    const TIMED_OUT: Option<DnsFailure> = Some(DnsFailure::TimedOut);

    fn server(last: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], last))
    }

    fn outcomes(health: &mut Health, outcomes: &[Option<DnsFailure>]) {
        for &outcome in outcomes {
            let turn = health.admit(server(1)).unwrap();
            health.on_outcome(server(1), turn, outcome);
        }
    }

    #[test]
    fn silence_and_return_are_told_once() {
        let mut health = Health::default();
        let quiet = [TIMED_OUT, TIMED_OUT, None, TIMED_OUT, TIMED_OUT];
        assert_eq!(logged(|| outcomes(&mut health, &quiet)), "");
        let log = logged(|| outcomes(&mut health, &[TIMED_OUT; 100]));
        assert_eq!(log.matches("does not answer").count(), 1, "{log}");
        assert!(log.contains("WARN") && log.contains("status"), "{log}");
        assert!(!log.contains("192.0.2.1"), "addresses are for DEBUG: {log}");
        let failed = Some(DnsFailure::Failed);
        assert_eq!(logged(|| outcomes(&mut health, &[failed, failed])), "");
        let log = logged(|| outcomes(&mut health, &[None, None]));
        assert_eq!(log.matches("answers again").count(), 1, "{log}");
        assert!(log.contains("INFO"), "{log}");
    }

    #[test]
    fn a_busy_server_that_loses_queries_is_not_silent() {
        let mut health = Health::default();
        let lost: Vec<Turn> = (0..100).filter_map(|_| health.admit(server(1))).collect();
        let log = logged(|| {
            outcomes(&mut health, &[None]);
            for turn in lost {
                health.on_outcome(server(1), turn, TIMED_OUT);
            }
        });
        assert_eq!(log, "");
        assert!((0..500).all(|_| health.admit(server(1)).is_some()));
    }

    #[test]
    fn a_silent_server_leaves_room_for_others() {
        let mut health = Health::default();
        // Nobody knows yet that it is silent.
        let turns: Vec<Turn> = (0..500).filter_map(|_| health.admit(server(1))).collect();
        assert_eq!(turns.len(), 500);
        for turn in turns {
            health.on_outcome(server(1), turn, TIMED_OUT);
        }
        let admitted: Vec<Turn> = (0..500).filter_map(|_| health.admit(server(1))).collect();
        assert_eq!(admitted.len(), usize::from(TRIALS));
        assert!(health.admit(server(2)).is_some());
        health.on_outcome(server(1), admitted[0], None);
        assert!((0..500).all(|_| health.admit(server(1)).is_some()));
    }

    #[test]
    fn servers_are_bounded_and_idle_ones_make_room() {
        let mut health = Health::default();
        for number in 0..=u16::MAX {
            let turn = health.admit(server(number)).unwrap();
            health.on_outcome(server(number), turn, TIMED_OUT);
        }
        assert!(health.0.len() <= MAX_SERVERS);
        health.forget();
        let all = (0..=u16::MAX).filter_map(|number| health.admit(server(number)));
        assert_eq!(all.count(), MAX_SERVERS);
    }

    #[test]
    fn late_outcomes_of_forgotten_queries_count_nothing() {
        let mut health = Health::default();
        let turn = health.admit(server(1)).unwrap();
        health.forget();
        health.on_outcome(server(1), turn, TIMED_OUT);
        assert!(health.0.is_empty());
    }
}
