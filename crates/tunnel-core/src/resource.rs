//! What may be reached, and which resource an address belongs to. spec: data-plane 10

mod names;

use crate::{
    event::{ResourceStatus, SiteState},
    prefix_map::PrefixMap,
};
use ipnet::IpNet;
use model::{GatewayId, IpStack, Pattern, PatternFault, Resource, ResourceId, SiteId, ranges};
use names::NameMap;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

/// All resources, indexed for the questions that packets and queries ask.
#[derive(Debug, Default)]
pub(crate) struct ResourceTable {
    by_id: BTreeMap<ResourceId, Resource>,
    networks: PrefixMap<BTreeSet<ResourceId>>,
    names: NameMap,
    /// Counts changes to what belongs to which resource.
    generation: u64,
    internet_enabled: bool,
    /// Internet Resources that are not switched off one by one.
    internet: BTreeSet<ResourceId>,
    /// What the user switched off, known or not: listed, but not reached.
    disabled: BTreeSet<ResourceId>,
    sites: BTreeMap<SiteId, SiteState>,
    /// The gateway that carries a resource's traffic.
    bound: BTreeMap<ResourceId, GatewayId>,
    /// Known resources whose gateways are of other versions, as far as was heard last.
    incompatible: BTreeSet<ResourceId>,
}

/// What became of a resource that the portal sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Insertion {
    /// It was unknown.
    Added,
    /// It is reached differently: what was known about the old form is void.
    Replaced,
    /// Only texts changed, or nothing.
    Updated,
}

impl ResourceTable {
    pub(crate) fn new(internet_enabled: bool, disabled: BTreeSet<ResourceId>) -> Self {
        Self {
            internet_enabled,
            disabled,
            ..Self::default()
        }
    }

    /// Adds or replaces one resource.
    ///
    /// # Errors
    ///
    /// The pattern of a DNS resource is invalid; the resource is kept for display only.
    pub(crate) fn insert(&mut self, resource: Resource) -> Result<Insertion, PatternFault> {
        let id = resource.id();
        let insertion = match self.by_id.get(&id) {
            None => Insertion::Added,
            Some(old) if old.same_addressability(&resource) => {
                self.by_id.insert(id, resource);
                return Ok(Insertion::Updated);
            }
            Some(_) => Insertion::Replaced,
        };
        self.remove(id);
        self.generation += 1;
        // Also if it is switched off: a wrong pattern is told when it comes.
        let indexed = self.index(&resource);
        if self.disabled.contains(&id) {
            self.unindex(&resource);
        }
        self.by_id.insert(id, resource);
        indexed.map(|()| insertion)
    }

    /// Removes one resource; says whether it was known.
    pub(crate) fn remove(&mut self, id: ResourceId) -> bool {
        self.bound.remove(&id);
        self.incompatible.remove(&id);
        let Some(resource) = self.by_id.remove(&id) else {
            return false;
        };
        self.generation += 1;
        self.unindex(&resource);
        true
    }

    /// Lets a resource be found.
    fn index(&mut self, resource: &Resource) -> Result<(), PatternFault> {
        match resource {
            Resource::Cidr(cidr) => {
                self.networks.entry(cidr.address).insert(cidr.id);
            }
            Resource::Dns(dns) => self.names.insert(Pattern::parse(&dns.address)?, dns.id),
            Resource::Internet(internet) => {
                self.internet.insert(internet.id);
            }
        }
        Ok(())
    }

    /// Lets a resource be found no longer, if it was.
    fn unindex(&mut self, resource: &Resource) {
        match resource {
            Resource::Cidr(cidr) => {
                if let Some(ids) = self.networks.get_mut(cidr.address) {
                    ids.remove(&cidr.id);
                    if ids.is_empty() {
                        self.networks.remove(cidr.address);
                    }
                }
            }
            Resource::Dns(dns) => {
                if let Ok(pattern) = Pattern::parse(&dns.address) {
                    self.names.remove(&pattern, dns.id);
                }
            }
            Resource::Internet(internet) => {
                self.internet.remove(&internet.id);
            }
        }
    }

    /// Switches off these resources and no others; returns those that were on before and are known.
    pub(crate) fn set_disabled(&mut self, disabled: BTreeSet<ResourceId>) -> Vec<ResourceId> {
        let before = std::mem::replace(&mut self.disabled, disabled);
        for resource in self.known(before.difference(&self.disabled)) {
            // What is wrong with its pattern was said when it came.
            self.index(&resource).ok();
        }
        let off = self.known(self.disabled.difference(&before));
        for resource in &off {
            self.unindex(resource);
        }
        self.generation += u64::from(before != self.disabled);
        off.iter().map(Resource::id).collect()
    }

