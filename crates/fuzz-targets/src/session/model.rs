//! Who may reach what, as the portal said it, without the machinery of the tunnel.
//!
//! Where the tunnel may be stricter, because it forgets a request for example, the model permits more:
//! it finds what is let through wrongly, not what is held back.

use crate::network::Side;
use dns_message::rtype;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use model::{Pattern, Resource, ResourceId, ranges};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Everything that decides.
#[derive(Debug)]
pub(super) struct Rights {
    resources: BTreeMap<ResourceId, Resource>,
    disabled: BTreeSet<ResourceId>,
    has_internet: bool,
    /// What the client asked for and got no answer to.
    asked: BTreeSet<ResourceId>,
    /// Grants that stand.
    granted: BTreeSet<(Side, ResourceId)>,
    /// Grants, also revoked ones, of the connection that exists: packets may wait in it.
    on_connection: BTreeMap<Side, Vec<Resource>>,
    /// The same of connections that ended just now: a packet may have left before.
    on_the_wire: BTreeMap<Side, Vec<Resource>>,
    /// What proxy addresses stand for.
    names: BTreeMap<IpAddr, String>,
    /// Names that have addresses which no answer contained: it was asked for the other family's.
    unseen: BTreeSet<String>,
    system: BTreeSet<SocketAddr>,
    upstreams: BTreeSet<SocketAddr>,
}

impl Rights {
    pub(super) fn new(system: Vec<SocketAddr>) -> Self {
        Self {
            resources: BTreeMap::new(),
            disabled: BTreeSet::new(),
            has_internet: false,
            asked: BTreeSet::new(),
            granted: BTreeSet::new(),
            on_connection: BTreeMap::new(),
            on_the_wire: BTreeMap::new(),
            names: BTreeMap::new(),
            unseen: BTreeSet::new(),
            system: system.into_iter().collect(),
            upstreams: BTreeSet::new(),
        }
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.resources.values()
    }

    pub(super) fn knows(&self, id: ResourceId) -> bool {
        self.resources.contains_key(&id)
    }

    /// The portal says what a resource is. One that cannot be understood is shown, and leads nowhere.
    pub(super) fn set(&mut self, resource: Resource) {
        let id = resource.id();
        let old = self.resources.get(&id);
        if old.is_some_and(|old| !old.same_addressability(&resource)) {
            self.revoke(id);
        }
        self.resources.insert(id, resource);
    }

    pub(super) fn remove(&mut self, id: ResourceId) {
        self.resources.remove(&id);
        self.revoke(id);
    }

    fn revoke(&mut self, id: ResourceId) {
        self.asked.remove(&id);
        self.granted.retain(|(_, granted)| *granted != id);
    }

    pub(super) fn set_disabled(&mut self, disabled: BTreeSet<ResourceId>) {
        for id in disabled.difference(&self.disabled.clone()) {
            self.revoke(*id);
        }
        self.disabled = disabled;
    }

    pub(super) fn set_internet(&mut self, enabled: bool) {
        self.has_internet = enabled;
        if !enabled {
            let resources = self.resources.values();
            let internet = resources.filter(|one| matches!(one, Resource::Internet(_)));
            for id in internet.map(Resource::id).collect::<Vec<_>>() {
                self.revoke(id);
            }
        }
    }

    pub(super) fn set_system_resolvers(&mut self, servers: &[SocketAddr]) {
        self.system = servers.iter().copied().collect();
    }

    pub(super) fn set_upstreams(&mut self, servers: &[SocketAddr]) {
        self.upstreams = servers.iter().copied().collect();
    }

    /// Another network: all connections are gone.
    pub(super) fn reset(&mut self) {
        self.asked.clear();
        self.granted.clear();
        self.on_connection.clear();
    }

    /// A connection is gone.
    pub(super) fn lose(&mut self, side: Side) {
        self.granted.retain(|(other, _)| *other != side);
        let resources = self.on_connection.remove(&side).unwrap_or_default();
        self.on_the_wire.entry(side).or_default().extend(resources);
    }

    /// All that was sent has arrived, or is lost.
    pub(super) fn come_to_rest(&mut self) {
        self.on_the_wire.clear();
    }

    /// The client asks for access.
    pub(super) fn ask_for(&mut self, id: ResourceId) {
        assert!(self.is_on(id), "{id} is asked for and not there");
        self.asked.insert(id);
    }

    /// The portal grants access; without a request that means nothing.
    pub(super) fn grant(&mut self, id: ResourceId, side: Side) {
        if self.asked.contains(&id) {
            self.granted.insert((side, id));
            let resources = self.on_connection.entry(side).or_default();
            if let Some(resource) = self.resources.get(&id) {
                resources.push(resource.clone());
            }
        }
    }

    /// An address stands for a name from now on.
    pub(super) fn stand_for(&mut self, address: IpAddr, name: &str) {
        if ranges::is_proxy(address) {
            let known = self.names.entry(address).or_insert_with(|| name.to_owned());
            assert_eq!(known, name, "{address} stands for two names");
        }
    }

    /// An answer without an address tells nobody which ones the name has.
    pub(super) fn answer_nothing(&mut self, name: &str) {
        self.unseen.insert(name.to_owned());
    }

    fn was_granted(&self, side: Side, id: ResourceId) -> bool {
        self.granted.contains(&(side, id))
    }

