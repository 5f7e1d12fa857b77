//! What one client may reach. spec: data-plane 15.2

use ip_packet::{Flow, IpPacket, Transport};
use model::{Filter, Resource, ResourceId, ranges};
use std::{collections::BTreeMap, net::IpAddr};

#[derive(Debug)]
struct Grant {
    resource: Resource,
    /// Unix seconds.
    expires_at: Option<u64>,
}

/// The resources of one client.
#[derive(Debug, Default)]
pub(super) struct Access {
    grants: BTreeMap<ResourceId, Grant>,
}

impl Access {
    pub(super) fn grant(&mut self, resource: Resource, expires_at: Option<u64>) {
        self.grants.insert(
            resource.id(),
            Grant {
                resource,
                expires_at,
            },
        );
    }

    pub(super) fn set_expiry(&mut self, id: ResourceId, expires_at: Option<u64>) {
        if let Some(grant) = self.grants.get_mut(&id) {
            grant.expires_at = expires_at;
        }
    }

    /// Takes over the filters of a resource that changed.
    pub(super) fn update(&mut self, resource: &Resource) {
        if let Some(grant) = self.grants.get_mut(&resource.id()) {
            grant.resource = resource.clone();
        }
    }

    /// Keeps only these resources; returns those that went.
    pub(super) fn retain(&mut self, keep: impl Fn(ResourceId) -> bool) -> Vec<ResourceId> {
        let gone: Vec<_> = self
            .grants
            .keys()
            .copied()
            .filter(|id| !keep(*id))
            .collect();
        for id in &gone {
            self.grants.remove(id);
        }
        gone
    }

    /// Ends what has expired; returns what did.
    pub(super) fn expire(&mut self, unix_now: u64) -> Vec<ResourceId> {
        let expired = |grant: &Grant| grant.expires_at.is_some_and(|at| at <= unix_now);
        let gone: Vec<_> = self
            .grants
            .iter()
            .filter(|(_, grant)| expired(grant))
            .map(|(id, _)| *id)
            .collect();
        for id in &gone {
            self.grants.remove(id);
        }
        gone
    }

    pub(super) fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    pub(super) fn get(&self, id: ResourceId) -> Option<&Resource> {
        self.grants.get(&id).map(|grant| &grant.resource)
    }

    /// Whether a packet may go to an address outside the proxy range, or come from there.
    ///
    /// The filters of all resources that cover the address are united.
    pub(super) fn permits_address(&self, address: IpAddr, kind: Kind) -> bool {
        self.grants.values().any(|grant| match &grant.resource {
            Resource::Cidr(cidr) => cidr.address.contains(&address) && kind.passes(&cidr.filters),
            Resource::Internet(_) => !ranges::is_proxy(address),
            Resource::Dns(_) => false,
        })
    }

    /// Whether a packet may go to a proxy address of this resource, or come from there.
    pub(super) fn permits_resource(&self, id: ResourceId, kind: Kind) -> bool {
        match self.get(id) {
            Some(Resource::Dns(dns)) => kind.passes(&dns.filters),
            _ => false,
        }
    }
}

/// What filters look at. spec: data-plane 10.4
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Tcp(u16),
    Udp(u16),
    Icmp,
    Other,
}

impl Kind {
    /// By the port of the resource's end: the destination of what clients send.
    pub(super) fn outbound<B: AsRef<[u8]>>(packet: &IpPacket<B>) -> Self {
        Self::new(packet.transport(), packet.transport().destination())
    }

    /// By the port of the resource's end: the source of what resources send.
    pub(super) fn inbound<B: AsRef<[u8]>>(packet: &IpPacket<B>) -> Self {
        Self::new(packet.transport(), packet.transport().source())
    }

    fn new(transport: Transport, flow: Option<Flow>) -> Self {
        match flow {
            Some(Flow::Tcp(port)) => Self::Tcp(port),
            Some(Flow::Udp(port)) => Self::Udp(port),
            Some(Flow::Echo(_)) => Self::Icmp,
            None if transport.is_icmp() => Self::Icmp,
            None => Self::Other,
        }
    }

    fn passes(self, filters: &[Filter]) -> bool {
        let permits = |filter: &Filter| match (self, filter) {
            (Self::Tcp(port), Filter::Tcp(range)) | (Self::Udp(port), Filter::Udp(range)) => {
                range.contains(port)
            }
            (Self::Icmp, Filter::Icmp) => true,
            _ => false,
        };
        filters.is_empty() || filters.iter().any(permits)
    }
}
