//! What the portal tells. spec: portal 6.1

use super::Tunnel;
use crate::{
    drop_reason::DropReason,
    event::{Authorized, Event, Output, PortalRequest, PortalUpdate, Refusal, SiteState},
    resource::Insertion,
};
use connectivity::{Authorization, Upsert};
use model::{GatewayId, Interface, InterfacePlan, Resource, ResourceId, ranges};
use std::{collections::BTreeSet, time::Instant};

impl Tunnel {
    /// An update from the portal.
    ///
    /// The first update of each connection to the portal is [`PortalUpdate::Init`]; before it
    /// packets are dropped as [`DropReason::NotReady`] and no relay is known. After
    /// [`Self::reset`] updates belong to the connection that was made with the new key. Those that
    /// the former one left behind do no harm: a grant that nobody asked for since is ignored, and
    /// the next `Init` replaces the rest.
    pub fn handle_portal(&mut self, update: PortalUpdate, now: Instant) {
        self.apply(update, now);
        self.follow_dns(now);
    }

    fn apply(&mut self, update: PortalUpdate, now: Instant) {
        match update {
            PortalUpdate::Init {
                interface,
                resources,
                relays,
            } => {
                self.set_interface(interface, now);
                self.replace_resources(resources, now);
                self.connectivity.update_relays(&[], relays, now);
                self.update_plan();
            }
            PortalUpdate::Interface(interface) => {
                self.set_interface(interface, now);
                self.update_plan();
            }
            PortalUpdate::Resource(resource) => {
                self.insert(resource, now);
                self.resources_changed();
            }
            PortalUpdate::ResourceRemoved(id) => {
                self.revoke(id, now);
                self.resources.remove(id);
                self.resources_changed();
            }
            PortalUpdate::Relays {
                disconnected,
                connected,
            } => {
                self.connectivity
                    .update_relays(&disconnected, connected, now);
            }
            PortalUpdate::Authorized(authorized) => self.authorize(*authorized, now),
            PortalUpdate::Refused { resource, reason } => {
                self.handle_refused(resource, reason, now);
            }
            PortalUpdate::CandidatesAdded {
                gateway,
                candidates,
            } => {
                for candidate in &candidates {
                    self.connectivity
                        .add_remote_candidate(gateway.into(), candidate, now);
                }
            }
            PortalUpdate::CandidatesRemoved {
                gateway,
                candidates,
            } => {
                for candidate in &candidates {
                    self.connectivity
                        .remove_remote_candidate(gateway.into(), candidate, now);
                }
            }
        }
    }

    fn set_interface(&mut self, interface: Interface, now: Instant) {
        let (dns, cx) = self.dns(now);
        dns.set_interface(&interface, cx);
        self.interface = Some(interface);
    }

    /// The list after a join: what is missing is gone. spec: data-plane 10.2
    fn replace_resources(&mut self, resources: Vec<Resource>, now: Instant) {
        let listed: BTreeSet<ResourceId> = resources.iter().map(Resource::id).collect();
        for id in self.resources.missing_from(&listed) {
            self.revoke(id, now);
            self.resources.remove(id);
        }
        for resource in resources {
            self.insert(resource, now);
        }
        self.resources_changed();
    }

    fn insert(&mut self, resource: Resource, now: Instant) {
        let id = resource.id();
        match self.resources.insert(resource) {
            Ok(Insertion::Replaced) => self.revoke(id, now),
            Ok(Insertion::Added | Insertion::Updated) => {}
            Err(fault) => {
                tracing::warn!(resource = %id, error = %fault, "Ignoring a resource's pattern");
            }
        }
    }

    /// Voids what was known of a resource, and fails what waited for it.
    fn revoke(&mut self, id: ResourceId, now: Instant) {
        self.void(id);
        let (dns, cx) = self.dns(now);
        dns.handle_refused(id, cx);
    }

    /// Which resources are used has changed; voids what was known of some.
    pub(super) fn switch(&mut self, off: Vec<ResourceId>, now: Instant) {
        for id in off {
            self.revoke(id, now);
        }
        self.peers.clear();
        self.update_plan();
        self.follow_dns(now);
    }

    /// Voids what was known of a resource: authorization, translation, allowed addresses.
    fn void(&mut self, id: ResourceId) {
        let waiting = self.authorizations.cancel(id) + self.nat.remove_resource(id);
        self.drops.add(DropReason::Revoked, waiting);
        self.gateways.forbid(id);
        self.resources.unbind_resource(id);
        self.peers.clear();
    }

