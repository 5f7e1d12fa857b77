//! Who has which address. All of them are reserved for documentation and benchmarks.

/// The portal's public address.
pub const PORTAL: &str = "203.0.113.10";
/// The portal's public IPv6 address.
pub const PORTAL6: &str = "2001:db8:113::10";
/// The portal's public name.
pub const PORTAL_NAME: &str = "portal.public.test";
/// The portal's port.
pub const PORTAL_PORT: u16 = 8081;
/// The public resolver.
pub const RESOLVER: &str = "203.0.113.53";
/// The public resolver's IPv6 address.
pub const RESOLVER6: &str = "2001:db8:113::53";
/// The resource host, which serves HTTP on port 80, echoes datagrams on port 7777 and resolves
/// `corp.test`.
pub const RESOURCE: &str = "198.19.0.10";
/// The resource host's IPv6 address.
pub const RESOURCE6: &str = "2001:db8:19::10";
/// The network of the resource host.
pub const RESOURCE_NET: &str = "198.19.0.0/24";
/// The IPv6 network of the resource host.
pub const RESOURCE_NET6: &str = "2001:db8:19::/64";
/// A network of which the resource host has every address.
pub const MANY_NET: &str = "198.19.128.0/20";
/// A name of the resource host; so is every name below `corp.test`.
pub const RESOURCE_NAME: &str = "app.corp.test";
/// Where datagrams are echoed.
pub const ECHO_PORT: u16 = 7777;
/// Where HTTP is served.
pub const HTTP_PORT: u16 = 80;

/// The relays' public addresses.
pub(crate) const RELAY_ADDRESSES: [&str; 2] = ["203.0.113.21", "203.0.113.22"];
/// The relays' public IPv6 addresses.
pub(crate) const RELAY_ADDRESSES6: [&str; 2] = ["2001:db8:113::21", "2001:db8:113::22"];

/// A private network with a router and one host, as four addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    /// The network.
    pub(crate) network: &'static str,
    /// The router's address inside, with its prefix.
    pub(crate) router: &'static str,
    /// The host's address, with its prefix.
    pub(crate) host: &'static str,
    /// The router's public address, with its prefix.
    pub(crate) public: &'static str,
}

pub(crate) const CLIENT: Access = Access {
    network: "198.18.1.0/24",
    router: "198.18.1.1/24",
    host: "198.18.1.100/24",
    public: "203.0.113.101/24",
};

/// The gateways' networks, and their addresses in the resource network.
pub(crate) const GATEWAYS: [(Access, &str, &str); 2] = [
    (
        Access {
            network: "198.18.11.0/24",
            router: "198.18.11.1/24",
            host: "198.18.11.100/24",
            public: "203.0.113.111/24",
        },
        "198.19.0.2/24",
        "2001:db8:19::2/64",
    ),
    (
        Access {
            network: "198.18.12.0/24",
            router: "198.18.12.1/24",
            host: "198.18.12.100/24",
            public: "203.0.113.112/24",
        },
        "198.19.0.3/24",
        "2001:db8:19::3/64",
    ),
];
