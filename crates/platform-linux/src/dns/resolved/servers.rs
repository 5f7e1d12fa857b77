//! The servers that `systemd-resolved` knows, and which of them it would ask without us.

use platform::{ResolverTransport, SystemResolver};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};
use zbus::zvariant::OwnedValue;

/// Port of DNS.
const PLAIN_PORT: u16 = 53;

/// Port of DNS over TLS. RFC 7858 section 3.1
const TLS_PORT: u16 = 853;

/// Properties by name, as `GetAll` returns them.
pub(super) type Properties = HashMap<String, OwnedValue>;

/// What the manager knows about all links; index 0 stands for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manager {
    pub(super) servers: Vec<Server>,
    fallback: Vec<Server>,
    // Domains of routing and searching, without a dot at the end; the root is empty.
    domains: Vec<(u32, String)>,
    only_tls: bool,
}

/// A server of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) link: u32,
    pub(super) address: IpAddr,
    // 0 stands for that of the protocol.
    port: u16,
}

/// What else matters about a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// Whether its servers answer for all names that belong to no other link.
    is_default_route: bool,
    only_tls: bool,
}

impl Manager {
    pub(super) fn parse(properties: &Properties) -> Self {
        let extended = servers(properties, "DNSEx");
        Self {
            // The extended one is there since version 246.
            servers: extended.unwrap_or_else(|| servers(properties, "DNS").unwrap_or_default()),
            fallback: servers(properties, "FallbackDNSEx").unwrap_or_default(),
            domains: domains(properties),
            only_tls: only_tls(properties),
        }
    }

    /// Links with servers, without our own.
    pub(super) fn links(&self, own: Option<u32>) -> Vec<u32> {
        let links = self.servers.iter().map(|server| server.link);
        let mut links: Vec<u32> = links
            .filter(|link| *link != 0 && Some(*link) != own)
            .collect();
        links.sort_unstable();
        links.dedup();
        links
    }

    /// Servers of one link, in order.
    pub(super) fn servers_of(&self, link: u32) -> impl Iterator<Item = IpAddr> {
        let of = self
            .servers
            .iter()
            .filter(move |server| server.link == link);
        of.map(|server| server.address)
    }

    /// Whether names of no other link's domain are led to the link.
    pub(super) fn is_catch_all(&self, link: u32) -> bool {
        self.domains
            .iter()
            .any(|(of, domain)| *of == link && domain.is_empty())
    }

    /// The servers that would be asked for an ordinary name if our own link were not there, and how
    /// many were left out because nobody could ask them.
    ///
    /// As `systemd-resolved` decides it: links with the domain `~.` win; else the global servers and
    /// links that are a default route; if there are none at all, the built-in ones. Servers of links
    /// for certain domains are asked by `systemd-resolved` itself and not by way of us.
    pub(super) fn upstreams(
        &self,
        links: &BTreeMap<u32, Link>,
        own: Option<u32>,
    ) -> (Vec<SystemResolver>, usize) {
        let others = || self.servers.iter().filter(|s| Some(s.link) != own);
        let is_default =
            |s: &Server| s.link == 0 || links.get(&s.link).is_none_or(|link| link.is_default_route);
        let catch_all = self.domains.iter().filter(|(_, domain)| domain.is_empty());
        let catch_all: BTreeSet<u32> = catch_all.map(|(link, _)| *link).collect();
        let mut chosen: Vec<&Server> = others().filter(|s| catch_all.contains(&s.link)).collect();
        if chosen.is_empty() {
            chosen = others().filter(|s| is_default(s)).collect();
        }
        if chosen.is_empty() && others().next().is_none() {
            chosen = self.fallback.iter().collect();
        }
        let resolvers: Vec<_> = chosen
            .iter()
            .filter_map(|s| self.resolver(s, links))
            .collect();
        let left_out = chosen.len() - resolvers.len();
        (resolvers, left_out)
    }

    /// None for a server that speaks TLS only and belongs to no link: a question cannot be kept
    /// from coming back to us.
    fn resolver(&self, server: &Server, links: &BTreeMap<u32, Link>) -> Option<SystemResolver> {
        let only_tls = match links.get(&server.link) {
            Some(link) => link.only_tls,
            None => self.only_tls,
        };
        let port = |usual| if server.port == 0 { usual } else { server.port };
        match (only_tls, server.link) {
            (false, _) => Some(SystemResolver::do53(server.at(port(PLAIN_PORT)))),
            (true, 0) => None,
            (true, link) => Some(SystemResolver {
                address: server.at(port(TLS_PORT)),
                transport: ResolverTransport::Managed { link },
            }),
        }
    }
}

impl Server {
    fn at(&self, port: u16) -> SocketAddr {
        match self.address {
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                SocketAddrV6::new(address, port, 0, self.link).into()
            }
            address => SocketAddr::new(address, port),
        }
    }
}

impl Link {
    pub(super) fn parse(properties: &Properties) -> Self {
        let default_route = properties.get("DefaultRoute").map(bool::try_from);
        Self {
            // The property is there since version 240; before, every link was one.
            is_default_route: default_route.is_none_or(|route| route.unwrap_or(true)),
            only_tls: only_tls(properties),
        }
    }
}

/// Whether only TLS will do; `opportunistic` falls back to plain DNS.
fn only_tls(properties: &Properties) -> bool {
    let mode = properties.get("DNSOverTLS").map(<&str>::try_from);
    matches!(mode, Some(Ok("yes")))
}

fn servers(properties: &Properties, name: &str) -> Option<Vec<Server>> {
    let value = properties.get(name)?.try_clone().ok()?;
    if name.ends_with("Ex") {
        let servers = Vec::<(i32, i32, Vec<u8>, u16, String)>::try_from(value).ok()?;
        let server = |(link, _, address, port, _): (_, i32, Vec<u8>, _, String)| {
            server(link, &address, port)
        };
        Some(servers.into_iter().filter_map(server).collect())
    } else {
        let servers = Vec::<(i32, i32, Vec<u8>)>::try_from(value).ok()?;
        let server = |(link, _, address): (_, i32, Vec<u8>)| server(link, &address, 0);
        Some(servers.into_iter().filter_map(server).collect())
    }
}

fn server(link: i32, address: &[u8], port: u16) -> Option<Server> {
    let v4 = |bytes: [u8; 4]| IpAddr::from(Ipv4Addr::from(bytes));
    let v6 = |bytes: [u8; 16]| IpAddr::from(Ipv6Addr::from(bytes));
    let address = address
        .try_into()
        .map(v4)
        .or_else(|_| address.try_into().map(v6));
    Some(Server {
        link: u32::try_from(link).ok()?,
        address: address.ok()?,
        port,
    })
}

fn domains(properties: &Properties) -> Vec<(u32, String)> {
    let value = properties.get("Domains").and_then(|v| v.try_clone().ok());
    let domains = value.map(Vec::<(i32, String, bool)>::try_from);
    let domain = |(link, domain, _): (i32, String, bool)| {
        let link = u32::try_from(link).ok()?;
        Some((link, domain.trim_end_matches('.').to_owned()))
    };
    domains
        .and_then(Result::ok)
        .unwrap_or_default()
        .into_iter()
        .filter_map(domain)
        .collect()
}

#[cfg(test)]
mod tests;
