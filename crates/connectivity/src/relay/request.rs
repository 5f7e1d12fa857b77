//! Requests to a relay that are not answered yet. spec: data-plane 4.5

use super::message::Request;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use stun_codec::TransactionId;

/// Wait before the first retransmission; the RTO of RFC 8489 section 6.2.1.
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// How long an answer is waited for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// The same for a request that is sent because something is amiss already.
const URGENT_RTO: Duration = Duration::from_millis(500);
const URGENT_TIMEOUT: Duration = Duration::from_secs(3);

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    /// What was asked.
    pub(crate) request: Request,
    /// Which address of the relay.
    pub(crate) server: SocketAddr,
    /// Whether the relay's nonce was in it.
    pub(crate) had_nonce: bool,
    /// How often it was signed anew because the relay gave out another nonce.
    pub(crate) challenges: u8,
    /// Silence proves nothing: the network may be gone rather than the relay.
    pub(crate) urgent: bool,
    /// One id for each transmission; any of them may be answered.
    ids: Vec<TransactionId>,
    first_sent: Instant,
    interval: Duration,
    retry_at: Option<Instant>,
    give_up_at: Instant,
}

impl Pending {
    /// A request that is repeated until it is answered or 8 s are over.
    pub(crate) fn new(request: Request, server: SocketAddr, now: Instant) -> Self {
        Self {
            request,
            server,
            had_nonce: false,
            challenges: 0,
            urgent: false,
            ids: Vec::new(),
            first_sent: now,
            interval: INITIAL_RTO,
            retry_at: Some(now + INITIAL_RTO),
            give_up_at: now + REQUEST_TIMEOUT,
        }
    }

    /// A request that shows whether the relay is there, sent because a peer behind it is silent.
    pub(crate) fn urgent(request: Request, server: SocketAddr, now: Instant) -> Self {
        Self {
            urgent: true,
            interval: URGENT_RTO,
            retry_at: Some(now + URGENT_RTO),
            give_up_at: now + URGENT_TIMEOUT,
            ..Self::new(request, server, now)
        }
    }

    /// A request that is sent once and waits one second.
    pub(crate) fn once(request: Request, server: SocketAddr, now: Instant) -> Self {
        Self {
            retry_at: None,
            give_up_at: now + INITIAL_RTO,
            ..Self::new(request, server, now)
        }
    }

    /// Notes that it goes out with this id.
    pub(crate) fn sent_as(&mut self, id: TransactionId) {
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    /// The id for the next transmission, if it is to be the same as before: BINDING is repeated unchanged.
    pub(crate) fn repeated_id(&self) -> Option<TransactionId> {
        match self.request {
            Request::Binding => self.ids.first().copied(),
            _ => None,
        }
    }

    /// The same request, to be signed with another nonce: all clocks start again.
    pub(crate) fn challenged(self, now: Instant) -> Self {
        let fresh = match self.retry_at {
            Some(_) => Self::new(self.request, self.server, now),
            None => Self::once(self.request, self.server, now),
        };
        Self {
            challenges: self.challenges + 1,
            ..fresh
        }
    }

    /// Time since the first transmission.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.first_sent)
    }

    fn was_sent(&self, id: TransactionId, server: SocketAddr) -> bool {
        self.server == server && self.ids.contains(&id)
    }

    fn deadline(&self) -> Instant {
        self.retry_at
            .map_or(self.give_up_at, |at| at.min(self.give_up_at))
    }
}

/// What is due for a pending request.
#[derive(Debug)]
pub(crate) enum Due {
    /// Send it again.
    Retry(Pending),
    /// It was not answered in time.
    Expired(Pending),
}

/// All requests to one relay that are under way.
#[derive(Debug, Default)]
pub(crate) struct Outstanding(Vec<Pending>);

impl Outstanding {
    /// Adds a request.
    pub(crate) fn push(&mut self, pending: Pending) {
        self.0.push(pending);
    }

    /// The request that was sent to `server` with this id.
    pub(crate) fn get(&self, id: TransactionId, server: SocketAddr) -> Option<&Pending> {
        self.0.iter().find(|pending| pending.was_sent(id, server))
    }