    fn resources_changed(&mut self) {
        self.peers.clear();
        self.outputs
            .push_back(Output::Event(Event::ResourcesChanged));
        self.update_plan();
    }

    /// The portal refused a request; what waits for it is kept for a later one.
    fn handle_refused(&mut self, resource: ResourceId, reason: Refusal, now: Instant) {
        let event = match reason {
            Refusal::Denied => None,
            Refusal::Offline => self
                .resources
                .set_sites_of(resource, SiteState::Offline)
                .then_some(Event::ResourcesChanged),
            Refusal::Incompatible => self
                .resources
                .set_incompatible(resource)
                .then_some(Event::NoCompatibleGateway(resource)),
        };
        self.outputs.extend(event.map(Output::Event));
        let (dns, cx) = self.dns(now);
        dns.handle_refused(resource, cx);
    }

    /// A gateway accepted a request. spec: data-plane 11
    fn authorize(&mut self, authorized: Authorized, now: Instant) {
        let Authorized {
            resource, gateway, ..
        } = authorized;
        let Some(waiting) = self.authorizations.grant(resource) else {
            tracing::debug!(%resource, "Nobody asked for this authorization");
            return;
        };
        if self.resources.get(resource).is_none() {
            self.drops.add(DropReason::Revoked, waiting.len());
            return;
        }
        let authorization = Authorization {
            public_key: authorized.public_key,
            preshared_key: authorized.preshared_key,
            local_ice: authorized.client_ice,
            remote_ice: authorized.gateway_ice,
        };
        match self.connectivity.upsert(gateway.into(), authorization, now) {
            Ok(Upsert::Reused) => {}
            // Whatever the gateway knew of us went with the old connection.
            Ok(Upsert::Created) => {
                self.forget_gateway(gateway);
            }
            Err(no_relay) => {
                tracing::info!(%gateway, "No relay is usable, asking the portal for others");
                let connectivity::NoRelay = no_relay;
                self.drops.add(DropReason::NoRelay, waiting.len());
                self.outputs
                    .push_back(Output::Request(PortalRequest::Reconnect));
                return;
            }
        }
        self.authorizations.connected(gateway);
        self.gateways
            .upsert(gateway, authorized.site, (authorized.ipv4, authorized.ipv6));
        self.resources.bind(resource, gateway);
        self.allow(gateway, resource);
        self.peers.clear();
        self.announce_names(gateway, resource, now);
        self.replay(waiting.into_packets(), now);
        let (dns, cx) = self.dns(now);
        dns.handle_authorized(resource, cx);
    }

    /// Lets a gateway send from the networks of a resource. spec: data-plane 9.2
    fn allow(&mut self, gateway: GatewayId, id: ResourceId) {
        let Some(gateway) = self.gateways.get_mut(gateway) else {
            return;
        };
        match self.resources.get(id) {
            Some(Resource::Cidr(cidr)) => gateway.allow(cidr.address, id),
            Some(Resource::Internet(_)) => {
                for network in crate::resource::default_routes() {
                    gateway.allow(network, id);
                }
            }
            // Proxy addresses follow with each name.
            Some(Resource::Dns(_)) | None => {}
        }
    }

    /// Drops what belonged to a connection. spec: data-plane 2.16
    pub(super) fn forget_gateway(&mut self, gateway: GatewayId) {
        self.authorizations.disconnected(gateway);
        let waiting = self.nat.remove_gateway(gateway);
        self.drops.add(DropReason::GatewayClosed, waiting);
        self.resources.unbind(gateway);
        self.peers.clear();
        if let Some(site) = self.gateways.remove(gateway)
            && self.resources.set_site(site, SiteState::Unknown)
        {
            self.outputs
                .push_back(Output::Event(Event::ResourcesChanged));
        }
    }

    /// Tells the shell how to configure the interface, if that changed. spec: data-plane 8
    pub(super) fn update_plan(&mut self) {
        let Some(interface) = &self.interface else {
            return;
        };
        let plan = InterfacePlan {
            ipv4: interface.ipv4,
            ipv6: interface.ipv6,
            routes: ranges::client_routes()
                .into_iter()
                .chain(self.resources.routes())
                .collect(),
            dns_servers: self.dns.sentinels().collect(),
            search_domain: interface.search_domain.clone(),
        };
        if self.plan.as_ref() != Some(&plan) {
            self.plan = Some(plan.clone());
            self.outputs.push_back(Output::Plan(plan));
        }
    }
}
