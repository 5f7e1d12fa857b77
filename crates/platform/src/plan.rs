//! The desired state of the interface.

use ipnet::IpNet;
use model::DomainName;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// All that a client wants of the operating system while it is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfacePlan {
    /// Address of the interface, as /32.
    pub ipv4: Ipv4Addr,
    /// Address of the interface, as /128.
    pub ipv6: Ipv6Addr,
    /// Networks that lead into the tunnel; host bits are ignored.
    pub routes: BTreeSet<IpNet>,
    /// Resolvers that the system shall use, in order; empty leaves the system's own.
    pub dns_servers: Vec<IpAddr>,
    /// Domain in which the system completes single-label names.
    pub search_domain: Option<DomainName>,
}

impl InterfacePlan {
    /// The routes without host bits, which is how a system reports them.
    pub fn networks(&self) -> BTreeSet<IpNet> {
        self.routes.iter().map(IpNet::trunc).collect()
    }
}
