//! What gateways may send us. spec: data-plane 9.2

use crate::prefix_map::PrefixMap;
use ipnet::IpNet;
use model::{GatewayId, ResourceId, SiteId};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// One gateway that we have a connection to.
#[derive(Debug)]
pub(crate) struct Gateway {
    site: SiteId,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    /// Networks it may send from, each with the resources that allow it.
    allowed: PrefixMap<BTreeSet<ResourceId>>,
    /// The network that allowed the latest packet: bulk transfers ask for nothing else.
    latest: Option<IpNet>,
}

impl Gateway {
    pub(crate) fn allow(&mut self, network: IpNet, resource: ResourceId) {
        self.allowed.entry(network).insert(resource);
    }

    /// Whether a packet with this source is acceptable; what that costs does not grow with the
    /// number of networks.
    pub(crate) fn may_send_from(&mut self, source: IpAddr) -> bool {
        if self.latest.is_some_and(|network| network.contains(&source)) {
            return true;
        }
        if source == IpAddr::V4(self.ipv4) || source == IpAddr::V6(self.ipv6) {
            return true;
        }
        let allowing = self.allowed.longest_match(source);
        self.latest = allowing.map(|(network, _)| network);
        self.latest.is_some()
    }

    fn forbid(&mut self, resource: ResourceId) {
        self.latest = None;
        self.allowed.retain(|resources| {
            resources.remove(&resource);
            !resources.is_empty()
        });
    }
}

/// All gateways that we have a connection to.
#[derive(Debug, Default)]
pub(crate) struct Gateways {
    by_id: BTreeMap<GatewayId, Gateway>,
}

impl Gateways {
    /// The gateway with these addresses inside the tunnel, known from now on.
    pub(crate) fn upsert(
        &mut self,
        id: GatewayId,
        site: SiteId,
        (ipv4, ipv6): (Ipv4Addr, Ipv6Addr),
    ) -> &mut Gateway {
        let (allowed, latest) = (PrefixMap::default(), None);
        let new = Gateway {
            site,
            ipv4,
            ipv6,
            allowed,
            latest,
        };
        let gateway = self.by_id.entry(id).or_insert(new);
        (gateway.site, gateway.ipv4, gateway.ipv6) = (site, ipv4, ipv6);
        gateway
    }

    pub(crate) fn get_mut(&mut self, id: GatewayId) -> Option<&mut Gateway> {
        self.by_id.get_mut(&id)
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

    /// Withdraws what a resource allowed, from all gateways.
    pub(crate) fn forbid(&mut self, resource: ResourceId) {
        for gateway in self.by_id.values_mut() {
            gateway.forbid(resource);
        }
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
        let matches = |gateway: &Gateway| {
            address == IpAddr::V4(gateway.ipv4) || address == IpAddr::V6(gateway.ipv6)
        };
        self.by_id
            .iter()
            .find(|(_, gateway)| matches(gateway))
            .map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn resource(n: u8) -> ResourceId {
        ResourceId::from_bytes([n; 16])
    }

    #[test]
    fn a_gateway_sends_from_its_own_address_and_from_what_was_allowed() {
        let id = GatewayId::from_bytes([1; 16]);
        let mut gateways = Gateways::default();
        let ipv6 = "fd00:2021:1111::9".parse().unwrap();
        let site = SiteId::from_bytes([2; 16]);
        let gateway = gateways.upsert(id, site, (Ipv4Addr::new(100, 64, 0, 9), ipv6));
        gateway.allow("10.0.0.0/8".parse().unwrap(), resource(1));
        gateway.allow("10.0.0.0/8".parse().unwrap(), resource(2));
        for (source, allowed) in [
            ("100.64.0.9", true),
            ("fd00:2021:1111::9", true),
            ("100.64.0.8", false),
            ("10.1.2.3", true),
            ("10.1.2.4", true),
            ("11.0.0.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(gateway.may_send_from(ip(source)), allowed, "{source}");
        }
        assert_eq!(gateways.by_tunnel_address(ip("100.64.0.9")), Some(id));
        assert_eq!(gateways.by_tunnel_address(ip("100.64.0.8")), None);
        let address = |is_v4| gateways.tunnel_address(id, is_v4).unwrap().to_string();
        assert_eq!(
            [true, false].map(address),
            ["100.64.0.9", "fd00:2021:1111::9"]
        );

        gateways.forbid(resource(1));
        assert!(gateways.get_mut(id).unwrap().may_send_from(ip("10.1.2.3")));
        gateways.forbid(resource(2));
        assert!(!gateways.get_mut(id).unwrap().may_send_from(ip("10.1.2.3")));
        assert_eq!(gateways.site_of(id), Some(site));
        assert_eq!(gateways.remove(id), Some(site));
        assert_eq!(gateways.remove(id), None);
    }

    /// Few addresses and lengths, so that networks meet, and cover each other.
    fn network() -> impl Strategy<Value = IpNet> {
        let v4 = (address_v4(), 0..=32_u8).prop_map(|(ip, n)| IpNet::new(ip, n).unwrap());
        let v6 = (address_v6(), 0..=128_u8).prop_map(|(ip, n)| IpNet::new(ip, n).unwrap());
        prop_oneof![v4, v6]
    }

    fn address_v4() -> impl Strategy<Value = IpAddr> {
        proptest::array::uniform4(prop_oneof![Just(0_u8), Just(1), Just(255)]).prop_map(Into::into)
    }

    fn address_v6() -> impl Strategy<Value = IpAddr> {
        let groups = proptest::array::uniform8(prop_oneof![Just(0_u16), Just(1), Just(0xffff)]);
        groups.prop_map(IpAddr::from)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn a_gateway_may_send_from_what_any_allowed_network_contains(
            networks in proptest::collection::vec((network(), 0..4_u8), 0..20),
            sources in proptest::collection::vec(prop_oneof![address_v4(), address_v6()], 1..20),
            forbidden in 0..5_u8,
        ) {
            let mut gateways = Gateways::default();
            let id = GatewayId::from_bytes([1; 16]);
            let own = (Ipv4Addr::new(100, 64, 0, 9), Ipv6Addr::LOCALHOST);
            let gateway = gateways.upsert(id, SiteId::from_bytes([2; 16]), own);
            for &(network, by) in &networks {
                gateway.allow(network, resource(by));
            }
            let is_allowed = |source: &IpAddr, but: Option<u8>| {
                let is_own = *source == IpAddr::V4(own.0) || *source == IpAddr::V6(own.1);
                let allowing = networks.iter().filter(|(_, by)| Some(*by) != but);
                is_own || allowing.into_iter().any(|(network, _)| network.contains(source))
            };
            // Twice, because the latest network is remembered.
            for source in sources.iter().chain(&sources) {
                prop_assert_eq!(gateway.may_send_from(*source), is_allowed(source, None));
            }
            gateways.forbid(resource(forbidden));
            let gateway = gateways.get_mut(id).unwrap();
            for source in sources.iter().chain(&sources) {
                prop_assert_eq!(gateway.may_send_from(*source), is_allowed(source, Some(forbidden)));
            }
        }
    }
}
