//! Hosts, address translation and links.

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// How the router in front of a host translates addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Nat {
    /// Not at all.
    None,
    /// One public port per private one; strangers are not let in.
    #[default]
    Cone,
    /// A public port per destination.
    Symmetric,
}

/// A host, by the order of its addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(usize);

/// A datagram that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where.
    pub host: HostId,
    /// At which of its sockets.
    pub local: SocketAddr,
    /// Whom it seems to come from.
    pub remote: SocketAddr,
    /// What it holds.
    pub payload: Vec<u8>,
}

#[derive(Debug)]
struct Host {
    private: Vec<IpAddr>,
    public: IpAddr,
    nat: Nat,
    /// Public ports by private socket and, for symmetric translation, destination.
    mappings: BTreeMap<(SocketAddr, Option<SocketAddr>), u16>,
    /// Who was spoken to from a public port.
    permitted: BTreeSet<(u16, SocketAddr)>,
    next_port: u16,
}

#[derive(Debug, PartialEq, Eq)]
struct InFlight {
    at: Instant,
    order: u64,
    from: SocketAddr,
    to: SocketAddr,
    payload: Vec<u8>,
}

impl Ord for InFlight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The heap gives the greatest first: that is the earliest.
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// All hosts and what is on its way between them.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    flights: BinaryHeap<InFlight>,
    order: u64,
    latency: Duration,
    /// Lost datagrams per thousand.
    loss: u32,
    blocked: BTreeSet<(HostId, HostId)>,
    rng: ChaCha20Rng,
}

impl Network {
    /// A network without hosts; every datagram takes this long, and this many of a thousand are
    /// lost.
    pub fn new(latency: Duration, loss_per_thousand: u32, rng: ChaCha20Rng) -> Self {
        let (hosts, flights) = (vec![], BinaryHeap::new());
        let (order, blocked) = (0, BTreeSet::new());
        Self {
            hosts,
            flights,
            order,
            latency,
            loss: loss_per_thousand,
            blocked,
            rng,
        }
    }

    /// Adds a host; behind a translation only `public` is seen by others.
    pub fn add(&mut self, private: Vec<IpAddr>, public: IpAddr, nat: Nat) -> HostId {
        let (mappings, permitted) = (BTreeMap::new(), BTreeSet::new());
        self.hosts.push(Host {
            private,
            public,
            nat,
            mappings,
            permitted,
            next_port: 20_000,
        });
        HostId(self.hosts.len() - 1)
    }

    /// Drops whatever two hosts send each other directly, from now on.
    pub fn block(&mut self, a: HostId, b: HostId) {
        self.blocked.insert((a, b));
        self.blocked.insert((b, a));
    }

    /// Forgets all translations of a host's router.
    pub fn forget_mappings(&mut self, host: HostId) {
        self.hosts[host.0].mappings.clear();
        self.hosts[host.0].permitted.clear();
    }

    /// The first address of a host that has this family.
    pub fn address(&self, host: HostId, is_v4: bool) -> Option<IpAddr> {
        self.hosts[host.0]
            .private
            .iter()
            .copied()
            .find(|address| address.is_ipv4() == is_v4)
    }

    /// Sends a datagram from a socket of a host.
    pub fn send(
        &mut self,
        host: HostId,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) {
        if self.rng.next_u32() % 1000 < self.loss {
            return;
        }
        let from = self.hosts[host.0].translate(from, to);
        self.order += 1;
        let (at, order, payload) = (now + self.latency, self.order, payload.to_vec());
        self.flights.push(InFlight {
            at,
            order,
            from,
            to,
            payload,
        });
    }

    /// When the next datagram arrives.
    pub fn deadline(&self) -> Option<Instant> {
        self.flights.peek().map(|flight| flight.at)
    }

    /// The next datagram that has arrived; those that nobody takes are gone.
    pub fn receive(&mut self, now: Instant) -> Option<Received> {
        while self.deadline().is_some_and(|at| at <= now) {
            let flight = self.flights.pop()?;
            if let Some(received) = self.deliver(flight) {
                return Some(received);
            }
        }
        None
    }

