//! What is told, as data. docs/operating.md describes the JSON form.

use super::names;
use client::{PortalState, Status};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
pub(super) const VERSION: u32 = 1;

/// All that is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(super) version: u32,
    pub(super) program: Program,
    pub(super) portal: Portal,
    /// Addresses, routes and DNS are set.
    pub(super) ready: bool,
    pub(super) interface: Option<Interface>,
    pub(super) dns: Vec<Upstream>,
    pub(super) gateways: Vec<Gateway>,
    pub(super) resources: Vec<Resource>,
    /// Dropped packets by reason.
    pub(super) drops: BTreeMap<String, u64>,
}

/// Who tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime_seconds: u64,
}

/// The portal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Portal {
    pub(super) url: String,
    /// `connecting`, `connected` or `disconnected`.
    pub(super) state: String,
}

/// Our addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Interface {
    pub(super) ipv4: String,
    pub(super) ipv6: String,
    pub(super) search_domain: Option<String>,
}

/// A resolver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Upstream {
    /// What programs on this host ask.
    pub(super) address: String,
    /// Who is asked about names of no resource.
    pub(super) server: SocketAddr,
}

/// A connection to a gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Gateway {
    pub(super) id: String,
    /// `connecting`, `direct`, `through our relay`, `through its relay` or `through both relays`.
    pub(super) path: String,
    /// Our relay, if the path goes through one.
    pub(super) relay: Option<String>,
    pub(super) rtt_ms: Option<f64>,
    /// Seconds since 1970.
    pub(super) last_handshake: Option<u64>,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    pub(super) idle: bool,
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Resource {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) sites: Vec<String>,
    /// `unknown`, `offline` or `online`.
    pub(super) state: String,
    /// The gateway that carries its traffic.
    pub(super) gateway: Option<String>,
}

impl Report {
    /// What a session says about itself.
    pub(crate) fn new(status: &Status, program: Program, url: String, ready: bool) -> Self {
        Self {
            version: VERSION,
            program,
            portal: Portal {
                url,
                state: names::portal(status.portal).to_owned(),
            },
            ready: ready && status.portal != PortalState::Disconnected,
            interface: status.plan.as_ref().map(|plan| Interface {
                ipv4: plan.ipv4.to_string(),
                ipv6: plan.ipv6.to_string(),
                search_domain: plan.search_domain.as_ref().map(ToString::to_string),
            }),
            dns: upstreams(status),
            gateways: gateways(status),
            resources: resources(status),
            drops: drops(status),
        }
    }
}

fn upstreams(status: &Status) -> Vec<Upstream> {
    let told = |&(address, server): &(std::net::IpAddr, SocketAddr)| Upstream {
        address: address.to_string(),
        server,
    };
    status.upstreams.iter().map(told).collect()
}

fn gateways(status: &Status) -> Vec<Gateway> {
    let connections = status.connections.iter();
    let told = connections.map(|(id, peer)| Gateway {
        id: id.to_string(),
        path: names::path(peer.path).to_owned(),
        relay: peer.relay.map(|relay| relay.to_string()),
        rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        last_handshake: peer.last_handshake.map(|at| at.as_secs()),
        sent_bytes: peer.sent,
        received_bytes: peer.received,
        idle: peer.idle,
    });
    told.collect()
}

fn resources(status: &Status) -> Vec<Resource> {
    let told = status.resources.iter().map(|status| Resource {
        id: status.resource.id().to_string(),
        name: status.resource.name().to_owned(),
        address: names::address(&status.resource),
        sites: status
            .resource
            .sites()
            .iter()
            .map(|site| site.name.clone())
            .collect(),
        state: names::site(status.state).to_owned(),
        gateway: status.gateway.map(|gateway| gateway.to_string()),
    });
    told.collect()
}

fn drops(status: &Status) -> BTreeMap<String, u64> {
    let mut drops = BTreeMap::new();
    for (reason, count) in status.drops.iter() {
        *drops.entry(names::reason(reason)).or_default() += count;
    }
    drops
}
