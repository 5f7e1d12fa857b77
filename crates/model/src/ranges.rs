//! Address ranges that all parties of a network agree on. spec: data-plane 8

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 addresses of clients and gateways.
pub const TUNNEL_V4: Ipv4Net = v4(Ipv4Addr::new(100, 64, 0, 0), 11);

/// IPv6 addresses of clients and gateways.
pub const TUNNEL_V6: Ipv6Net = v6(Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 0), 107);

/// IPv4 addresses that stand for names of DNS resources.
pub const PROXY_V4: Ipv4Net = v4(Ipv4Addr::new(100, 96, 0, 0), 11);

/// IPv6 addresses that stand for names of DNS resources.
pub const PROXY_V6: Ipv6Net = v6(
    Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0x8000, 0, 0, 0, 0),
    107,
);

/// IPv4 addresses of our stub resolver, inside the proxy range.
pub const SENTINEL_V4: Ipv4Net = v4(Ipv4Addr::new(100, 100, 111, 0), 24);

/// IPv6 addresses of our stub resolver, beside the proxy range.
pub const SENTINEL_V6: Ipv6Net = v6(
    Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0x8000, 0x100, 0x100, 0x111, 0),
    120,
);

/// Whether the address belongs to a client or a gateway.
pub fn is_tunnel(address: IpAddr) -> bool {
    contains(TUNNEL_V4, TUNNEL_V6, address)
}

/// Whether the address stands for a name of a DNS resource, or is one of the stub resolver.
pub fn is_proxy(address: IpAddr) -> bool {
    contains(PROXY_V4, PROXY_V6, address)
}

/// Whether the address is one of our stub resolver.
pub fn is_sentinel(address: IpAddr) -> bool {
    contains(SENTINEL_V4, SENTINEL_V6, address)
}

/// What a client routes into the tunnel whatever its resources are.
pub fn client_routes() -> [IpNet; 6] {
    [
        IpNet::V4(TUNNEL_V4),
        IpNet::V4(PROXY_V4),
        IpNet::V4(SENTINEL_V4),
        IpNet::V6(TUNNEL_V6),
        IpNet::V6(PROXY_V6),
        IpNet::V6(SENTINEL_V6),
    ]
}

fn contains(v4: Ipv4Net, v6: Ipv6Net, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => v4.contains(&address),
        IpAddr::V6(address) => v6.contains(&address),
    }
}

const fn v4(address: Ipv4Addr, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address, prefix)
}

const fn v6(address: Ipv6Addr, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(address, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_specification() {
        assert_eq!(TUNNEL_V4.to_string(), "100.64.0.0/11");
        assert_eq!(PROXY_V6.to_string(), "fd00:2021:1111:8000::/107");
        assert_eq!(
            SENTINEL_V6.to_string(),
            "fd00:2021:1111:8000:100:100:111:0/120"
        );
    }

    #[test]
    fn sentinels_are_not_tunnel_addresses() {
        for text in ["100.100.111.1", "fd00:2021:1111:8000:100:100:111:0"] {
            let address = text.parse().unwrap();
            assert!(is_sentinel(address) && !is_tunnel(address), "{text}");
        }
        assert!(is_proxy("100.100.111.1".parse().unwrap()));
        assert!(!is_sentinel("100.96.0.1".parse().unwrap()));
    }

    #[test]
    fn ranges_end_where_their_prefixes_end() {
        for (text, tunnel, proxy, sentinel) in [
            ("100.63.255.255", false, false, false),
            ("100.64.0.0", true, false, false),
            ("100.95.255.255", true, false, false),
            ("100.96.0.0", false, true, false),
            ("100.100.110.255", false, true, false),
            ("100.100.111.0", false, true, true),
            ("100.100.111.255", false, true, true),
            ("100.100.112.0", false, true, false),
            ("100.127.255.255", false, true, false),
            ("100.128.0.0", false, false, false),
            ("fd00:2021:1111::", true, false, false),
            ("fd00:2021:1111::1f:ffff", true, false, false),
            ("fd00:2021:1111::20:0", false, false, false),
            ("fd00:2021:1111:8000::", false, true, false),
            ("fd00:2021:1111:8000::1f:ffff", false, true, false),
            ("fd00:2021:1111:8000::20:0", false, false, false),
            ("fd00:2021:1111:8000:100:100:111:0", false, false, true),
            ("fd00:2021:1111:8000:100:100:111:ff", false, false, true),
            ("fd00:2021:1111:8000:100:100:111:100", false, false, false),
        ] {
            let address = text.parse().unwrap();
            let kinds = (is_tunnel(address), is_proxy(address), is_sentinel(address));
            assert_eq!(kinds, (tunnel, proxy, sentinel), "{text}");
            let is_routed = client_routes().iter().any(|route| route.contains(&address));
            assert_eq!(is_routed, tunnel || proxy || sentinel, "{text}");
        }
    }
}
