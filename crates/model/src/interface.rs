//! What the portal assigns to a client's interface.

use crate::DomainName;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

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
