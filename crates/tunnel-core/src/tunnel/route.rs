//! Where the packets of an address belong, in either direction. spec: data-plane 9, 10.3

use super::Tunnel;
use crate::drop_reason::DropReason;
use model::{DomainName, GatewayId, ResourceId, ranges};
use std::net::IpAddr;

/// Where packets to an address go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// The gateway itself.
    Gateway(GatewayId),
    /// A name of a resource.
    Name(ResourceId, &'a DomainName),
    /// An address of a resource.
    Network(ResourceId),
}

impl Tunnel {
    /// Where packets to this address go, which is neither ours nor one of the stub resolver.
    pub(super) fn route(&self, address: IpAddr) -> Result<Route<'_>, DropReason> {
        if ranges::is_tunnel(address) {
            let gateway = self.gateways.by_tunnel_address(address);
            return gateway.map(Route::Gateway).ok_or(DropReason::UnknownPeer);
        }
        if ranges::is_proxy(address) {
            let name = self.dns.name_of(address).ok_or(DropReason::UnknownProxy)?;
            let resource = self.resources.by_name(name.as_str());
            let (resource, stack) = resource.ok_or(DropReason::NoResource)?;
            // A name has addresses of both families; gateways know those of the resource's.
            let has_family = match address {
                IpAddr::V4(_) => stack.has_v4(),
                IpAddr::V6(_) => stack.has_v6(),
            };
            return match has_family {
                true => Ok(Route::Name(resource, name)),
                false => Err(DropReason::UnknownProxy),
            };
        }
        let resource = self.resources.by_address(address);
        resource.map(Route::Network).ok_or(DropReason::NoResource)
    }

    /// The gateway to which packets to this address would go: the only one that may send from it.
    pub(super) fn carrier_of(&self, address: IpAddr) -> Option<GatewayId> {
        if self.is_ours(address) || ranges::is_sentinel(address) {
            return None;
        }
        match self.route(address).ok()? {
            Route::Gateway(gateway) => Some(gateway),
            Route::Name(resource, _) | Route::Network(resource) => {
                self.resources.gateway_of(resource)
            }
        }
    }

    /// Whether the address is one of our interface.
    pub(super) fn is_ours(&self, address: IpAddr) -> bool {
        self.interface.as_ref().is_some_and(|ours| match address {
            IpAddr::V4(address) => address == ours.ipv4,
            IpAddr::V6(address) => address == ours.ipv6,
        })
    }
}