    /// Takes the request that was sent to `server` with this id.
    pub(crate) fn take(&mut self, id: TransactionId, server: SocketAddr) -> Option<Pending> {
        let index = self
            .0
            .iter()
            .position(|pending| pending.was_sent(id, server))?;
        Some(self.0.remove(index))
    }

    /// Takes one request that is due; for a retry, its timers are set for the next one.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        let index = self
            .0
            .iter()
            .position(|pending| pending.deadline() <= now)?;
        let mut pending = self.0.remove(index);
        if pending.give_up_at <= now {
            return Some(Due::Expired(pending));
        }
        pending.interval = pending.interval.mul_f64(1.5);
        pending.retry_at = Some(now + pending.interval);
        Some(Due::Retry(pending))
    }

    /// When the next one needs attention.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(Pending::deadline).min()
    }

    /// Whether one of this kind is under way.
    pub(crate) fn any(&self, predicate: impl Fn(&Pending) -> bool) -> bool {
        self.0.iter().any(predicate)
    }

    /// Whether nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 3478))
    }

    #[test]
    fn requests_are_repeated_with_growing_gaps_and_given_up_after_eight_seconds() {
        let start = Instant::now();
        let mut outstanding = Outstanding::default();
        outstanding.push(Pending::new(Request::Allocate, server(), start));
        let mut sent = Vec::new();
        let given_up = loop {
            let now = outstanding.deadline().unwrap();
            match outstanding.pop_due(now).unwrap() {
                Due::Retry(pending) => {
                    sent.push((now - start).as_millis());
                    outstanding.push(pending);
                }
                Due::Expired(_) => break now - start,
            }
        };
        assert_eq!(sent, [1000, 2500, 4750]);
        assert_eq!(given_up, REQUEST_TIMEOUT);
        assert!(outstanding.is_empty());
    }

    #[test]
    fn a_single_attempt_waits_one_second() {
        let start = Instant::now();
        let mut outstanding = Outstanding::default();
        outstanding.push(Pending::once(Request::Refresh, server(), start));
        let now = outstanding.deadline().unwrap();
        assert_eq!(now - start, INITIAL_RTO);
        assert!(matches!(outstanding.pop_due(now), Some(Due::Expired(_))));
    }

    #[test]
    fn an_urgent_request_is_repeated_sooner_and_given_up_sooner() {
        let start = Instant::now();
        let mut outstanding = Outstanding::default();
        outstanding.push(Pending::urgent(Request::Binding, server(), start));
        let mut sent = Vec::new();
        while let Some(Due::Retry(pending)) = outstanding
            .deadline()
            .and_then(|now| outstanding.pop_due(now).inspect(|_| sent.push(now - start)))
        {
            outstanding.push(pending);
        }
        assert_eq!(
            sent.iter().map(Duration::as_millis).collect::<Vec<_>>(),
            [500, 1250, 2375, 3000]
        );
    }

    #[test]
    fn answers_to_any_transmission_count_if_they_come_from_the_right_server() {
        let start = Instant::now();
        let mut pending = Pending::new(Request::Allocate, server(), start);
        let [first, second] = [1, 2].map(|n| TransactionId::new([n; 12]));
        pending.sent_as(first);
        pending.sent_as(second);
        assert_eq!(pending.repeated_id(), None);
        let mut outstanding = Outstanding::default();
        outstanding.push(pending);
        let elsewhere = SocketAddr::from(([192, 0, 2, 2], 3478));
        assert!(outstanding.take(first, elsewhere).is_none());
        assert!(
            outstanding
                .take(TransactionId::new([3; 12]), server())
                .is_none()
        );
        assert!(outstanding.take(first, server()).is_some());
        assert!(outstanding.is_empty());
    }

    #[test]
    fn a_binding_keeps_its_id() {
        let mut pending = Pending::new(Request::Binding, server(), Instant::now());
        let id = TransactionId::new([1; 12]);
        pending.sent_as(id);
        pending.sent_as(id);
        assert_eq!(pending.repeated_id(), Some(id));
    }
}
