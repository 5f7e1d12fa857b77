//! Copies of the routes to directly connected networks, so that they win over the Internet
//! Resource and lose against resources. spec: platform 3.3
//!
//! IPv6 has no link scope in netlink; a route that the kernel made and that has no gateway is one to
//! a connected network.

use crate::{
    netlink::{FAMILIES, Netlink, destination_of, interface_of, is_any_of},
    rules::LINK_SCOPE_TABLE,
};
use ipnet::IpNet;
use rtnetlink::packet_route::{
    AddressFamily,
    link::{LinkAttribute, State},
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};
use std::{collections::BTreeSet, io, net::IpAddr};

/// Makes the table equal to the connected networks of all interfaces but our own.
pub(crate) async fn synchronise(netlink: &Netlink, own: Option<u32>) -> io::Result<()> {
    let up: BTreeSet<u32> = netlink
        .links()
        .await?
        .iter()
        .filter(|link| {
            let state = |a: &LinkAttribute| matches!(a, LinkAttribute::OperState(State::Up));
            // Routes of an interface that is not up cannot be added.
            link.attributes.iter().any(state) && Some(link.header.index) != own
        })
        .map(|link| link.header.index)
        .collect();

    for family in FAMILIES {
        let main = netlink
            .routes(family, RouteHeader::RT_TABLE_MAIN.into())
            .await?;
        let connected = main
            .into_iter()
            .filter(|r| is_connected(r) && interface_of(r).is_some_and(|i| up.contains(&i)));
        let wanted: Vec<RouteMessage> = connected.map(copy).collect();
        let present = netlink.routes(family, LINK_SCOPE_TABLE).await?;
        replace(netlink, present, wanted).await;
    }
    Ok(())
}

/// What differs: routes to be deleted, and those to be added.
fn difference(
    mut present: Vec<RouteMessage>,
    mut wanted: Vec<RouteMessage>,
) -> (Vec<RouteMessage>, Vec<RouteMessage>) {
    let keys = |routes: &[RouteMessage]| routes.iter().map(Key::of).collect::<BTreeSet<Key>>();
    let (are_present, are_wanted) = (keys(&present), keys(&wanted));
    present.retain(|route| !are_wanted.contains(&Key::of(route)));
    wanted.retain(|route| !are_present.contains(&Key::of(route)));
    (present, wanted)
}

async fn replace(netlink: &Netlink, present: Vec<RouteMessage>, wanted: Vec<RouteMessage>) {
    let (stale, missing) = difference(present, wanted);
    for route in stale {
        if let Err(error) = netlink.delete_route(route).await {
            tracing::debug!(%error, "A stale copy of a connected network stays");
        }
    }
    for route in missing {
        match netlink.add_route(route).await {
            Err(error) if !is_any_of(&error, &[libc::EEXIST]) => {
                tracing::debug!(%error, "Cannot copy the route of a connected network");
            }
            _ => {}
        }
    }
}

/// What tells two routes of the table apart.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    destination: Option<IpNet>,
    interface: Option<u32>,
    source: Option<IpAddr>,
}

