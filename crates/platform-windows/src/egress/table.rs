//! What the system knows about its networks, as far as it matters here.

use ipnet::IpNet;
use std::net::IpAddr;

/// Routes, interfaces and addresses of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// All routes, in any order (`GetIpForwardTable2`).
    pub routes: Vec<Route>,
    /// All interfaces (`GetAdaptersAddresses`).
    pub interfaces: Vec<Interface>,
    /// All unicast addresses; of equals the first one is taken (`GetUnicastIpAddressTable`).
    pub addresses: Vec<Address>,
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub prefix: IpNet,
    /// LUID of the interface that it leads through.
    pub interface: u64,
    /// Its own metric, an offset to that of the interface.
    pub metric: u32,
    /// The router; `None` if the destination is on the link.
    pub next_hop: Option<IpAddr>,
}

/// An interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// Locally unique identifier.
    pub luid: u64,
    /// Index, which sockets know it by. Never 0.
    pub index: u32,
    /// Whether packets can leave through it now. Windows keeps the routes of those that are not up.
    pub is_up: bool,
    /// Whether it leads back to this machine.
    pub is_loopback: bool,
    /// Metric of its IPv4 routes; `None` without IPv4.
    pub metric_v4: Option<u32>,
    /// Metric of its IPv6 routes; `None` without IPv6.
    pub metric_v6: Option<u32>,
}

/// A unicast address of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// LUID of the interface that has it.
    pub interface: u64,
    /// Length of the prefix that is on the link, in bits.
    pub prefix_length: u8,
    /// How far duplicate address detection and its lifetimes are.
    pub state: State,
    /// Whether an administrator forbids its use without being asked for.
    pub skip_as_source: bool,
    /// Whether it is a temporary address of RFC 8981.
    pub is_temporary: bool,
}

/// State of an address (`NL_DAD_STATE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not to be used: invalid, tentative or a duplicate.
    Unusable,
    /// Still valid, but on its way out.
    Deprecated,
    /// Good for everything.
    Preferred,
}

impl Interface {
    /// Metric of its routes in the family of an address.
    pub(super) fn metric(&self, of: IpAddr) -> Option<u32> {
        match of {
            IpAddr::V4(_) => self.metric_v4,
            IpAddr::V6(_) => self.metric_v6,
        }
    }
}