    fn known<'a>(&self, ids: impl Iterator<Item = &'a ResourceId>) -> Vec<Resource> {
        ids.filter_map(|id| self.by_id.get(id).cloned()).collect()
    }

    /// Ids that are known and not among the given ones.
    pub(crate) fn missing_from(&self, listed: &BTreeSet<ResourceId>) -> Vec<ResourceId> {
        self.by_id
            .keys()
            .filter(|id| !listed.contains(id))
            .copied()
            .collect()
    }

    pub(crate) fn get(&self, id: ResourceId) -> Option<&Resource> {
        self.by_id.get(&id)
    }

    /// Switches Internet Resources; says whether that changed anything.
    pub(crate) fn set_internet(&mut self, enabled: bool) -> bool {
        let changed = self.internet_enabled != enabled;
        self.generation += u64::from(changed);
        self.internet_enabled = enabled;
        changed
    }

    /// Ids of Internet Resources that are not switched off one by one.
    pub(crate) fn internet(&self) -> impl Iterator<Item = ResourceId> {
        self.internet.iter().copied()
    }

    /// Resources that are not switched off one by one.
    fn enabled(&self) -> impl Iterator<Item = &Resource> {
        let enabled = |(id, resource)| (!self.disabled.contains(id)).then_some(resource);
        self.by_id.iter().filter_map(enabled)
    }

    /// The resource that covers an address: longest prefix first, the Internet Resource last.
    /// What the number of resources costs is next to nothing. spec: data-plane 10.3
    pub(crate) fn by_address(&self, address: IpAddr) -> Option<ResourceId> {
        if is_no_other_host(address) {
            return None;
        }
        if let Some((_, ids)) = self.networks.longest_match(address) {
            // Of equal ranges the one in use stays, else the highest id is taken.
            let in_use = ids.iter().find(|id| self.bound.contains_key(id));
            return in_use.or_else(|| ids.last()).copied();
        }
        if !self.internet_enabled || !is_of_internet(address) {
            return None;
        }
        self.internet.last().copied()
    }

    /// The resource that covers a name: the most specific pattern that matches,
    /// given in lower case without the final dot.
    pub(crate) fn by_name(&self, name: &str) -> Option<(ResourceId, IpStack)> {
        let id = self.names.get(name)?;
        match self.by_id.get(&id)? {
            Resource::Dns(dns) => Some((id, dns.ip_stack)),
            Resource::Cidr(_) | Resource::Internet(_) => None,
        }
    }

    /// A number that is another one as soon as a name or an address may belong to another
    /// resource.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Everything that belongs into the tunnel, beside the fixed ranges.
    pub(crate) fn routes(&self) -> impl Iterator<Item = IpNet> {
        let networks = self.enabled().filter_map(|resource| match resource {
            Resource::Cidr(cidr) => Some(cidr.address),
            Resource::Dns(_) | Resource::Internet(_) => None,
        });
        let everything = self.internet_enabled && !self.internet.is_empty();
        let everything = everything.then(default_routes).into_iter().flatten();
        networks.chain(everything)
    }

    /// The gateway that carries a resource's traffic.
    pub(crate) fn gateway_of(&self, id: ResourceId) -> Option<GatewayId> {
        self.bound.get(&id).copied()
    }

    /// Lets a gateway carry a resource's traffic.
    pub(crate) fn bind(&mut self, id: ResourceId, gateway: GatewayId) {
        self.incompatible.remove(&id);
        self.bound.insert(id, gateway);
    }

    /// Takes all resources off a gateway.
    pub(crate) fn unbind(&mut self, gateway: GatewayId) {
        self.bound.retain(|_, bound| *bound != gateway);
    }

    /// Takes a resource off its gateway.
    pub(crate) fn unbind_resource(&mut self, id: ResourceId) {
        self.bound.remove(&id);
    }

    /// Takes all resources off all gateways.
    pub(crate) fn unbind_all(&mut self) {
        self.bound.clear();
        self.sites.clear();
        self.incompatible.clear();
    }

    /// The gateways of a resource are of other versions; says whether that is new.
    pub(crate) fn set_incompatible(&mut self, id: ResourceId) -> bool {
        self.by_id.contains_key(&id) && self.incompatible.insert(id)
    }

    /// What is known of a site; says whether that is new.
    pub(crate) fn set_site(&mut self, site: SiteId, state: SiteState) -> bool {
        self.sites.insert(site, state).unwrap_or_default() != state
    }

    /// Marks all sites of a resource.
    pub(crate) fn set_sites_of(&mut self, id: ResourceId, state: SiteState) -> bool {
        let sites: Vec<SiteId> = self
            .by_id
            .get(&id)
            .map_or(&[][..], Resource::sites)
            .iter()
            .map(|s| s.id)
            .collect();
        sites
            .into_iter()
            .fold(false, |changed, site| self.set_site(site, state) | changed)
    }

    /// All resources as an application shows them.
    pub(crate) fn statuses(&self) -> Vec<ResourceStatus> {
        let status = |resource: &Resource| {
            let states = resource
                .sites()
                .iter()
                .map(|s| self.sites.get(&s.id).copied());
            ResourceStatus {
                resource: resource.clone(),
                state: states.flatten().max().unwrap_or_default(),
                gateway: self.gateway_of(resource.id()),
            }
        };
        self.by_id.values().map(status).collect()
    }
}

/// Whether an address never stands for one host elsewhere, whatever a resource says.
fn is_no_other_host(address: IpAddr) -> bool {
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    // An IPv4 address in a packet of IPv6, RFC 4291 section 2.5.5.
    let is_embedded = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    is_broadcast
        || is_embedded
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unspecified()
}

/// Whether the Internet Resource covers an address.
fn is_of_internet(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let is_ours =
        ranges::is_tunnel(address) || ranges::is_proxy(address) || ranges::is_sentinel(address);
    !is_link_local && !is_ours
}

/// Everything, in both families.
fn default_routes() -> [IpNet; 2] {
    [
        IpNet::V4(ipnet::Ipv4Net::default()),
        IpNet::V6(ipnet::Ipv6Net::default()),
    ]
}

#[cfg(test)]
mod tests;
