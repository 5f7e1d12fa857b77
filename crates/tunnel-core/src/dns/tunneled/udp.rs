//! Queries over UDP, each from a port of its own.

use super::rules::{MAX_PENDING, TIMEOUT, plain};
use crate::{
    dns::{
        datagram::largest_payload,
        pending::{Answer, Pending, Unasked},
        unpredictable::{random_id, random_port},
    },
    drop_reason::DropReason,
    event::DnsFailure,
};
use ip_packet::emit_udp;
use rand_chacha::ChaCha20Rng;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

#[derive(Debug)]
struct Waiting {
    pending: Pending,
    wire_id: u16,
    place: (SocketAddr, u16),
    until: Instant,
}

/// All queries over UDP through the tunnel.
#[derive(Debug)]
pub(crate) struct UdpClient {
    /// In the order in which they time out.
    waiting: BTreeMap<u64, Waiting>,
    /// By server and our port.
    by_place: HashMap<(SocketAddr, u16), u64>,
    next: u64,
    finished: VecDeque<(Pending, Answer)>,
    rng: ChaCha20Rng,
}

impl UdpClient {
    pub(crate) fn new(rng: ChaCha20Rng) -> Self {
        Self {
            waiting: BTreeMap::new(),
            by_place: HashMap::new(),
            next: 0,
            finished: VecDeque::new(),
            rng,
        }
    }

    /// The packet that asks.
    ///
    /// # Errors
    ///
    /// Too many wait, or the query fits no packet; it comes back.
    pub(crate) fn ask(
        &mut self,
        pending: Pending,
        ours: IpAddr,
        now: Instant,
    ) -> Result<Vec<u8>, Box<Unasked>> {
        let server = plain(pending.server);
        if self.waiting.len() >= MAX_PENDING {
            return Err(Unasked::too_many(pending));
        }
        let taken = |port| self.by_place.contains_key(&(server, port));
        let Some(port) = random_port(&mut self.rng, taken) else {
            return Err(Unasked::unsendable(pending));
        };
        let fixed = pending.fixed_id();
        let wire_id = fixed.unwrap_or_else(|| random_id(&mut self.rng));
        let mut packet = vec![0; model::limits::MTU];
        let from = SocketAddr::new(ours, port);
        let message = pending.outgoing(wire_id);
        let fits = |message: &Vec<u8>| message.len() <= largest_payload(ours.is_ipv4());
        let Some(length) = message
            .filter(fits)
            .and_then(|message| emit_udp(&mut packet, from, server, &message))
        else {
            return Err(Unasked::unsendable(pending));
        };
        packet.truncate(length);
        let place = (server, port);
        self.by_place.insert(place, self.next);
        self.waiting.insert(
            self.next,
            Waiting {
                pending,
                wire_id,
                place,
                until: now + TIMEOUT,
            },
        );
        self.next += 1;
        Ok(packet)
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A datagram; says whether it came from a server to the port that asked it.
    ///
    /// # Errors
    ///
    /// It did, and is not the answer: the right one may follow.
    pub(crate) fn handle(
        &mut self,
        from: SocketAddr,
        port: u16,
        payload: &[u8],
    ) -> Result<bool, DropReason> {
        let Some(&key) = self.by_place.get(&(from, port)) else {
            return Ok(false);
        };
        let answer = self.waiting.get(&key).and_then(|waiting| {
            let pending = &waiting.pending;
            pending.restore(payload, waiting.wire_id)
        });
        self.finish(key, Ok(answer.ok_or(DropReason::UnexpectedAnswer)?));
        Ok(true)
    }

    /// A packet from this port could not be delivered; says whether it was one of ours.
    pub(crate) fn fail(&mut self, server: IpAddr, port: u16) -> bool {
        let at = |waiting: &Waiting| waiting.place.0.ip() == server && waiting.place.1 == port;
        let found = self.waiting.iter().find(|(_, waiting)| at(waiting));
        let Some((&key, _)) = found else {
            return false;
        };
        self.finish(key, Err(DnsFailure::Failed));
        true
    }

    /// Gives up what takes too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((&key, waiting)) = self.waiting.first_key_value()
            && waiting.until <= now
        {
            self.finish(key, Err(DnsFailure::TimedOut));
        }
    }

    pub(crate) fn poll_finished(&mut self) -> Option<(Pending, Answer)> {
        self.finished.pop_front()
    }

    pub(crate) fn drain(&mut self) -> Vec<Pending> {
        self.by_place.clear();
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let finished = self.finished.drain(..).map(|(pending, _)| pending);
        waiting.map(|w| w.pending).chain(finished).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let first = self.waiting.first_key_value();
        first.map(|(_, waiting)| waiting.until)
    }

    fn finish(&mut self, key: u64, answer: Answer) {
        if let Some(waiting) = self.waiting.remove(&key) {
            self.by_place.remove(&waiting.place);
            self.finished.push_back((waiting.pending, answer));
        }
    }
}
