//! Links, addresses and routes of a host, by netlink. Everything here runs on the host's thread.

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::{
    Error, Handle, IpVersion, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth,
    RouteMessageBuilder,
    packet_route::{
        address::AddressAttribute,
        link::{InfoData, InfoVeth, LinkAttribute, LinkMessage},
        route::{RouteAttribute, RouteMessage, RouteScope, RouteType},
    },
};
use std::{
    io,
    net::IpAddr,
    os::fd::{AsRawFd as _, OwnedFd},
};

/// A link of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Bytes that came in, with link headers.
    pub received: u64,
    /// Bytes that went out, with link headers.
    pub sent: u64,
}

/// An open netlink socket; needs a runtime, and works in the namespace in which it was opened.
pub(crate) struct Netlink {
    handle: Handle,
    reader: tokio::task::JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let reader = tokio::spawn(connection);
        Ok(Self { handle, reader })
    }

    /// Makes a pair of links: one here, and `peer` in another namespace.
    pub(crate) async fn add_pair(&self, name: &str, peer: &str, there: OwnedFd) -> io::Result<()> {
        // The kernel refuses to switch a peer on before it knows the other end.
        let peer = LinkUnspec::new_with_name(peer)
            .append_extra_attribute(LinkAttribute::NetNsFd(there.as_raw_fd()))
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new(name, "unused")
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .up()
            .build();
        self.handle
            .link()
            .add(pair)
            .execute()
            .await
            .map_err(into_io)
    }

    pub(crate) async fn add_bridge(&self, name: &str) -> io::Result<()> {
        let bridge = LinkBridge::new(name).build();
        self.handle
            .link()
            .add(bridge)
            .execute()
            .await
            .map_err(into_io)
    }

    /// Makes a link a port of a bridge.
    pub(crate) async fn attach(&self, port: &str, bridge: &str) -> io::Result<()> {
        let bridge = self.index_of(bridge).await?;
        let port = self.index_of(port).await?;
        let change = LinkUnspec::new_with_index(port)
            .controller(bridge)
            .up()
            .build();
        self.handle
            .link()
            .set(change)
            .execute()
            .await
            .map_err(into_io)
    }

    /// Switches a link on.
    pub(crate) async fn up(&self, name: &str) -> io::Result<()> {
        let change = LinkUnspec::new_with_index(self.index_of(name).await?)
            .up()
            .build();
        self.handle
            .link()
            .set(change)
            .execute()
            .await
            .map_err(into_io)
    }

    pub(crate) async fn add_address(&self, link: &str, address: IpNet) -> io::Result<()> {
        let index = self.index_of(link).await?;
        let request = self
            .handle
            .address()
            .add(index, address.addr(), address.prefix_len());
        request.execute().await.map_err(into_io)
    }

    /// Sends what goes to a network to a neighbour.
    pub(crate) async fn add_route(&self, network: IpNet, via: IpAddr) -> io::Result<()> {
        let message = match (network, via) {
            (IpNet::V4(to), IpAddr::V4(via)) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(to.network(), to.prefix_len())
                .gateway(via)
                .build(),
            (IpNet::V6(to), IpAddr::V6(via)) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(to.network(), to.prefix_len())
                .gateway(via)
                .build(),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        self.handle
            .route()
            .add(message)
            .execute()
            .await
            .map_err(into_io)
    }

    /// Takes every address of a network for the host's own.
    pub(crate) async fn add_local(&self, network: IpNet) -> io::Result<()> {
        /// The kernel's table of own addresses.
        const LOCAL: u32 = 255;
        let index = self.index_of("lo").await?;
        let message = match network {
            IpNet::V4(to) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(to.network(), to.prefix_len())
                .output_interface(index)
                .table_id(LOCAL)
                .kind(RouteType::Local)
                .scope(RouteScope::Host)
                .build(),
            IpNet::V6(to) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(to.network(), to.prefix_len())
                .output_interface(index)
                .table_id(LOCAL)
                .kind(RouteType::Local)
                .scope(RouteScope::Host)
                .build(),
        };
        self.handle
            .route()
            .add(message)
            .execute()
            .await
            .map_err(into_io)
    }

    async fn index_of(&self, name: &str) -> io::Result<u32> {
        let mut links = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        match links.try_next().await.map_err(into_io)? {
            Some(link) => Ok(link.header.index),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// All links of this thread's network.
pub(crate) async fn links() -> io::Result<Vec<Link>> {
    let netlink = Netlink::open()?;
    let found: Vec<LinkMessage> = netlink
        .handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(into_io)?;
    Ok(found.iter().map(link_of).collect())
}

fn link_of(message: &LinkMessage) -> Link {
    let mut link = Link {
        name: String::new(),
        received: 0,
        sent: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Stats64(stats) => {
                link.received = stats.rx_bytes;
                link.sent = stats.tx_bytes;
            }
            _ => {}
        }
    }
    link
}

/// Links, addresses, routes and rules of this thread's network, a sorted line each.
pub(crate) async fn network_state() -> io::Result<Vec<String>> {
    let netlink = Netlink::open()?;
    let handle = &netlink.handle;
    let links: Vec<LinkMessage> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(into_io)?;
    let mut lines: Vec<String> = links
        .iter()
        .map(|link| format!("link {}", link_of(link).name))
        .collect();
    let addresses: Vec<_> = handle
        .address()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(into_io)?;
    lines.extend(addresses.iter().map(|message| {
        let mut kept = message.attributes.clone();
        kept.retain(|a| matches!(a, AddressAttribute::Address(_)));
        format!("address {} {kept:?}", message.header.index)
    }));
    for message in [
        RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
        RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
    ] {
        let routes: Vec<RouteMessage> = handle
            .route()
            .get(message)
            .execute()
            .try_collect()
            .await
            .map_err(into_io)?;
        lines.extend(routes.iter().map(route_line));
    }
    for version in [IpVersion::V4, IpVersion::V6] {
        let rules: Vec<_> = handle
            .rule()
            .get(version)
            .execute()
            .try_collect()
            .await
            .map_err(into_io)?;
        lines.extend(rules.iter().map(|rule| format!("rule {rule:?}")));
    }
    lines.sort();
    Ok(lines)
}

fn route_line(route: &RouteMessage) -> String {
    let mut kept = route.attributes.clone();
    // Ages and counts of use are no part of a route.
    kept.retain(|a| {
        !matches!(
            a,
            RouteAttribute::CacheInfo(_) | RouteAttribute::Expires(_) | RouteAttribute::Metrics(_)
        )
    });
    let header = &route.header;
    format!(
        "route {:?} /{} {kept:?}",
        header.kind, header.destination_prefix_length
    )
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
