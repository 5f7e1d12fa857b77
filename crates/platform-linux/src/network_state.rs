//! What of the network matters to a client: where its packets may leave, and from which addresses.
//!
//! Netlink reports a lot more: life times renewed by every router advertisement, interfaces of
//! containers, our own routes. Comparing the state before and after tells what matters from
//! what does not.

use crate::{
    interface::address_of,
    netlink::{FAMILIES, Netlink, destination_of},
};
use rtnetlink::packet_route::{
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
    link::LinkFlags,
    route::{RouteAttribute, RouteHeader, RouteMessage, RouteType},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
};

/// A comparable picture of the network outside of the tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NetworkState {
    addresses: BTreeSet<(u32, IpAddr)>,
    // Default routes and others through a gateway, as sorted text: attributes have no order of their
    // own.
    default_routes: BTreeSet<String>,
}

impl NetworkState {
    /// What the network looks like without the interface `own`.
    pub(crate) async fn snapshot(netlink: &Netlink, own: Option<u32>) -> io::Result<Self> {
        let running: BTreeMap<u32, bool> = netlink
            .links()
            .await?
            .iter()
            .filter(|link| Some(link.header.index) != own)
            .filter(|link| !link.header.flags.contains(LinkFlags::Loopback))
            .map(|link| {
                let flags = link.header.flags;
                (link.header.index, flags.contains(LinkFlags::Running))
            })
            .collect();
        let is_running = |index: &u32| running.get(index).copied().unwrap_or(false);

        let addresses = netlink.addresses(None).await?;
        let addresses = addresses
            .iter()
            .filter(|a| is_running(&a.header.index) && is_lasting(a))
            .filter_map(|a| Some((a.header.index, address_of(a)?)))
            .collect();

        let mut default_routes = BTreeSet::new();
        for family in FAMILIES {
            let table = RouteHeader::RT_TABLE_MAIN.into();
            for route in netlink.routes(family, table).await? {
                let interface = crate::netlink::interface_of(&route);
                if interface.is_none_or(|index| is_running(&index)) {
                    default_routes.extend(describe(&route));
                }
            }
        }
        Ok(Self {
            addresses,
            default_routes,
        })
    }
}

/// A global address that is ready for use and not replaced every few hours.
fn is_lasting(message: &AddressMessage) -> bool {
    let flags = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let flags = flags.unwrap_or(AddressFlags::empty());
    // For IPv6 the flag *secondary* means a temporary address.
    let temporary = AddressFlags::Secondary.intersection(flags).bits().ne(&0)
        && address_of(message).is_some_and(|a| a.is_ipv6());
    let unusable = flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed);
    message.header.scope == AddressScope::Universe && !temporary && !unusable
}

/// Describes a default route or any other that leads through a gateway.
fn describe(route: &RouteMessage) -> Option<String> {
    if route.header.kind != RouteType::Unicast {
        return None;
    }
    let destination = destination_of(route)?;
    let mut parts: Vec<String> = route
        .attributes
        .iter()
        .filter(|a| {
            matches!(
                a,
                RouteAttribute::Gateway(_)
                    | RouteAttribute::Via(_)
                    | RouteAttribute::MultiPath(_)
                    | RouteAttribute::NhId(_)
                    | RouteAttribute::Oif(_)
                    | RouteAttribute::PrefSource(_)
                    | RouteAttribute::Priority(_)
            )
        })
        .map(|a| format!("{a:?}"))
        .collect();
    let through_gateway = |w: &String| !w.starts_with("Oif") && !w.starts_with("Pr");
    if destination.prefix_len() > 0 && !parts.iter().any(through_gateway) {
        return None;
    }
    parts.sort();
    Some(format!("{destination} {}", parts.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_route::route::RouteAddress;

    fn gateway() -> RouteAttribute {
        RouteAttribute::Gateway(RouteAddress::Inet([192, 0, 2, 1].into()))
    }

    #[test]
    fn only_routes_that_lead_out_count() {
        let route = |destination: &str| crate::netlink::route(destination.parse().unwrap(), 3, 254);
        assert!(describe(&route("0.0.0.0/0")).is_some());
        assert!(describe(&route("::/0")).is_some());
        assert_eq!(describe(&route("172.17.0.0/16")), None);
        let mut through = route("10.0.0.0/8");
        through.attributes.push(gateway());
        assert!(describe(&through).is_some());
        through.header.kind = RouteType::BlackHole;
        assert_eq!(describe(&through), None);
    }

    #[test]
    fn order_of_attributes_does_not_count() {
        let mut first = crate::netlink::route("0.0.0.0/0".parse().unwrap(), 3, 254);
        let mut second = first.clone();
        first.attributes.push(gateway());
        second.attributes.insert(0, gateway());
        assert_eq!(describe(&first), describe(&second));
        second.attributes.push(RouteAttribute::Priority(5));
        assert_ne!(describe(&first), describe(&second));
    }
}
