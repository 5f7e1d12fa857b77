//! The gateways that we have a connection to.

use model::{GatewayId, SiteId};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// One gateway.
#[derive(Debug)]
struct Gateway {
    site: SiteId,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
}

impl Gateway {
    fn has(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(self.ipv4) || address == IpAddr::V6(self.ipv6)
    }
}

/// All gateways that we have a connection to.
#[derive(Debug, Default)]
pub(crate) struct Gateways {
    by_id: BTreeMap<GatewayId, Gateway>,
}

impl Gateways {
    /// The gateway has these addresses inside the tunnel, and is known from now on.
    pub(crate) fn upsert(
        &mut self,
        id: GatewayId,
        site: SiteId,
        (ipv4, ipv6): (Ipv4Addr, Ipv6Addr),
    ) {
        self.by_id.insert(id, Gateway { site, ipv4, ipv6 });
    }

    /// Forgets a gateway; returns the site it was in.
    pub(crate) fn remove(&mut self, id: GatewayId) -> Option<SiteId> {
        self.by_id.remove(&id).map(|gateway| gateway.site)
    }

    /// The site that a gateway is in.
    pub(crate) fn site_of(&self, id: GatewayId) -> Option<SiteId> {
        self.by_id.get(&id).map(|gateway| gateway.site)
    }

    pub(crate) fn clear(&mut self) {
        self.by_id.clear();
    }

    /// The address of a gateway inside the tunnel.
    pub(crate) fn tunnel_address(&self, id: GatewayId, is_v4: bool) -> Option<IpAddr> {
        let gateway = self.by_id.get(&id)?;
        Some(match is_v4 {
            true => gateway.ipv4.into(),
            false => gateway.ipv6.into(),
        })
    }

    /// The gateway with this address inside the tunnel.
    pub(crate) fn by_tunnel_address(&self, address: IpAddr) -> Option<GatewayId> {
        let mut gateways = self.by_id.iter();
        let found = gateways.find(|(_, gateway)| gateway.has(address));
        found.map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn gateways_are_found_by_their_addresses() {
        let [id, other] = [1, 2].map(|n| GatewayId::from_bytes([n; 16]));
        let mut gateways = Gateways::default();
        let ipv6 = "fd00:2021:1111::9".parse().unwrap();
        let [site, new_site] = [3, 4].map(|n| SiteId::from_bytes([n; 16]));
        gateways.upsert(id, site, (Ipv4Addr::new(100, 64, 0, 9), ipv6));
        assert_eq!(gateways.by_tunnel_address(ip("100.64.0.9")), Some(id));
        assert_eq!(
            gateways.by_tunnel_address(ip("fd00:2021:1111::9")),
            Some(id)
        );
        assert_eq!(gateways.by_tunnel_address(ip("100.64.0.8")), None);
        let address = |is_v4| gateways.tunnel_address(id, is_v4).unwrap().to_string();
        assert_eq!(
            [true, false].map(address),
            ["100.64.0.9", "fd00:2021:1111::9"]
        );
        assert_eq!(gateways.tunnel_address(other, true), None);
        assert_eq!(gateways.site_of(id), Some(site));

        gateways.upsert(id, new_site, (Ipv4Addr::new(100, 64, 0, 8), ipv6));
        assert_eq!(gateways.by_tunnel_address(ip("100.64.0.9")), None);
        assert_eq!(gateways.by_tunnel_address(ip("100.64.0.8")), Some(id));
        assert_eq!(gateways.remove(id), Some(new_site));
        assert_eq!(gateways.remove(id), None);
        gateways.upsert(other, site, (Ipv4Addr::new(100, 64, 0, 8), ipv6));
        gateways.clear();
        assert_eq!(gateways.site_of(other), None);
    }
}
