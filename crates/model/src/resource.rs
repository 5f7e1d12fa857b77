//! What a client may reach. spec: data-plane 10

use crate::{ResourceId, SiteId};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A group of gateways that reach the same resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Site {
    /// The portal's id of the site.
    pub id: SiteId,
    /// Display text.
    pub name: String,
}

/// Something behind a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A range of addresses.
    Cidr(CidrResource),
    /// Names that match a pattern.
    Dns(DnsResource),
    /// Everything else, if the user wants it.
    Internet(InternetResource),
}

impl Resource {
    /// The portal's id of the resource.
    pub const fn id(&self) -> ResourceId {
        match self {
            Self::Cidr(resource) => resource.id,
            Self::Dns(resource) => resource.id,
            Self::Internet(resource) => resource.id,
        }
    }

    /// Display text.
    pub fn name(&self) -> &str {
        match self {
            Self::Cidr(resource) => &resource.name,
            Self::Dns(resource) => &resource.name,
            Self::Internet(resource) => &resource.name,
        }
    }

    /// The sites whose gateways reach the resource.
    pub fn sites(&self) -> &[Site] {
        match self {
            Self::Cidr(resource) => &resource.sites,
            Self::Dns(resource) => &resource.sites,
            Self::Internet(resource) => &resource.sites,
        }
    }

    /// Whether traffic meant for `self` still reaches `other`: the same kind at the same address.
    ///
    /// When it does not, authorizations and mappings of the old form are void.
    /// spec: data-plane 10.2
    pub fn same_addressability(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cidr(a), Self::Cidr(b)) => a.address == b.address,
            (Self::Dns(a), Self::Dns(b)) => (&a.address, a.ip_stack) == (&b.address, b.ip_stack),
            (Self::Internet(_), Self::Internet(_)) => true,
            _ => false,
        }
    }
}

/// A range of addresses behind a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CidrResource {
    /// The portal's id of the resource.
    pub id: ResourceId,
    /// Display text.
    pub name: String,
    /// The range; host bits are zero.
    pub address: IpNet,
    /// Display text, often a URL.
    pub address_description: Option<String>,
    /// The sites whose gateways reach it.
    pub sites: Vec<Site>,
    /// What may pass; empty means everything.
    pub filters: Vec<Filter>,
}

/// Names behind a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsResource {
    /// The portal's id of the resource.
    pub id: ResourceId,
    /// Display text.
    pub name: String,
    /// The pattern that names must match. spec: data-plane 12.3
    pub address: String,
    /// Display text, often a URL.
    pub address_description: Option<String>,
    /// The address families the resource answers on.
    pub ip_stack: IpStack,
    /// The sites whose gateways reach it.
    pub sites: Vec<Site>,
    /// What may pass; empty means everything.
    pub filters: Vec<Filter>,
}

/// Everything that no other resource covers. spec: data-plane 10.5
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternetResource {
    /// The portal's id of the resource.
    pub id: ResourceId,
    /// Display text.
    pub name: String,
    /// The sites whose gateways reach it.
    pub sites: Vec<Site>,
}

/// The address families of a DNS resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpStack {
    /// IPv4 and IPv6.
    #[default]
    Dual,
    /// IPv4 alone.
    Ipv4Only,
    /// IPv6 alone.
    Ipv6Only,
}

impl IpStack {
    /// Whether names of the resource have IPv4 addresses.
    pub const fn has_v4(self) -> bool {
        matches!(self, Self::Dual | Self::Ipv4Only)
    }

    /// Whether names of the resource have IPv6 addresses.
    pub const fn has_v6(self) -> bool {
        matches!(self, Self::Dual | Self::Ipv6Only)
    }
}

/// One permitted kind of traffic. spec: data-plane 10.4
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "lowercase")]
pub enum Filter {
    /// ICMP and ICMPv6 of every type.
    Icmp,
    /// TCP to these destination ports.
    Tcp(PortRange),
    /// UDP to these destination ports.
    Udp(PortRange),
}

/// An inclusive range of ports; all ports where the message names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The first port.
    #[serde(rename = "port_range_start", default)]
    pub first: u16,
    /// The last port.
    #[serde(rename = "port_range_end", default = "last_port")]
    pub last: u16,
}

const fn last_port() -> u16 {
    u16::MAX
}

impl PortRange {
    /// Whether the port is in the range.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_default_to_all_ports() {
        let filters: Vec<Filter> = serde_json::from_str(
            r#"[{"protocol":"icmp"},{"protocol":"udp"},
                {"protocol":"tcp","port_range_start":80,"port_range_end":81}]"#,
        )
        .unwrap();
        let all = PortRange {
            first: 0,
            last: u16::MAX,
        };
        let web = PortRange {
            first: 80,
            last: 81,
        };
        assert_eq!(filters, [Filter::Icmp, Filter::Udp(all), Filter::Tcp(web)]);
        assert!(web.contains(81) && !web.contains(82) && !web.contains(79));
        assert!(serde_json::from_str::<Filter>(r#"{"protocol":"sctp"}"#).is_err());
    }

    #[test]
    fn renaming_keeps_addressability() {
        let before = Resource::Cidr(CidrResource {
            id: ResourceId::from_bytes([1; 16]),
            name: "old".into(),
            address: "10.0.0.0/8".parse().unwrap(),
            address_description: None,
            sites: vec![],
            filters: vec![],
        });
        let Resource::Cidr(mut after) = before.clone() else {
            unreachable!()
        };
        after.name = "new".into();
        assert!(before.same_addressability(&Resource::Cidr(after.clone())));
        after.address = "10.0.0.0/9".parse().unwrap();
        assert!(!before.same_addressability(&Resource::Cidr(after)));
    }
}
