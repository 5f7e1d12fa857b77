//! The coordinator: routes inputs to the machines that own the state, and drains their outputs.

mod control;
mod downlink;
mod names;
mod output;
mod route;
mod uplink;

use crate::{
    authorization::{Authorizations, Failure},
    dns::{Context, Dns},
    dns_nat::DnsNat,
    drop_reason::DropReason,
    event::{DnsFailure, DnsServer, Output, QueryId, ResourceStatus},
    gateway::Gateways,
    peer_cache::PeerCache,
    reconnect::Reconnects,
    resource::ResourceTable,
    waiting::Waiting,
};
use connectivity::{Connectivity, PeerStatus, Role, Transmit};
use model::{
    DropCounters, GatewayId, Interface, InterfacePlan, PublicKey, ResourceId, Seed, SeedTree,
};
use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// Settings of a tunnel.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Whether Internet Resources are used.
    pub internet_resource: bool,
    /// Resources that the user switched off.
    pub disabled_resources: BTreeSet<ResourceId>,
    /// The operating system's own resolvers.
    pub system_resolvers: Vec<DnsServer>,
}

/// What became of a packet from the TUN device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was sent, answered, or waits for something.
    Consumed,
    /// It went no further.
    Dropped(DropReason),
}

/// What became of a datagram from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The buffer of the caller holds a packet of a gateway, of this many bytes, for the TUN device.
    /// Packets that the tunnel itself makes come as [`Output::Deliver`].
    Deliver(usize),
    /// It was for the tunnel itself.
    Consumed,
    /// It went no further.
    Dropped(DropReason),
}

/// The client's data plane.
///
/// It has four kinds of methods:
///
/// * **Inputs**, `handle_*`: a packet from the TUN device, a datagram from the network, an update
///   of the portal, the answer of a DNS server, time that has passed.
/// * **Settings**, `set_*` and [`reset`](Self::reset): what the user chose, what the operating
///   system says, another network.
/// * **Outputs**: [`poll`](Self::poll) says what is to be done, and [`recycle`](Self::recycle)
///   takes the buffer of a sent batch back.
/// * **Views**: [`public_key`](Self::public_key), [`resources`](Self::resources),
///   [`connections`](Self::connections), [`plan`](Self::plan), [`upstreams`](Self::upstreams),
///   [`drops`](Self::drops). They change nothing and may be called at any time.
///
/// # Order of calls
///
/// 1. After each input and each setting call [`poll`](Self::poll) until it returns
///    [`Output::Idle`]. The packets or datagrams of one batch may be handed in one after the other
///    before that, so that they leave in one batch, too; so may updates of the portal and
///    settings, which then make one plan of the interface together.
/// 2. Call [`handle_timeout`](Self::handle_timeout) when the instant of the latest
///    [`Output::Idle`] has come. A call too early or too often is harmless; a late one delays what
///    is due.
/// 3. On another network call [`reset`](Self::reset), bind new sockets, and connect to the portal
///    with the new [`public_key`](Self::public_key). The first update of that connection is
///    [`PortalUpdate::Init`](crate::PortalUpdate::Init), which brings the relays.
///
/// # Time
///
/// Instants come in as arguments and must not go back. Several calls may carry the same instant;
/// they take effect in their order. What is due at
/// an instant happens in [`handle_timeout`](Self::handle_timeout) with that instant, so hand in
/// first what has arrived until then: an answer at the very instant at which its wait ends still
/// counts.
pub struct Tunnel {
    connectivity: Connectivity,
    interface: Option<Interface>,
    plan: Option<InterfacePlan>,
    resources: ResourceTable,
    gateways: Gateways,
    authorizations: Authorizations,
    dns: Dns,
    nat: DnsNat,
    peers: PeerCache,
    waiting: Waiting,
    reconnects: Reconnects,
    changes: Changes,
    outputs: VecDeque<Output>,
    /// What no machine counts itself.
    drops: DropCounters<DropReason>,
}

/// What may have changed since it was told the last time.
#[derive(Debug, Default)]
struct Changes {
    plan: bool,
    resources: bool,
}

impl Tunnel {
    /// A tunnel that waits for its portal. `unix_time` is the wall clock at `now`.
    pub fn new(config: Config, seed: Seed, unix_time: Duration, now: Instant) -> Self {
        let seeds = SeedTree::new(seed.clone());
        let mut dns = Dns::new(&seeds, now);
        dns.set_system_resolvers(&config.system_resolvers);
        Self {
            connectivity: Connectivity::new(Role::Client, seed, unix_time, now),
            interface: None,
            plan: None,
            resources: ResourceTable::new(config.internet_resource, config.disabled_resources),
            gateways: Gateways::default(),
            authorizations: Authorizations::new(),
            dns,
            nat: DnsNat::default(),
            peers: PeerCache::default(),
            waiting: Waiting::default(),
            reconnects: Reconnects::default(),
            changes: Changes::default(),
            outputs: VecDeque::new(),
            drops: DropCounters::default(),
        }
    }