    /// Whether a gateway may be told a name of this resource, or may have been before a revocation.
    pub(super) fn may_have_been_told(&self, side: Side, id: ResourceId) -> bool {
        self.was_granted(side, id) || self.handed_on(side).any(|resource| resource.id() == id)
    }

    /// Whether a gateway may send us packets from here.
    pub(super) fn may_send_from(&self, side: Side, source: IpAddr) -> bool {
        is_inside(side, source)
            || self
                .reached_by(source)
                .into_iter()
                .any(|id| self.was_granted(side, id))
    }

    /// Whether a gateway may get packets for there, or may have got them before a revocation.
    pub(super) fn may_have_been_sent_to(&self, side: Side, destination: IpAddr) -> bool {
        let mut handed_on = self.handed_on(side);
        self.may_send_from(side, destination)
            || handed_on.any(|resource| self.covers(resource, destination))
    }

    /// Resources whose packets may be on their way to a gateway, whatever was revoked since.
    fn handed_on(&self, side: Side) -> impl Iterator<Item = &Resource> {
        let places = [&self.on_connection, &self.on_the_wire].into_iter();
        places.filter_map(move |place| place.get(&side)).flatten()
    }

    /// The resources that an address may belong to: of those that compete, all of equal rank.
    fn reached_by(&self, address: IpAddr) -> Vec<ResourceId> {
        if is_special(address) || ranges::is_tunnel(address) {
            return vec![];
        }
        let on = self
            .resources
            .values()
            .filter(|resource| self.is_on(resource.id()));
        let covering = on.filter(|resource| self.covers(resource, address));
        let ranked: Vec<(u8, ResourceId)> = covering.map(|one| (rank(one), one.id())).collect();
        let best = ranked.iter().map(|(rank, _)| *rank).max();
        let best_ones = ranked.iter().filter(|(rank, _)| Some(*rank) == best);
        best_ones.map(|(_, id)| *id).collect()
    }

    fn covers(&self, resource: &Resource, address: IpAddr) -> bool {
        match resource {
            Resource::Cidr(cidr) => cidr.address.contains(&address) && !ranges::is_proxy(address),
            Resource::Dns(dns) => Pattern::parse(&dns.address)
                .is_ok_and(|pattern| self.may_stand_for_one_of(address, &pattern)),
            Resource::Internet(_) => !ranges::is_proxy(address),
        }
    }

    fn may_stand_for_one_of(&self, address: IpAddr, pattern: &Pattern) -> bool {
        match self.names.get(&address) {
            Some(name) => pattern.matches(name),
            None => {
                let mut unseen = self.unseen.iter();
                ranges::is_proxy(address) && unseen.any(|name| pattern.matches(name))
            }
        }
    }

    fn is_on(&self, id: ResourceId) -> bool {
        !self.disabled.contains(&id)
            && match self.resources.get(&id) {
                Some(Resource::Internet(_)) => self.has_internet,
                Some(Resource::Dns(dns)) => Pattern::parse(&dns.address).is_ok(),
                Some(Resource::Cidr(_)) => true,
                None => false,
            }
    }

    pub(super) fn may_be_asked(&self, server: SocketAddr) -> bool {
        match self.upstreams.is_empty() {
            true => self.system.contains(&server),
            false => self.upstreams.contains(&server),
        }
    }

    /// Whether the answer to a question is the tunnel's business, and not a server's.
    pub(super) fn is_answered_here(&self, name: &str, record: u16) -> bool {
        const HTTPS: u16 = 65;
        let is_ours = [rtype::A, rtype::AAAA, rtype::SRV, rtype::TXT, HTTPS].contains(&record);
        let on = self
            .resources
            .values()
            .filter(|resource| self.is_on(resource.id()));
        let mut covering = on.filter(|resource| match resource {
            Resource::Dns(dns) => {
                Pattern::parse(&dns.address).is_ok_and(|pattern| pattern.matches(name))
            }
            Resource::Cidr(_) | Resource::Internet(_) => false,
        });
        is_ours && covering.next().is_some()
    }

    /// What is routed into the tunnel.
    pub(super) fn routes(&self) -> BTreeSet<IpNet> {
        let everything = [
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
        ];
        let on = self
            .resources
            .values()
            .filter(|resource| self.is_on(resource.id()));
        let of_resources = on.flat_map(|resource| match resource {
            Resource::Cidr(cidr) => vec![cidr.address],
            Resource::Internet(_) => everything.to_vec(),
            Resource::Dns(_) => vec![],
        });
        ranges::client_routes()
            .into_iter()
            .chain(of_resources)
            .collect()
    }
}

fn is_inside(side: Side, address: IpAddr) -> bool {
    let (ipv4, ipv6) = side.inside();
    address == IpAddr::V4(ipv4) || address == IpAddr::V6(ipv6)
}

/// Addresses that no gateway speaks for, whatever the portal says.
fn is_special(address: IpAddr) -> bool {
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.is_loopback()
        || address.is_multicast()
        || address.is_unspecified()
        || is_broadcast
        || ranges::is_sentinel(address)
        || super::is_ours(address)
}

/// The more specific resource wins; names before networks, networks before everything.
fn rank(resource: &Resource) -> u8 {
    match resource {
        Resource::Dns(_) => 255,
        Resource::Cidr(cidr) => 1 + cidr.address.prefix_len(),
        Resource::Internet(_) => 0,
    }
}
