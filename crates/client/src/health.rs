//! Which DNS servers answer, and what the operator is told about it.

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
}

impl Health {
    /// Counts a query in; `false` if it would be in vain.
    pub(crate) fn admits(&mut self, address: SocketAddr) -> bool {
        if self.0.len() >= MAX_SERVERS && !self.0.contains_key(&address) {
            self.0.retain(|_, server| server.under_way > 0);
            if self.0.len() >= MAX_SERVERS {
                return false;
            }
        }
        let server = self.0.entry(address).or_default();
        let is_in_vain = server.timeouts >= SILENT && server.under_way >= TRIALS;
        if !is_in_vain {
            server.under_way = server.under_way.saturating_add(1);
        }
        !is_in_vain
    }

    /// Counts a query out. Tells the operator when a server falls silent or is back.
    pub(crate) fn on_outcome(&mut self, address: SocketAddr, failure: Option<DnsFailure>) {
        // Unknown since everything was forgotten.
        let Some(server) = self.0.get_mut(&address) else {
            return;
        };
        server.under_way = server.under_way.saturating_sub(1);
        match failure {
            Some(DnsFailure::TimedOut) => {
                server.timeouts = server.timeouts.saturating_add(1);
                if server.timeouts == SILENT {
                    tracing::warn!(server = %address, "A DNS server does not answer");
                }
            }
            // Neither silent nor healthy.
            Some(DnsFailure::Failed) => {}
            None => {
                if server.timeouts >= SILENT {
                    tracing::info!(server = %address, "A DNS server answers again");
                }
                server.timeouts = 0;
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
            assert!(health.admits(server(1)));
            health.on_outcome(server(1), outcome);
        }
    }

    #[test]
    fn silence_and_return_are_told_once() {
        let mut health = Health::default();
        let quiet = [TIMED_OUT, TIMED_OUT, None, TIMED_OUT, TIMED_OUT];
        assert_eq!(logged(|| outcomes(&mut health, &quiet)), "");
        let log = logged(|| outcomes(&mut health, &[TIMED_OUT; 100]));
        assert_eq!(log.matches("does not answer").count(), 1, "{log}");
        assert!(log.contains("WARN") && log.contains("192.0.2.1:1"), "{log}");
        let failed = Some(DnsFailure::Failed);
        assert_eq!(logged(|| outcomes(&mut health, &[failed, failed])), "");
        let log = logged(|| outcomes(&mut health, &[None, None]));
        assert_eq!(log.matches("answers again").count(), 1, "{log}");
        assert!(log.contains("INFO"), "{log}");
    }

    #[test]
    fn a_silent_server_leaves_room_for_others() {
        let mut health = Health::default();
        for _ in 0..500 {
            assert!(health.admits(server(1)), "nobody knows that it is silent");
        }
        for _ in 0..500 {
            health.on_outcome(server(1), TIMED_OUT);
        }
        let admitted = (0..500).filter(|_| health.admits(server(1))).count();
        assert_eq!(admitted, usize::from(TRIALS));
        assert!(health.admits(server(2)));
        health.on_outcome(server(1), None);
        assert!((0..500).all(|_| health.admits(server(1))));
    }

    #[test]
    fn servers_are_bounded_and_idle_ones_make_room() {
        let mut health = Health::default();
        for number in 0..=u16::MAX {
            assert!(health.admits(server(number)));
            health.on_outcome(server(number), TIMED_OUT);
        }
        assert!(health.0.len() <= MAX_SERVERS);
        health.forget();
        let busy = (0..=u16::MAX).filter(|&n| health.admits(server(n))).count();
        assert_eq!(busy, MAX_SERVERS);
    }

    #[test]
    fn late_outcomes_of_forgotten_queries_count_nothing() {
        let mut health = Health::default();
        assert!(health.admits(server(1)));
        health.forget();
        health.on_outcome(server(1), TIMED_OUT);
        assert!(health.0.is_empty());
    }
}
