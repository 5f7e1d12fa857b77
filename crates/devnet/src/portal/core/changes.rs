//! What changes in the settings mean for those who are connected. spec: portal 10.8

use super::{Core, authorize::Grant};
use crate::portal::{
    config::{Account, Directory, Policy, Settings, SettingsFault},
    connections::{ConnectionId, Party},
};
use model::{ClientId, DomainName, Filter, Resource, ResourceId};
use portal_client::v1::{client, gateway};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::SocketAddr,
};

/// The part of the account's settings that clients are told.
pub(crate) fn dns_of(account: &Account) -> (Vec<SocketAddr>, Option<DomainName>) {
    (account.upstream_dns.clone(), account.search_domain.clone())
}

/// How a client's view of a resource changes.
enum Change {
    /// Nothing that the client sees.
    None,
    Deleted,
    /// New, or changed in a way that leaves access as it is.
    Updated(Resource),
    /// Changed so that access has to be granted anew.
    Replaced(Resource),
}

impl Core {
    /// Works with other settings from now on, and tells everybody whom that concerns.
    ///
    /// # Errors
    ///
    /// When the settings make no sense; nothing changes then.
    pub(crate) fn replace_settings(&mut self, mut next: Settings) -> Result<(), SettingsFault> {
        next.give_ids();
        let directory = next.directory()?;
        self.settings = next;
        let before = mem::replace(&mut self.directory, directory);
        self.expel_invalid();
        let ids: BTreeSet<ResourceId> = before
            .resources
            .keys()
            .chain(self.directory.resources.keys())
            .copied()
            .collect();
        let clients = self.connections.clients();
        for id in ids {
            self.resource_changed(id, &before, &clients);
        }
        self.account_changed(&before.account, &clients);
        self.save_settings();
        Ok(())
    }

    /// Takes one authorization away, as a portal does whose policy changed: the client sees the
    /// resource go and come back.
    pub(crate) fn delete_flow(&mut self, client: ClientId, resource: ResourceId) -> usize {
        let gateways = self.flows.gateways_of(client, resource);
        for &gateway in &gateways {
            self.revoke((client, resource, gateway));
        }
        let there = self.connections.of(Party::Client(client));
        if let Some((id, actor)) = there.map(|(id, c)| (id, c.actor().to_owned()))
            && !gateways.is_empty()
        {
            self.tell(id, &client::FromPortal::ResourceDeleted(resource));
            if let Some(policy) = self.directory.visible(&actor, resource) {
                let again = client::FromPortal::ResourceCreatedOrUpdated(policy.resource.clone());
                self.tell(id, &again);
            }
        }
        gateways.len()
    }

    /// Hangs up on those whose token is gone, and takes note of new ends of the others.
    fn expel_invalid(&mut self) {
        let mut invalid: Vec<ConnectionId> = Vec::new();
        let ids: Vec<ConnectionId> = self.connections.iter().map(|(id, _)| id).collect();
        for id in ids {
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            let session = &mut connection.session;
            let mut tokens = self.directory.tokens.iter();
            match tokens.find(|t| t.digest == session.token && t.owner == session.owner) {
                Some(token) => session.token_ends = token.expires_at,
                None => invalid.push(id),
            }
        }
        for id in invalid {
            self.expel(id);
        }
    }

    fn resource_changed(
        &mut self,
        id: ResourceId,
        before: &Directory,
        clients: &BTreeMap<ClientId, (ConnectionId, String)>,
    ) {
        let old = before.resources.get(&id);
        let new = self.directory.resources.get(&id).cloned();
        if old == new.as_ref() {
            return;
        }
        let void = match (old, &new) {
            (Some(old), Some(new)) => voids_access(&old.resource, &new.resource),
            _ => true,
        };
        let grants: Vec<Grant> = self.flows.granted.keys().copied().collect();
        for grant in grants
            .into_iter()
            .filter(|(_, resource, _)| *resource == id)
        {
            let device = self.devices.clients.get(&grant.0);
            let admitted = |policy: &Policy| device.is_some_and(|d| policy.admits(&d.owner));
            if void || !new.as_ref().is_some_and(admitted) {
                self.revoke(grant);
            }
        }
        for (connection, actor) in clients.values() {
            match change(old, new.as_ref(), actor, void) {
                Change::None => {}
                Change::Deleted => {
                    self.tell(*connection, &client::FromPortal::ResourceDeleted(id));
                }
                Change::Updated(resource) => {
                    let news = client::FromPortal::ResourceCreatedOrUpdated(resource);
                    self.tell(*connection, &news);
                }
                Change::Replaced(resource) => {
                    self.tell(*connection, &client::FromPortal::ResourceDeleted(id));
                    let news = client::FromPortal::ResourceCreatedOrUpdated(resource);
                    self.tell(*connection, &news);
                }
            }
        }
        if let (Some(old), Some(new)) = (old, new)
            && filters(&old.resource) != filters(&new.resource)
        {
            self.filters_changed(id, &new.resource);
        }
    }

    /// Tells gateways that have a flow for the resource.
    fn filters_changed(&mut self, id: ResourceId, resource: &Resource) {
        let gateways: BTreeSet<_> = self
            .flows
            .granted
            .keys()
            .filter(|(_, of, _)| *of == id)
            .map(|&(_, _, gateway)| gateway)
            .collect();
        for gateway in gateways {
            let there = self.connections.of(Party::Gateway(gateway));
            if let Some(connection) = there.map(|(id, _)| id) {
                let news = gateway::FromPortal::ResourceUpdated(resource.clone());
                self.tell(connection, &news);
            }
        }
    }

    fn account_changed(
        &mut self,
        before: &Account,
        clients: &BTreeMap<ClientId, (ConnectionId, String)>,
    ) {
        if dns_of(before) != dns_of(&self.directory.account) {
            for (&client, (connection, _)) in clients {
                if let Some(interface) = self.interface(client) {
                    self.tell(*connection, &client::FromPortal::ConfigChanged(interface));
                }
            }
        }
        if before.slug != self.directory.account.slug {
            let gateways: Vec<_> = self
                .connections
                .joined()
                .filter_map(|(id, connection)| match connection.party {
                    Party::Gateway(gateway) => Some((id, gateway)),
                    _ => None,
                })
                .collect();
            for (id, gateway) in gateways {
                self.init_gateway(id, gateway);
            }
        }
    }
}

/// Whether access to the old form says nothing about the new one.
fn voids_access(old: &Resource, new: &Resource) -> bool {
    !old.same_addressability(new) || old.sites() != new.sites()
}

fn filters(resource: &Resource) -> &[Filter] {
    match resource {
        Resource::Cidr(cidr) => &cidr.filters,
        Resource::Dns(dns) => &dns.filters,
        Resource::Internet(_) => &[],
    }
}

fn change(old: Option<&Policy>, new: Option<&Policy>, actor: &str, void: bool) -> Change {
    let old = old
        .filter(|policy| policy.admits(actor))
        .map(|p| &p.resource);
    let new = new
        .filter(|policy| policy.admits(actor))
        .map(|p| &p.resource);
    match (old, new) {
        (None, None) => Change::None,
        (Some(_), None) => Change::Deleted,
        (None, Some(new)) => Change::Updated(new.clone()),
        (Some(old), Some(new)) if old == new => Change::None,
        (Some(_), Some(new)) if void => Change::Replaced(new.clone()),
        (Some(_), Some(new)) => Change::Updated(new.clone()),
    }
}
