//! The tunnel interface: what the portal assigns, and what the operating system is to be told.

use crate::DomainName;
use ipnet::IpNet;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Addresses and DNS settings of the tunnel interface. spec: portal 5.2
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Our IPv4 address inside the tunnel.
    pub ipv4: Ipv4Addr,
    /// Our IPv6 address inside the tunnel.
    pub ipv6: Ipv6Addr,
    /// Resolvers of the account, in order; empty means the system's own.
    pub upstream_dns: Vec<SocketAddr>,
    /// Domain in which single-label names are looked up.
    pub search_domain: Option<DomainName>,
}

/// The whole desired state of the tunnel interface. spec: data-plane 8
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfacePlan {
    /// The IPv4 address, configured as /32.
    pub ipv4: Ipv4Addr,
    /// The IPv6 address, configured as /128.
    pub ipv6: Ipv6Addr,
    /// Networks that are routed into the tunnel; all others are not.
    pub routes: BTreeSet<IpNet>,
    /// Servers that the system resolver is to ask, in order; none leaves it alone.
    pub dns_servers: Vec<IpAddr>,
    /// Domain in which the system resolver looks up single-label names.
    pub search_domain: Option<DomainName>,
}

impl InterfacePlan {
    /// The routes without host bits, which is how a system reports them.
    pub fn networks(&self) -> BTreeSet<IpNet> {
        self.routes.iter().map(IpNet::trunc).collect()
    }
}
