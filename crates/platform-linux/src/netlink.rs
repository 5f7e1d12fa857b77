//! One route netlink socket, spoken to in whole operations and answered with error numbers.
//!
//! The kernel allows one dump per socket, so callers must not run two operations at a time; the
//! control thread, the only caller, does not. spec: platform 2.5

use futures_util::{Stream, TryStreamExt as _};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rtnetlink::{
    Error, Handle, IpVersion,
    packet_route::{
        AddressFamily,
        address::AddressMessage,
        link::{LinkAttribute, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage},
        rule::RuleMessage,
    },
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tokio::task::JoinHandle;

/// Both families, in the order in which they are worked through.
pub(crate) const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

/// An open socket and the task that reads it.
pub(crate) struct Netlink {
    handle: Handle,
    reader: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Netlink {
    /// Opens the socket; needs a runtime.
    pub(crate) fn open() -> io::Result<Self> {
        // Strict checking lets the kernel filter dumps; kernels before 4.20 do not know it.
        let (connection, handle, _) = rtnetlink::new_connection_with_strict_check()
            .or_else(|_| rtnetlink::new_connection())?;
        let reader = tokio::spawn(connection);
        Ok(Self { handle, reader })
    }

    /// The index of an interface, if there is one of that name.
    pub(crate) async fn index_of(&self, name: &str) -> io::Result<Option<u32>> {
        let request = self.handle.link().get().match_name(name.to_owned());
        match collect(request.execute()).await {
            Ok(links) => Ok(links.first().map(|link| link.header.index)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All interfaces.
    pub(crate) async fn links(&self) -> io::Result<Vec<LinkMessage>> {
        collect(self.handle.link().get().execute()).await
    }

    /// Changes attributes of an interface.
    pub(crate) async fn change_link(
        &self,
        index: u32,
        attributes: impl IntoIterator<Item = LinkAttribute>,
    ) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.extend(attributes);
        self.submit_link(link).await
    }

    /// Changes an interface as the message says.
    pub(crate) async fn submit_link(&self, link: LinkMessage) -> io::Result<()> {
        let request = self.handle.link().change(link).execute();
        request.await.map_err(into_io)
    }

    /// Addresses of one interface, or of all.
    pub(crate) async fn addresses(&self, index: Option<u32>) -> io::Result<Vec<AddressMessage>> {
        let mut request = self.handle.address().get();
        if let Some(index) = index {
            request = request.set_link_index_filter(index);
        }
        collect(request.execute()).await
    }

    /// Adds an address with a prefix that covers just itself.
    pub(crate) async fn add_address(&self, index: u32, address: IpAddr) -> io::Result<()> {
        let prefix = IpNet::from(address).prefix_len();
        let request = self.handle.address().add(index, address, prefix).execute();
        request.await.map_err(into_io)
    }

    /// Removes an address as it was reported.
    pub(crate) async fn delete_address(&self, address: AddressMessage) -> io::Result<()> {
        let request = self.handle.address().del(address).execute();
        request.await.map_err(into_io)
    }

    /// Routes of one family in one table.
    pub(crate) async fn routes(
        &self,
        family: AddressFamily,
        table: u32,
    ) -> io::Result<Vec<RouteMessage>> {
        let mut filter = RouteMessage::default();
        filter.header.address_family = family;
        filter.attributes.push(RouteAttribute::Table(table));
        let routes = match collect(self.handle.route().get(filter).execute()).await {
            Ok(routes) => routes,
            // The kernel makes tables with their first route.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Vec::new(),
            Err(error) => return Err(error),
        };
        let wanted = |route: &RouteMessage| {
            route.header.address_family == family
                && table_of(route) == table
                && !route.header.flags.contains(RouteFlags::Cloned)
        };
        Ok(routes.into_iter().filter(wanted).collect())
    }

    /// Adds a route.
    pub(crate) async fn add_route(&self, route: RouteMessage) -> io::Result<()> {
        let request = self.handle.route().add(route).execute();
        request.await.map_err(into_io)
    }

    /// Removes a route as it was reported.
    pub(crate) async fn delete_route(&self, route: RouteMessage) -> io::Result<()> {
        let request = self.handle.route().del(route).execute();
        request.await.map_err(into_io)
    }

    /// Rules of one family.
    pub(crate) async fn rules(&self, family: AddressFamily) -> io::Result<Vec<RuleMessage>> {
        let version = match family {
            AddressFamily::Inet6 => IpVersion::V6,
            _ => IpVersion::V4,
        };
        let rules = collect(self.handle.rule().get(version).execute()).await?;
        let wanted = |rule: &RuleMessage| rule.header.family == family;
        Ok(rules.into_iter().filter(wanted).collect())
    }

    /// Adds a rule.
    pub(crate) async fn add_rule(&self, rule: RuleMessage) -> io::Result<()> {
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule;
        request.execute().await.map_err(into_io)
    }

    /// Removes a rule as it was reported.
    pub(crate) async fn delete_rule(&self, rule: RuleMessage) -> io::Result<()> {
        let request = self.handle.rule().del(rule).execute();
        request.await.map_err(into_io)
    }
}

/// The table of a route: the attribute counts, the header has room for small numbers only.
pub(crate) fn table_of(route: &RouteMessage) -> u32 {
    let attribute = route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    attribute.unwrap_or_else(|| route.header.table.into())
}

/// The destination of a route; a default route has no attribute for it.
pub(crate) fn destination_of(route: &RouteMessage) -> Option<IpNet> {
    let length = route.header.destination_prefix_length;
    let address = route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        RouteAttribute::Destination(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    });
    let any: IpAddr = match route.header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    match address.unwrap_or(any) {
        IpAddr::V4(v4) => Ipv4Net::new(v4, length).ok().map(IpNet::V4),
        IpAddr::V6(v6) => Ipv6Net::new(v6, length).ok().map(IpNet::V6),
    }
}

/// The outgoing interface of a route with a single next hop.
pub(crate) fn interface_of(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// A route to `destination` out of an interface in a table of its own.
pub(crate) fn route(destination: IpNet, index: u32, table: u32) -> RouteMessage {
    use rtnetlink::packet_route::route::{RouteProtocol, RouteScope, RouteType};

    let destination = destination.trunc();
    let mut route = RouteMessage::default();
    route.header = RouteHeader {
        address_family: family_of(destination.addr()),
        destination_prefix_length: destination.prefix_len(),
        table: RouteHeader::RT_TABLE_UNSPEC,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    if destination.prefix_len() > 0 {
        let address = RouteAddress::from(destination.addr());
        route.attributes.push(RouteAttribute::Destination(address));
    }
    route.attributes.push(RouteAttribute::Oif(index));
    route.attributes.push(RouteAttribute::Table(table));
    route
}

/// What logs call a family.
pub(crate) const fn family_name(family: AddressFamily) -> &'static str {
    match family {
        AddressFamily::Inet => "IPv4",
        AddressFamily::Inet6 => "IPv6",
        _ => "other",
    }
}

/// The family of an address in netlink's terms.
pub(crate) fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// Whether the error says one of the given numbers.
pub(crate) fn is_any_of(error: &io::Error, numbers: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|n| numbers.contains(&n))
}

async fn collect<T>(stream: impl Stream<Item = Result<T, Error>>) -> io::Result<Vec<T>> {
    stream.try_collect().await.map_err(into_io)
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_messages_say_what_they_were_made_of() {
        let cases = [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::1/64", "fd00::/64"),
            ("::/0", "::/0"),
            ("192.0.2.1/32", "192.0.2.1/32"),
        ];
        for (given, expected) in cases {
            let message = route(given.parse().unwrap(), 7, 0x2021_fd00);
            assert_eq!(destination_of(&message), expected.parse().ok(), "{given}");
            assert_eq!(interface_of(&message), Some(7));
            assert_eq!(table_of(&message), 0x2021_fd00);
        }
    }

    #[test]
    fn small_tables_stand_in_the_header() {
        let mut message = RouteMessage::default();
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        assert_eq!(table_of(&message), 254);
    }
}
