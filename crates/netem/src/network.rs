//! Hosts, their links, the NATs in front of them, and what is on its way.

use crate::{DropReason, Ecn, Link, LinkConfig, Nat, NatConfig};
use model::{DropCounters, SeedTree};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    fmt,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;

/// A host, by the order of its addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(usize);

/// A NAT, by the order of its addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NatId(usize);

/// A UDP datagram as a host sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The socket it is sent from: an address of the host.
    pub from: SocketAddr,
    /// Where to.
    pub to: SocketAddr,
    /// ECN bits of its IP header; the network leaves them alone.
    pub ecn: Ecn,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A UDP datagram that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where.
    pub host: HostId,
    /// At which of its sockets.
    pub local: SocketAddr,
    /// Whom it seems to come from.
    pub remote: SocketAddr,
    /// ECN bits of its IP header.
    pub ecn: Ecn,
    /// What it carries.
    pub payload: Vec<u8>,
}

#[derive(Debug)]
struct Host {
    addresses: Vec<IpAddr>,
    nat: Option<NatId>,
    uplink: Link,
    downlink: Link,
}

/// Where a datagram is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// It has left the uplink of a host; the datagram is as others see it.
    Core(HostId, Datagram),
    /// It has left the downlink of its destination.
    Arrived(Received),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Flight {
    at: Instant,
    /// Counts up; what was sent first comes first.
    order: u64,
    stage: Stage,
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Says whether a datagram from the first to the second address is lost in the core.
type Cut = Box<dyn FnMut(SocketAddr, SocketAddr) -> bool>;

/// Hosts, NATs, links, and the datagrams between them.
pub struct Network {
    hosts: Vec<Host>,
    nats: Vec<Nat>,
    flights: BinaryHeap<Reverse<Flight>>,
    order: u64,
    blocked: BTreeSet<(HostId, HostId)>,
    cut: Option<Cut>,
    drops: DropCounters<DropReason>,
    seeds: SeedTree,
}

impl Network {
    /// A network without hosts.
    pub fn new(seeds: SeedTree) -> Self {
        Self {
            hosts: Vec::new(),
            nats: Vec::new(),
            flights: BinaryHeap::new(),
            order: 0,
            blocked: BTreeSet::new(),
            cut: None,
            drops: DropCounters::default(),
            seeds,
        }
    }

    /// Adds a NAT with this external address. It translates this family only.
    pub fn add_nat(&mut self, external: IpAddr, config: NatConfig) -> NatId {
        let id = NatId(self.nats.len());
        let rng = self.seeds.stream(&format!("nat {}", id.0));
        self.nats.push(Nat::new(external, config, rng));
        id
    }

    /// Adds a host with ideal links. Addresses of the family that `nat` translates are seen only by
    /// hosts behind the same NAT, which they reach without being translated.
    pub fn add_host(&mut self, addresses: Vec<IpAddr>, nat: Option<NatId>) -> HostId {
        let id = HostId(self.hosts.len());
        let link = |direction: &str| {
            let rng = self.seeds.stream(&format!("{direction} {}", id.0));
            Link::new(LinkConfig::IDEAL, rng)
        };
        self.hosts.push(Host {
            addresses,
            nat,
            uplink: link("uplink"),
            downlink: link("downlink"),
        });
        id
    }

    /// Gives a host another address.
    pub fn add_address(&mut self, host: HostId, address: IpAddr) {
        self.hosts[host.0].addresses.push(address);
    }

    /// Changes the way from a host to the core, for what is sent from then on.
    pub fn set_uplink(&mut self, host: HostId, config: LinkConfig) {
        self.hosts[host.0].uplink.configure(config);
    }

    /// Changes the way from the core to a host, for what is sent from then on.
    pub fn set_downlink(&mut self, host: HostId, config: LinkConfig) {
        self.hosts[host.0].downlink.configure(config);
    }

    /// Changes the uplinks of all hosts.
    pub fn set_uplinks(&mut self, config: LinkConfig) {
        for host in &mut self.hosts {
            host.uplink.configure(config);
        }
    }

    /// Drops what two hosts send each other directly, from then on.
    pub fn block(&mut self, a: HostId, b: HostId) {
        self.blocked.extend([(a, b), (b, a)]);
    }

    /// Drops in the core what this function selects by source and destination, which are external
    /// addresses. It takes the place of the one before.
    pub fn cut(&mut self, cut: impl FnMut(SocketAddr, SocketAddr) -> bool + 'static) {
        self.cut = Some(Box::new(cut));
    }

    /// Undoes [`Self::cut`].
    pub fn heal(&mut self) {
        self.cut = None;
    }

    /// Has the NAT of a host, if there is one, forget all its mappings.
    pub fn forget_mappings(&mut self, host: HostId) {
        if let Some(nat) = self.hosts[host.0].nat {
            self.nats[nat.0].forget();
        }
    }

    /// The first address of a host that has this family.
    pub fn address(&self, host: HostId, is_v4: bool) -> Option<IpAddr> {
        let mut addresses = self.hosts[host.0].addresses.iter().copied();
        addresses.find(|address| address.is_ipv4() == is_v4)
    }

    /// How many datagrams did not arrive so far, by reason.
    pub fn drops(&self) -> &DropCounters<DropReason> {
        &self.drops
    }

    /// Sends a datagram. Time must not go backwards.
    pub fn send(&mut self, host: HostId, datagram: Datagram, now: Instant) {
        if let Err(reason) = self.depart(host, datagram, now) {
            self.drops.count(reason);
        }
    }

    /// Where a datagram would arrive, as host, local and remote socket, if links, blocks and cuts let
    /// it pass. NATs on the way treat it as sent.
    ///
    /// # Errors
    ///
    /// No host is there, or a NAT does not let it in.
    pub fn trace(
        &mut self,
        host: HostId,
        from: SocketAddr,
        to: SocketAddr,
        now: Instant,
    ) -> Result<(HostId, SocketAddr, SocketAddr), DropReason> {
        let remote = self.translate(host, from, to, now)?;
        let (receiver, local) = self.resolve(host, remote, to, now)?;
        Ok((receiver, local, remote))
    }

    /// When [`Self::receive`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.flights.peek().map(|Reverse(flight)| flight.at)
    }

    /// The next datagram that has arrived by then.
    pub fn receive(&mut self, now: Instant) -> Option<Received> {
        while self.deadline().is_some_and(|at| at <= now) {
            let Reverse(flight) = self.flights.pop()?;
            match flight.stage {
                Stage::Arrived(received) => return Some(received),
                Stage::Core(sender, datagram) => {
                    if let Err(reason) = self.cross(sender, datagram, flight.at) {
                        self.drops.count(reason);
                    }
                }
            }
        }
        None
    }

    /// Through the NAT and the uplink of the sender.
    fn depart(&mut self, host: HostId, sent: Datagram, now: Instant) -> Result<(), DropReason> {
        let is_ours = self.hosts[host.0].addresses.contains(&sent.from.ip());
        if !is_ours || sent.from.is_ipv4() != sent.to.is_ipv4() {
            return Err(DropReason::NoHost);
        }
        let size = packet_size(&sent);
        let delivery = self.hosts[host.0].uplink.send(size, now)?;
        let from = self.translate(host, sent.from, sent.to, now)?;
        let datagram = Datagram { from, ..sent };
        for _ in 0..delivery.copies {
            self.fly(delivery.at, Stage::Core(host, datagram.clone()));
        }
        Ok(())
    }

    /// From the core through the NAT and the downlink of the receiver.
    fn cross(&mut self, sender: HostId, sent: Datagram, now: Instant) -> Result<(), DropReason> {
        let Datagram { from, to, .. } = sent;
        if self.cut.as_mut().is_some_and(|cut| cut(from, to)) {
            return Err(DropReason::Cut);
        }
        let (host, local) = self.resolve(sender, from, to, now)?;
        if self.blocked.contains(&(sender, host)) {
            return Err(DropReason::Cut);
        }
        let size = packet_size(&sent);
        let delivery = self.hosts[host.0].downlink.send(size, now)?;
        let received = Received {
            host,
            local,
            remote: from,
            ecn: sent.ecn,
            payload: sent.payload,
        };
        for _ in 0..delivery.copies {
            self.fly(delivery.at, Stage::Arrived(received.clone()));
        }
        Ok(())
    }

    fn fly(&mut self, at: Instant, stage: Stage) {
        self.order += 1;
        let order = self.order;
        self.flights.push(Reverse(Flight { at, order, stage }));
    }

    /// The source of a datagram as its destination sees it.
    fn translate(
        &mut self,
        host: HostId,
        from: SocketAddr,
        to: SocketAddr,
        now: Instant,
    ) -> Result<SocketAddr, DropReason> {
        match self.nat_of(host, to.ip()) {
            Some(nat) if self.neighbour(Some(nat), to.ip()).is_none() => {
                self.nats[nat.0].outward(from, to, now)
            }
            _ => Ok(from),
        }
    }

    /// The host and socket that a datagram is for.
    fn resolve(
        &mut self,
        sender: HostId,
        from: SocketAddr,
        to: SocketAddr,
        now: Instant,
    ) -> Result<(HostId, SocketAddr), DropReason> {
        let inside = self.nat_of(sender, to.ip());
        if let Some(host) = self.neighbour(inside, to.ip()) {
            return Ok((host, to));
        }
        if let Some(host) = self.neighbour(None, to.ip()) {
            return Ok((host, to));
        }
        let is_there = |nat: &Nat| nat.external() == to.ip();
        let index = self.nats.iter().position(is_there);
        let index = index.ok_or(DropReason::NoHost)?;
        let nat = &mut self.nats[index];
        if inside == Some(NatId(index)) && !nat.config().hairpinning {
            return Err(DropReason::Filtered);
        }
        let local = nat.inward(from, to.port(), now)?;
        let host = self.neighbour(Some(NatId(index)), local.ip());
        Ok((host.ok_or(DropReason::NoHost)?, local))
    }

    /// The NAT that translates this family for a host.
    fn nat_of(&self, host: HostId, family: IpAddr) -> Option<NatId> {
        let nat = self.hosts[host.0].nat?;
        let translated = self.nats[nat.0].external();
        (translated.is_ipv4() == family.is_ipv4()).then_some(nat)
    }

    /// The host with this address behind this NAT, or behind none.
    fn neighbour(&self, nat: Option<NatId>, address: IpAddr) -> Option<HostId> {
        let mut ids = (0..self.hosts.len()).map(HostId);
        ids.find(|&id| {
            self.hosts[id.0].addresses.contains(&address) && self.nat_of(id, address) == nat
        })
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("hosts", &self.hosts)
            .field("nats", &self.nats)
            .field("flights", &self.flights.len())
            .field("drops", &self.drops)
            .finish_non_exhaustive()
    }
}

/// Bytes of the IP packet around a datagram.
fn packet_size(datagram: &Datagram) -> usize {
    let ip_header = if datagram.to.is_ipv4() { 20 } else { 40 };
    ip_header + UDP_HEADER + datagram.payload.len()
}

#[cfg(test)]
mod tests;
