//! Resources and devices as a GUI shows them. spec: client-app 13.6

use model::{ClientId, ResourceId, Site};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// A resource with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Resource {
    /// Names that match a pattern.
    Dns(Addressed),
    /// A range of addresses.
    Cidr(Addressed),
    /// Everything that no other resource covers.
    Internet(Internet),
}

/// A resource with an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressed {
    /// The portal's id of the resource.
    pub id: ResourceId,
    /// The pattern of names, or the range of addresses.
    pub address: String,
    /// Display text.
    pub name: String,
    /// Display text, often a URL.
    pub address_description: Option<String>,
    /// The sites whose gateways reach it.
    pub sites: Vec<Site>,
    /// Whether it can be reached.
    pub status: ResourceStatus,
}

/// The Internet Resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Internet {
    /// Display text.
    pub name: String,
    /// The portal's id of the resource.
    pub id: ResourceId,
    /// The sites whose gateways reach it.
    pub sites: Vec<Site>,
    /// Whether it can be reached.
    pub status: ResourceStatus,
}

/// Whether a resource can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceStatus {
    /// Nobody tried yet.
    #[default]
    Unknown,
    /// A gateway carries its traffic.
    Online,
    /// No gateway of its sites is there.
    Offline,
}

impl fmt::Display for ResourceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Online => "Online",
            Self::Offline => "Offline",
        })
    }
}

impl Resource {
    /// The portal's id of the resource.
    pub const fn id(&self) -> ResourceId {
        match self {
            Self::Dns(resource) | Self::Cidr(resource) => resource.id,
            Self::Internet(resource) => resource.id,
        }
    }

    /// Display text.
    pub fn name(&self) -> &str {
        match self {
            Self::Dns(resource) | Self::Cidr(resource) => &resource.name,
            Self::Internet(resource) => &resource.name,
        }
    }

    /// Whether it can be reached.
    pub const fn status(&self) -> ResourceStatus {
        match self {
            Self::Dns(resource) | Self::Cidr(resource) => resource.status,
            Self::Internet(resource) => resource.status,
        }
    }

    /// What lists are sorted by: the Internet Resource first, then name and id.
    pub fn sort_key(&self) -> (bool, &str, ResourceId) {
        (!matches!(self, Self::Internet(_)), self.name(), self.id())
    }
}

/// Another client that this one can reach. Only the newer generation tells of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The portal's id of the client.
    pub id: ClientId,
    /// Display text.
    pub name: String,
    /// Its address in the tunnel.
    pub tun_ipv4: Ipv4Addr,
    /// Its address in the tunnel.
    pub tun_ipv6: Ipv6Addr,
    /// Names of the pools that it is in.
    pub pools: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_printed_as_they_stand_on_the_wire() {
        for (status, name) in [
            (ResourceStatus::Unknown, "Unknown"),
            (ResourceStatus::Online, "Online"),
            (ResourceStatus::Offline, "Offline"),
        ] {
            assert_eq!(status.to_string(), name);
            assert_eq!(serde_json::to_value(status).unwrap(), name);
        }
    }
    #[test]
    fn every_kind_tells_its_id_its_name_and_its_state() {
        let id = ResourceId::from_bytes([7; 16]);
        let addressed = || Addressed {
            id,
            address: "a".into(),
            name: "n".into(),
            address_description: None,
            sites: vec![],
            status: ResourceStatus::Offline,
        };
        let internet = Internet {
            name: "n".into(),
            id,
            sites: vec![],
            status: ResourceStatus::Offline,
        };
        for (resource, is_last) in [
            (Resource::Dns(addressed()), true),
            (Resource::Cidr(addressed()), true),
            (Resource::Internet(internet), false),
        ] {
            assert_eq!((resource.id(), resource.name()), (id, "n"));
            assert_eq!(resource.status(), ResourceStatus::Offline);
            assert_eq!(resource.sort_key(), (is_last, "n", id));
        }
    }
}
