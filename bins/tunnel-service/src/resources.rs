//! Resources as a GUI shows them. spec: client-app 13.6

use client::Status;
use service_ipc::{Addressed, Internet, Resource, ResourceStatus, Resources};

/// The list for a GUI, sorted.
pub(crate) fn resources(status: &Status) -> Resources {
    let mut resources: Vec<Resource> = status.resources.iter().map(resource).collect();
    resources.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    Resources {
        resources,
        connected_devices: vec![],
    }
}

fn resource(entry: &client::ResourceStatus) -> Resource {
    let status = match entry.state {
        client::SiteState::Unknown => ResourceStatus::Unknown,
        client::SiteState::Offline => ResourceStatus::Offline,
        client::SiteState::Online => ResourceStatus::Online,
    };
    match &entry.resource {
        model::Resource::Cidr(cidr) => Resource::Cidr(Addressed {
            id: cidr.id,
            address: cidr.address.to_string(),
            name: cidr.name.clone(),
            address_description: cidr.address_description.clone(),
            sites: cidr.sites.clone(),
            status,
        }),
        model::Resource::Dns(dns) => Resource::Dns(Addressed {
            id: dns.id,
            address: dns.address.clone(),
            name: dns.name.clone(),
            address_description: dns.address_description.clone(),
            sites: dns.sites.clone(),
            status,
        }),
        model::Resource::Internet(internet) => Resource::Internet(Internet {
            name: internet.name.clone(),
            id: internet.id,
            sites: internet.sites.clone(),
            status,
        }),
    }
}