    fn deliver(&self, flight: InFlight) -> Option<Received> {
        let InFlight {
            from, to, payload, ..
        } = flight;
        let (index, host) = self
            .hosts
            .iter()
            .enumerate()
            .find(|(_, host)| host.answers(to.ip()))?;
        let sender = self.hosts.iter().position(|host| host.answers(from.ip()));
        if sender.is_some_and(|sender| self.blocked.contains(&(HostId(sender), HostId(index)))) {
            return None;
        }
        let local = host.translate_back(to, from)?;
        Some(Received {
            host: HostId(index),
            local,
            remote: from,
            payload,
        })
    }
}

impl Host {
    /// Whether datagrams to an address come to this host or its router.
    fn answers(&self, address: IpAddr) -> bool {
        match self.nat {
            Nat::None => self.private.contains(&address),
            Nat::Cone | Nat::Symmetric => self.public == address,
        }
    }

    fn translate(&mut self, from: SocketAddr, to: SocketAddr) -> SocketAddr {
        let key = match self.nat {
            Nat::None => return from,
            Nat::Cone => (from, None),
            Nat::Symmetric => (from, Some(to)),
        };
        let next = &mut self.next_port;
        let port = *self.mappings.entry(key).or_insert_with(|| {
            *next += 1;
            *next
        });
        self.permitted.insert((port, to));
        SocketAddr::new(self.public, port)
    }

    fn translate_back(&self, to: SocketAddr, from: SocketAddr) -> Option<SocketAddr> {
        if self.nat == Nat::None {
            return Some(to);
        }
        if !self.permitted.contains(&(to.port(), from)) {
            return None;
        }
        let mapped = |((private, destination), port): (&(SocketAddr, Option<SocketAddr>), &u16)| {
            let reaches = destination.is_none_or(|destination| destination == from);
            (*port == to.port() && reaches).then_some(*private)
        };
        self.mappings.iter().find_map(mapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Seed, SeedTree};

    fn network(loss: u32) -> Network {
        let rng = SeedTree::new(Seed::from_bytes([1; 32])).stream("test");
        Network::new(Duration::from_millis(10), loss, rng)
    }

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Sends from a host behind a translation to two servers, which answer, and from a stranger.
    fn ports_seen(nat: Nat) -> (Vec<u16>, Vec<SocketAddr>) {
        let mut network = network(0);
        let public = "203.0.113.1".parse().unwrap();
        let host = network.add(vec!["10.0.0.1".parse().unwrap()], public, nat);
        let servers: Vec<HostId> = ["198.51.100.1", "198.51.100.2"]
            .map(|a| a.parse().unwrap())
            .map(|a| network.add(vec![a], a, Nat::None))
            .into();
        let now = Instant::now();
        for server in ["198.51.100.1:1", "198.51.100.2:1"] {
            network.send(host, socket("10.0.0.1:500"), socket(server), b"hi", now);
        }
        assert_eq!(network.receive(now), None);
        let later = now + Duration::from_millis(10);
        let seen: Vec<Received> = std::iter::from_fn(|| network.receive(later)).collect();
        for received in &seen {
            network.send(received.host, received.local, received.remote, b"yo", later);
            let stranger = socket("198.51.100.1:999");
            network.send(servers[0], stranger, received.remote, b"stranger", later);
        }
        let last = later + Duration::from_millis(10);
        let answers = std::iter::from_fn(|| network.receive(last)).map(|r| {
            assert_eq!(r.payload, b"yo");
            r.local
        });
        (
            seen.iter().map(|r| r.remote.port()).collect(),
            answers.collect(),
        )
    }

    #[test]
    fn translations_differ_in_ports_and_keep_strangers_out() {
        let inside = socket("10.0.0.1:500");
        let (ports, answers) = ports_seen(Nat::Cone);
        assert_eq!(ports[0], ports[1]);
        assert_eq!(answers, [inside, inside]);
        let (ports, answers) = ports_seen(Nat::Symmetric);
        assert_ne!(ports[0], ports[1]);
        assert_eq!(answers, [inside, inside]);
    }

    #[test]
    fn losses_have_the_given_share() {
        let mut network = network(300);
        let a: IpAddr = "198.51.100.1".parse().unwrap();
        let host = network.add(vec![a], a, Nat::None);
        let (now, to) = (Instant::now(), SocketAddr::new(a, 1));
        for _ in 0..1000 {
            network.send(host, to, to, b"x", now);
        }
        let later = now + Duration::from_secs(1);
        let arrived = std::iter::from_fn(|| network.receive(later)).count();
        assert!((600..800).contains(&arrived), "{arrived}");
    }
}
