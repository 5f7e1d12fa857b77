//! The report, as data. docs/operating.md describes the JSON form.

use super::names;
use client::{PortalState, Status};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
pub(super) const VERSION: u32 = 1;

/// The whole report.
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

/// The program that reports.
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
    let entry = |&(address, server): &(std::net::IpAddr, SocketAddr)| Upstream {
        address: address.to_string(),
        server,
    };
    status.upstreams.iter().map(entry).collect()
}

fn gateways(status: &Status) -> Vec<Gateway> {
    let connections = status.connections.iter();
    let entries = connections.map(|(id, peer)| Gateway {
        id: id.to_string(),
        path: names::path(peer.path).to_owned(),
        relay: peer.relay.map(|relay| relay.to_string()),
        rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        last_handshake: peer.last_handshake.map(|at| at.as_secs()),
        sent_bytes: peer.sent,
        received_bytes: peer.received,
        idle: peer.idle,
    });
    entries.collect()
}

fn resources(status: &Status) -> Vec<Resource> {
    let entries = status.resources.iter().map(|status| Resource {
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
    entries.collect()
}

fn drops(status: &Status) -> BTreeMap<String, u64> {
    let mut drops = BTreeMap::new();
    for (reason, count) in status.drops.iter() {
        *drops.entry(names::reason(reason)).or_default() += count;
    }
    drops
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use client::{PathKind, PeerStatus, ResourceStatus, SiteState};
    use model::{
        CidrResource, DnsResource, GatewayId, InterfacePlan, InternetResource, IpStack, RelayId,
        Resource as Known, ResourceId, Site, SiteId,
    };
    use serde_json::json;
    use std::time::Duration;

    const GATEWAY: GatewayId = GatewayId::from_bytes([0x22; 16]);
    const RELAY: RelayId = RelayId::from_bytes([0x44; 16]);

    fn program() -> Program {
        Program {
            version: "1.2.3".into(),
            pid: 7,
            uptime_seconds: 60,
        }
    }

    fn resource(resource: Known, state: SiteState) -> ResourceStatus {
        ResourceStatus {
            resource,
            state,
            gateway: (state == SiteState::Online).then_some(GATEWAY),
        }
    }

    fn resources() -> Vec<ResourceStatus> {
        let id = |n: u8| ResourceId::from_bytes([n; 16]);
        let sites = vec![Site {
            id: SiteId::from_bytes([0x55; 16]),
            name: "HQ".into(),
        }];
        let cidr = Known::Cidr(CidrResource {
            id: id(1),
            name: "Lab".into(),
            address: "10.20.0.0/16".parse().unwrap(),
            address_description: None,
            sites: sites.clone(),
            filters: vec![],
        });
        let dns = Known::Dns(DnsResource {
            id: id(2),
            name: "Wiki".into(),
            address: "*.wiki.test".into(),
            address_description: Some("for everybody".into()),
            ip_stack: IpStack::Dual,
            sites: sites.clone(),
            filters: vec![],
        });
        let internet = Known::Internet(InternetResource {
            id: id(3),
            name: "Internet".into(),
            sites,
        });
        vec![
            resource(cidr, SiteState::Online),
            resource(dns, SiteState::Offline),
            resource(internet, SiteState::Unknown),
        ]
    }

    fn status() -> Status {
        Status {
            portal: PortalState::Connected,
            resources: resources(),
            connections: vec![(
                GATEWAY,
                PeerStatus {
                    peer: GATEWAY.into(),
                    path: Some(PathKind::RelayToPeer),
                    relay: Some(RELAY),
                    rtt: Some(Duration::from_micros(12_500)),
                    sent: 1000,
                    received: 2000,
                    last_handshake: Some(Duration::from_millis(1_700_000_000_900)),
                    idle: false,
                },
            )],
            drops: client::DropCounters::default(),
            plan: Some(InterfacePlan {
                ipv4: "100.64.0.7".parse().unwrap(),
                ipv6: "fd00:2021:1111::7".parse().unwrap(),
                routes: std::collections::BTreeSet::new(),
                dns_servers: vec![],
                search_domain: Some("corp.test".parse().unwrap()),
            }),
            upstreams: vec![(
                "100.100.111.1".parse().unwrap(),
                "192.0.2.53:53".parse().unwrap(),
            )],
        }
    }

    pub(in crate::status) fn report() -> Report {
        Report::new(&status(), program(), "wss://portal.test/".into(), true)
    }

    #[test]
    fn scripts_find_what_the_documentation_says() {
        let expected = json!({
            "version": 1,
            "program": { "version": "1.2.3", "pid": 7, "uptime_seconds": 60 },
            "portal": { "url": "wss://portal.test/", "state": "connected" },
            "ready": true,
            "interface": {
                "ipv4": "100.64.0.7",
                "ipv6": "fd00:2021:1111::7",
                "search_domain": "corp.test",
            },
            "dns": [{ "address": "100.100.111.1", "server": "192.0.2.53:53" }],
            "gateways": [{
                "id": "22222222-2222-2222-2222-222222222222",
                "path": "through our relay",
                "relay": "44444444-4444-4444-4444-444444444444",
                "rtt_ms": 12.5,
                "last_handshake": 1_700_000_000,
                "sent_bytes": 1000,
                "received_bytes": 2000,
                "idle": false,
            }],
            "resources": [
                {
                    "id": "01010101-0101-0101-0101-010101010101",
                    "name": "Lab",
                    "address": "10.20.0.0/16",
                    "sites": ["HQ"],
                    "state": "online",
                    "gateway": "22222222-2222-2222-2222-222222222222",
                },
                {
                    "id": "02020202-0202-0202-0202-020202020202",
                    "name": "Wiki",
                    "address": "*.wiki.test",
                    "sites": ["HQ"],
                    "state": "offline",
                    "gateway": null,
                },
                {
                    "id": "03030303-0303-0303-0303-030303030303",
                    "name": "Internet",
                    "address": "everything else",
                    "sites": ["HQ"],
                    "state": "unknown",
                    "gateway": null,
                },
            ],
            "drops": {},
        });
        assert_eq!(serde_json::to_value(report()).unwrap(), expected);
    }

    #[test]
    fn a_session_that_has_nothing_yet_says_so() {
        let status = Status {
            portal: PortalState::Connecting,
            resources: vec![],
            connections: vec![],
            plan: None,
            upstreams: vec![],
            ..status()
        };
        let report = Report::new(&status, program(), "wss://portal.test/".into(), false);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["portal"]["state"], "connecting");
        assert_eq!(json["ready"], false);
        assert!(json["interface"].is_null());
        for empty in ["dns", "gateways", "resources"] {
            assert_eq!(json[empty], json!([]), "{empty}");
        }
    }

    #[test]
    fn a_session_that_is_over_is_not_ready() {
        let status = Status {
            portal: PortalState::Disconnected,
            ..status()
        };
        let report = Report::new(&status, program(), "wss://portal.test/".into(), true);
        assert!(!report.ready);
    }
}