    /// Moves to another network, called a roam elsewhere: new key, new connections; resources,
    /// names and DNS settings stay. What waits is dropped, and queries under way are forgotten.
    ///
    /// The shell binds new sockets and connects to the portal with the new [`Self::public_key`].
    /// No relay is known before the portal's next
    /// [`PortalUpdate::Init`](crate::PortalUpdate::Init).
    /// spec: data-plane 2.17
    pub fn reset(&mut self, seed: Seed, now: Instant) {
        self.connectivity.reset(seed, now);
        self.gateways.clear();
        self.authorizations = Authorizations::new();
        self.nat.clear();
        self.waiting.clear(DropReason::Reset);
        self.reconnects.reset();
        self.peers.clear();
        self.resources.unbind_all();
        self.dns.reset(now);
        self.changes.resources = true;
    }

    /// Switches Internet Resources on or off, except those that are
    /// [disabled](Self::set_disabled_resources).
    pub fn set_internet_resource(&mut self, enabled: bool, now: Instant) {
        if self.resources.set_internet(enabled) {
            let internet = self.resources.internet().collect();
            self.switch(internet, now);
        }
    }

    /// Switches off these resources, known or not, and no others. They stay in the list of
    /// resources, but nothing is sent to them: addresses and names lead where they would without
    /// them.
    pub fn set_disabled_resources(&mut self, disabled: BTreeSet<ResourceId>, now: Instant) {
        let off = self.resources.set_disabled(disabled);
        self.switch(off, now);
    }

    /// The operating system's resolvers changed; they are in use unless the portal chose others.
    pub fn set_system_resolvers(&mut self, servers: Vec<DnsServer>) {
        self.changes.plan |= self.dns.set_system_resolvers(&servers);
    }

    /// A DNS server outside the tunnel answered a [`crate::DnsQuery`], or did not. Once for each
    /// query; the answers of queries from before a [`Self::reset`] are ignored.
    pub fn handle_dns_answer(
        &mut self,
        id: QueryId,
        answer: Result<&[u8], DnsFailure>,
        now: Instant,
    ) {
        let (dns, cx) = self.dns(now);
        dns.handle_answer(id, answer, cx);
        self.follow_dns(now);
    }

    /// Does what is due at this instant. Needed at the instant of the latest [`Output::Idle`],
    /// harmless at any other.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.connectivity.handle_timeout(now);
        self.waiting.expire(now);
        while let Some(resource) = self.authorizations.expire(now) {
            self.fail(resource, Failure::NoRelay, now);
        }
        let (dns, cx) = self.dns(now);
        dns.handle_timeout(cx);
        self.follow_dns(now);
    }

    /// Gives the buffer of a sent batch back.
    pub fn recycle(&mut self, transmit: Transmit) {
        self.connectivity.recycle(transmit);
    }

    /// Our WireGuard key, for the portal; another one after each [`Self::reset`].
    pub fn public_key(&self) -> PublicKey {
        self.connectivity.public_key()
    }

    /// All resources as an application shows them.
    pub fn resources(&self) -> Vec<ResourceStatus> {
        self.resources.statuses()
    }

    /// The connections to gateways.
    pub fn connections(&self) -> impl Iterator<Item = (GatewayId, PeerStatus)> {
        self.connectivity
            .peers()
            .map(|status| (status.peer.into(), status))
    }

    /// What the interface was last asked to look like.
    pub fn plan(&self) -> Option<&InterfacePlan> {
        self.plan.as_ref()
    }

    /// The addresses of the stub resolver, each with the server behind it.
    pub fn upstreams(&self) -> impl Iterator<Item = (IpAddr, SocketAddr)> {
        self.dns.upstreams()
    }

    /// How many packets were dropped, by reason: everything that went no further, in both
    /// directions, whether or not a caller heard of it.
    ///
    /// Queries to the stub resolver count like packets, also those over TCP. Segments that its TCP
    /// stack finds unfit are not among them.
    pub fn drops(&self) -> DropCounters<DropReason> {
        let mut drops = self.drops.clone();
        for (reason, count) in self.dns.drops().iter().chain(self.waiting.drops().iter()) {
            add(&mut drops, reason, count);
        }
        for (reason, count) in self.connectivity.counters().iter() {
            add(&mut drops, DropReason::Connectivity(reason), count);
        }
        drops
    }

    /// The stub resolver, and what it has to know.
    fn dns(&mut self, now: Instant) -> (&mut Dns, Context<'_>) {
        let cx = Context {
            resources: &self.resources,
            gateways: &self.gateways,
            now,
        };
        (&mut self.dns, cx)
    }

    /// Counts a dropped packet, unless connectivity has done so.
    fn dropped(&mut self, reason: DropReason) -> DropReason {
        tracing::trace!(%reason, "Dropped a packet");
        if !matches!(reason, DropReason::Connectivity(_)) {
            self.drops.count(reason);
        }
        reason
    }
}

fn add(drops: &mut DropCounters<DropReason>, reason: DropReason, count: u64) {
    drops.add(reason, usize::try_from(count).unwrap_or(usize::MAX));
}

#[cfg(test)]
mod tests;
