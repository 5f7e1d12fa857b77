//! The interface configuration in messages. spec: portal 5.2

use super::{MAX_SMALL_LIST, lenient, typed};
use crate::DecodeError;
use model::Interface;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// A client's interface as it travels.
#[derive(Deserialize)]
pub(crate) struct WireInterface {
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    search_domain: Option<String>,
    upstream_dns: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct WireUpstream {
    protocol: String,
    address: SocketAddr,
}

impl TryFrom<WireInterface> for Interface {
    type Error = DecodeError;

    fn try_from(wire: WireInterface) -> Result<Self, DecodeError> {
        // Without its resolvers the account's names would go to whoever the system asks, so a
        // list of which nothing is understood must not pass for an empty one.
        let wanted = wire.upstream_dns.as_ref().is_some_and(|l| !l.is_empty());
        let upstream_dns =
            lenient(
                "upstream_dns",
                wire.upstream_dns,
                MAX_SMALL_LIST,
                |entry| match typed::<WireUpstream>(entry)? {
                    upstream if upstream.protocol == "ip_port" => Ok(upstream.address),
                    _ => Err(DecodeError::Malformed("the protocol of a resolver")),
                },
            );
        if wanted && upstream_dns.is_empty() {
            return Err(DecodeError::Malformed("every resolver"));
        }
        let search_domain = wire
            .search_domain
            .filter(|text| !text.is_empty())
            .and_then(|text| {
                text.parse()
                    .inspect_err(|error| tracing::warn!(%error, "Left out the search domain"))
                    .ok()
            });
        Ok(Self {
            ipv4: wire.ipv4,
            ipv6: wire.ipv6,
            upstream_dns,
            search_domain,
        })
    }
}

/// The interface as JSON.
pub(crate) fn emit_interface(interface: &Interface) -> Value {
    let upstream_dns: Vec<Value> = interface
        .upstream_dns
        .iter()
        .map(|address| json!({"protocol": "ip_port", "address": address}))
        .collect();
    json!({
        "ipv4": interface.ipv4,
        "ipv6": interface.ipv6,
        "search_domain": interface.search_domain,
        "upstream_dns": upstream_dns,
    })
}
