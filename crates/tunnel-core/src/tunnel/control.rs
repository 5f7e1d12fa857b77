//! What the portal tells. spec: portal 6.1

use super::Tunnel;
use crate::{
    authorization::Failure,
    event::{Authorized, Event, Output, PortalRequest, PortalUpdate, Refusal, SiteState},
    resource::Insertion,
};
use connectivity::{Authorization, Upsert};
use model::{GatewayId, Interface, Relay, RelayId, Resource, ResourceId};
use std::{collections::BTreeSet, time::Instant};

impl Tunnel {
    /// An update from the portal.
    ///
    /// The first update of each connection to the portal is [`PortalUpdate::Init`]; before it
    /// packets are dropped as [`DropReason::NotReady`](crate::DropReason::NotReady) and no relay is known. After
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
                self.update_relays(&[], relays, now);
            }
            PortalUpdate::Interface(interface) => {
                self.set_interface(interface, now);
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
                self.update_relays(&disconnected, connected, now);
            }
            PortalUpdate::Authorized(authorized) => self.authorize(authorized, now, now),
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
        self.peers.clear();
        self.changes.plan = true;
    }

    /// Relays come and go; grants that waited for one are used.
    fn update_relays(&mut self, disconnected: &[RelayId], connected: Vec<Relay>, now: Instant) {
        let any = !connected.is_empty();
        self.connectivity
            .update_relays(disconnected, connected, now);
        if any {
            self.reconnects.reset();
            self.authorizations.forgive_want_of_relays();
            for (authorized, granted_at) in self.authorizations.take_held() {
                self.authorize(authorized, granted_at, now);
            }
        }
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
            Ok(Insertion::Added) => {}
            Ok(Insertion::Replaced) => self.revoke(id, now),
            // The portal may have another opinion now.
            Ok(Insertion::Updated) => self.authorizations.forgive_refusal(id),
            Err(fault) => {
                tracing::warn!(
                    resource = %id,
                    error = %fault,
                    "A resource cannot be used: its pattern is not understood"
                );
                self.revoke(id, now);
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
        self.changes.plan = true;
        self.follow_dns(now);
    }

    /// Voids what was known of a resource: authorization, gateway, translation.
    pub(super) fn void(&mut self, id: ResourceId) {
        self.authorizations.cancel(id, &mut self.waiting);
        self.nat.remove_resource(id, &mut self.waiting);
        self.resources.unbind_resource(id);
        self.peers.clear();
    }

    fn resources_changed(&mut self) {
        self.peers.clear();
        self.changes.resources = true;
        self.changes.plan = true;
    }

    /// The portal refused a request.
    fn handle_refused(&mut self, resource: ResourceId, reason: Refusal, now: Instant) {
        let failure = match reason {
            Refusal::Denied => Failure::Denied,
            Refusal::Offline => {
                let is_new = self.resources.set_sites_of(resource, SiteState::Offline);
                self.changes.resources |= is_new;
                Failure::Offline
            }
            Refusal::Incompatible => {
                if self.resources.set_incompatible(resource) {
                    let event = Event::NoCompatibleGateway(resource);
                    self.outputs.push_back(Output::Event(event));
                }
                Failure::Denied
            }
        };
        self.fail(resource, failure, now);
    }

    /// A resource cannot be reached for now: whatever waits for that waits no longer.
    pub(super) fn fail(&mut self, resource: ResourceId, failure: Failure, now: Instant) {
        let waiting = &mut self.waiting;
        self.authorizations.fail(resource, failure, waiting, now);
        let (dns, cx) = self.dns(now);
        dns.handle_refused(resource, cx);
    }

    /// A gateway accepted a request. Nothing of that takes effect before the gateway can be
    /// connected to. spec: data-plane 11
    fn authorize(&mut self, authorized: Box<Authorized>, granted_at: Instant, now: Instant) {
        let (resource, gateway) = (authorized.resource, authorized.gateway);
        // What is gone or switched off since has no request either.
        if !self.authorizations.expects(resource, now) {
            tracing::debug!(%resource, "Nobody asked for this authorization");
            return;
        }
        let authorization = Authorization {
            public_key: authorized.public_key,
            preshared_key: authorized.preshared_key.clone(),
            local_ice: authorized.client_ice.clone(),
            remote_ice: authorized.gateway_ice.clone(),
        };
        match self.connectivity.upsert(gateway.into(), authorization, now) {
            Ok(Upsert::Reused) => {}
            // Whatever the gateway knew of us went with the old connection.
            Ok(Upsert::Created) => self.forget_gateway(gateway),
            Err(connectivity::NoRelay) => {
                self.wait_for_relay(authorized, granted_at, now);
                return;
            }
        }
        self.authorizations.connected(gateway);
        self.gateways
            .upsert(gateway, authorized.site, (authorized.ipv4, authorized.ipv6));
        self.resources.bind(resource, gateway);
        self.peers.clear();
        if let Some(queue) = self.authorizations.finish(resource) {
            let packets = self.waiting.take(queue);
            self.replay(packets, now);
        }
        let (dns, cx) = self.dns(now);
        dns.handle_authorized(resource, cx);
    }

    /// Keeps a grant until a relay comes, because its gateway keeps it as well.
    fn wait_for_relay(&mut self, authorized: Box<Authorized>, granted_at: Instant, now: Instant) {
        let gateway = authorized.gateway;
        if let Some(displaced) = self.authorizations.hold(authorized, granted_at) {
            self.fail(displaced, Failure::NoRelay, now);
        }
        if self.reconnects.begin(now) {
            tracing::info!(%gateway, "No relay is usable, asking the portal for others");
            self.outputs
                .push_back(Output::Request(PortalRequest::Reconnect));
        }
    }

    /// Drops what belonged to a connection. spec: data-plane 2.16
    pub(super) fn forget_gateway(&mut self, gateway: GatewayId) {
        self.authorizations.disconnected(gateway);
        self.nat.remove_gateway(gateway, &mut self.waiting);
        self.resources.unbind(gateway);
        self.peers.clear();
        if let Some(site) = self.gateways.remove(gateway) {
            self.changes.resources |= self.resources.set_site(site, SiteState::Unknown);
        }
    }
}