impl Key {
    fn of(route: &RouteMessage) -> Self {
        let source = |a: &RouteAttribute| match a {
            RouteAttribute::PrefSource(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
            RouteAttribute::PrefSource(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
            _ => None,
        };
        Self {
            destination: destination_of(route),
            interface: interface_of(route),
            source: route.attributes.iter().find_map(source),
        }
    }
}

fn is_connected(route: &RouteMessage) -> bool {
    let header = &route.header;
    if header.kind != RouteType::Unicast {
        return false;
    }
    if header.address_family == AddressFamily::Inet {
        return header.scope == RouteScope::Link;
    }
    let leads_on = |a: &RouteAttribute| {
        matches!(
            a,
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) | RouteAttribute::MultiPath(_)
        )
    };
    let global = match destination_of(route).map(|d| d.addr()) {
        Some(IpAddr::V6(address)) => !address.is_unicast_link_local() && !address.is_multicast(),
        _ => false,
    };
    header.protocol == RouteProtocol::Kernel
        && header.destination_prefix_length > 0
        && global
        && !route.attributes.iter().any(leads_on)
}

/// The route in our table. Life times and statistics stay behind: the original has them.
fn copy(route: RouteMessage) -> RouteMessage {
    let mut copy = RouteMessage::default();
    copy.header = route.header;
    copy.header.table = RouteHeader::RT_TABLE_UNSPEC;
    copy.header.flags = rtnetlink::packet_route::route::RouteFlags::empty();
    let essential = |a: &RouteAttribute| {
        matches!(
            a,
            RouteAttribute::Destination(_)
                | RouteAttribute::Oif(_)
                | RouteAttribute::PrefSource(_)
                | RouteAttribute::Priority(_)
        )
    };
    copy.attributes = route.attributes.into_iter().filter(essential).collect();
    copy.attributes
        .push(RouteAttribute::Table(LINK_SCOPE_TABLE));
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(destination: &str, change: impl FnOnce(&mut RouteMessage)) -> RouteMessage {
        let mut route = crate::netlink::route(destination.parse().unwrap(), 3, 254);
        route.header.protocol = RouteProtocol::Kernel;
        change(&mut route);
        route
    }

    #[test]
    fn connected_networks_are_recognised() {
        let link = |r: &mut RouteMessage| r.header.scope = RouteScope::Link;
        let gateway = |r: &mut RouteMessage| {
            let address = RouteAddress::Inet6("fe80::1".parse().unwrap());
            r.attributes.push(RouteAttribute::Gateway(address));
        };
        let foreign = |r: &mut RouteMessage| r.header.protocol = RouteProtocol::Static;
        let local = |r: &mut RouteMessage| r.header.kind = RouteType::Local;
        let cases = [
            (message("192.0.2.0/24", link), true),
            (message("192.0.2.0/24", |_| ()), false),
            (message("192.0.2.0/24", |r| (link(r), local(r)).0), false),
            (message("2001:db8::/64", |_| ()), true),
            (message("2001:db8::/64", gateway), false),
            (message("2001:db8::/64", foreign), false),
            (message("2001:db8::/64", local), false),
            (message("fe80::/64", |_| ()), false),
            (message("ff00::/8", |_| ()), false),
            (message("::/0", |_| ()), false),
        ];
        for (route, expected) in cases {
            assert_eq!(is_connected(&route), expected, "{route:?}");
        }
    }

    #[test]
    fn what_differs_in_network_interface_or_source_is_replaced() {
        let plain = || message("192.0.2.0/24", |_| ());
        let other = [
            message("198.51.100.0/24", |_| ()),
            message("192.0.2.0/25", |_| ()),
            message("192.0.2.0/24", |r| {
                r.attributes
                    .retain(|a| !matches!(a, RouteAttribute::Oif(_)));
                r.attributes.push(RouteAttribute::Oif(4));
            }),
            message("192.0.2.0/24", |r| {
                let source = RouteAddress::Inet([192, 0, 2, 7].into());
                r.attributes.push(RouteAttribute::PrefSource(source));
            }),
            message("2001:db8::/64", |_| ()),
        ];
        let same = message("192.0.2.0/24", |r| {
            r.attributes.push(RouteAttribute::Priority(600));
        });
        let (stale, missing) = difference(vec![plain()], vec![same]);
        assert!(stale.is_empty() && missing.is_empty());
        for route in other {
            let (stale, missing) = difference(vec![plain()], vec![route.clone()]);
            assert_eq!((stale, missing), (vec![plain()], vec![route]));
        }
    }

    #[test]
    fn copy_changes_nothing_but_the_table() {
        let original = message("192.0.2.0/24", |r| {
            r.header.table = RouteHeader::RT_TABLE_MAIN;
            r.attributes
                .retain(|a| !matches!(a, RouteAttribute::Table(_)));
            r.attributes.push(RouteAttribute::Priority(600));
        });
        let copied = copy(original.clone());
        assert_eq!(crate::netlink::table_of(&copied), LINK_SCOPE_TABLE);
        assert!(Key::of(&copied) == Key::of(&original));
        assert!(copied.attributes.contains(&RouteAttribute::Priority(600)));
        assert_eq!(copied.header.scope, original.header.scope);
    }
}
