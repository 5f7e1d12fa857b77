//! What an operator can say to a running portal.

use super::{
    config::{Account, ResourceEntry, Settings, SettingsFault, TokenKind},
    connections::{ConnectionId, Party},
    core::{Core, Moment},
};
use model::{DomainName, RelayId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A command, as one line of JSON: `{"cmd": "resource_delete", "resource": "Lab net"}`.
///
/// Every command is answered by one line: `{"ok": true, …}` or `{"ok": false, "error": "…"}`.
/// Resources, parties and relays are referred to by name or id.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Command {
    /// Changes the account; what is not mentioned stays.
    Account {
        /// Short name.
        slug: Option<String>,
        /// Domain for single-label names; an empty text removes it.
        search_domain: Option<String>,
        /// Resolvers of the clients.
        upstream_dns: Option<Vec<SocketAddr>>,
        /// Whether nobody may connect.
        disabled: Option<bool>,
    },
    /// Ends the connections of a party.
    Drop {
        /// Whose.
        party: String,
        /// In which manner.
        #[serde(default)]
        how: Manner,
    },
    /// Takes a client's access to a resource away without taking the resource.
    FlowDelete {
        /// The client.
        client: String,
        /// The resource.
        resource: String,
    },
    /// Shows or hides a relay.
    RelayPresent {
        /// The relay.
        relay: String,
        /// Whether it may be handed out.
        present: bool,
    },
    /// Reads the configuration file again.
    Reload,
    /// Adds a resource, in the form of the configuration file.
    ResourceAdd {
        /// The resource.
        resource: ResourceEntry,
    },
    /// Removes a resource.
    ResourceDelete {
        /// The resource.
        resource: String,
    },
    /// Changes members of a resource, in the form of the configuration file.
    ResourceUpdate {
        /// The resource.
        resource: String,
        /// The members that change; null removes one.
        set: serde_json::Map<String, Value>,
    },
    /// Tells everything but secrets.
    Status,
    /// Removes tokens: one with this text, or all that name an actor or a site.
    TokenRevoke {
        /// The text of a token.
        token: Option<SecretString>,
        /// The user behind clients.
        actor: Option<String>,
        /// The site of gateways, as the configuration file spells it.
        site: Option<String>,
    },
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// With a close frame.
    #[default]
    Close,
    /// Without a word.
    Abrupt,
    /// Only the channel ends; the websocket stays.
    Channel,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandFault {
    #[error("there is no {0} {1:?}")]
    Missing(&'static str, String),
    #[error("{0}")]
    Settings(#[from] SettingsFault),
    #[error("not a resource: {0}")]
    Resource(serde_json::Error),
    #[error("not a domain name")]
    Domain,
    #[error("say a token, an actor or a site")]
    NothingNamed,
    #[error("the configuration file cannot be read")]
    Unreadable,
}

impl Core {
    /// Carries out a command; the answer is an object with `ok`.
    ///
    /// `file` is what the configuration file holds now, for [`Command::Reload`].
    pub fn handle_command(&mut self, command: Command, file: Option<&str>, now: Moment) -> Value {
        self.now = now;
        match self.carry_out(command, file) {
            Ok(mut answer) => {
                answer["ok"] = json!(true);
                answer
            }
            Err(fault) => json!({"ok": false, "error": fault.to_string()}),
        }
    }

    fn carry_out(&mut self, command: Command, file: Option<&str>) -> Result<Value, CommandFault> {
        let mut next = self.settings.clone();
        match command {
            Command::Status => return Ok(self.status()),
            Command::Drop { party, how } => return self.drop_party(&party, how),
            Command::FlowDelete { client, resource } => {
                return self.drop_flow(&client, &resource);
            }
            Command::RelayPresent { relay, present } => {
                let id = self.find_relay(&relay)?;
                self.set_relay_present(id, present);
                return Ok(json!({}));
            }
            Command::Account {
                slug,
                search_domain,
                upstream_dns,
                disabled,
            } => {
                let account = &mut next.account;
                if let Some(text) = search_domain {
                    account.search_domain = domain(&text)?;
                }
                *account = Account {
                    slug: slug.unwrap_or_else(|| account.slug.clone()),
                    search_domain: account.search_domain.clone(),
                    upstream_dns: upstream_dns.unwrap_or_else(|| account.upstream_dns.clone()),
                    disabled: disabled.unwrap_or(account.disabled),
                };
            }
            Command::Reload => next = Settings::parse(file.ok_or(CommandFault::Unreadable)?)?,
            Command::ResourceAdd { resource } => next.resources.push(resource),
            Command::ResourceDelete { resource } => {
                let position = position(&next, &resource)?;
                next.resources.remove(position);
            }
            Command::ResourceUpdate { resource, set } => {
                let position = position(&next, &resource)?;
                let changed = merged(&next.resources[position], set)?;
                next.resources[position] = changed;
            }
            Command::TokenRevoke { token, actor, site } => {
                revoke_tokens(&mut next, token.as_ref(), actor.as_deref(), site.as_deref())?;
            }
        }
        self.replace_settings(next)?;
        Ok(json!({}))
    }

    fn drop_party(&mut self, party: &str, how: Manner) -> Result<Value, CommandFault> {
        let named: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, c)| c.session.name == party || id_text(c.party) == party)
            .map(|(id, _)| id)
            .collect();
        if named.is_empty() {
            return Err(CommandFault::Missing("party", party.to_owned()));
        }
        for &id in &named {
            match how {
                Manner::Close => self.close(id, 1000),
                Manner::Abrupt => self.abort(id),
                Manner::Channel => self.close_channel(id),
            }
        }
        Ok(json!({"dropped": named.len()}))
    }

    fn drop_flow(&mut self, client: &str, resource: &str) -> Result<Value, CommandFault> {
        let id = self
            .devices
            .clients
            .iter()
            .find(|(id, device)| device.name == client || id.to_string() == client)
            .map(|(&id, _)| id)
            .ok_or_else(|| CommandFault::Missing("client", client.to_owned()))?;
        let position = position(&self.settings, resource)?;
        let resource = self.settings.resources[position].id;
        let deleted = resource.map_or(0, |resource| self.delete_flow(id, resource));
        Ok(json!({"deleted": deleted}))
    }

    fn find_relay(&self, relay: &str) -> Result<RelayId, CommandFault> {
        self.relays
            .all
            .iter()
            .find(|(id, entry)| entry.name == relay || id.to_string() == relay)
            .map(|(&id, _)| id)
            .ok_or_else(|| CommandFault::Missing("relay", relay.to_owned()))
    }
}

/// The id of a party as text.
pub(crate) fn id_text(party: Party) -> String {
    match party {
        Party::Client(id) => id.to_string(),
        Party::Gateway(id) => id.to_string(),
        Party::Relay(id) => id.to_string(),
    }
}

fn position(settings: &Settings, resource: &str) -> Result<usize, CommandFault> {
    settings
        .position(resource)
        .ok_or_else(|| CommandFault::Missing("resource", resource.to_owned()))
}

fn domain(text: &str) -> Result<Option<DomainName>, CommandFault> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| CommandFault::Domain),
    }
}

/// The resource with some members replaced.
fn merged(
    entry: &ResourceEntry,
    set: serde_json::Map<String, Value>,
) -> Result<ResourceEntry, CommandFault> {
    let mut value = serde_json::to_value(entry).map_err(CommandFault::Resource)?;
    for (member, with) in set {
        value[member] = with;
    }
    serde_json::from_value(value).map_err(CommandFault::Resource)
}

fn revoke_tokens(
    settings: &mut Settings,
    token: Option<&SecretString>,
    actor: Option<&str>,
    site: Option<&str>,
) -> Result<(), CommandFault> {
    if token.is_none() && actor.is_none() && site.is_none() {
        return Err(CommandFault::NothingNamed);
    }
    let before = settings.tokens.len();
    settings.tokens.retain(|entry| {
        let text = entry.token.expose_secret();
        let by_text = token.is_some_and(|token| token.expose_secret() == text);
        let is = |kind| entry.kind == kind;
        let by_actor = is(TokenKind::Client) && actor.is_some() && entry.actor.as_deref() == actor;
        let by_site = is(TokenKind::Gateway) && site.is_some() && entry.site.as_deref() == site;
        !(by_text || by_actor || by_site)
    });
    if settings.tokens.len() == before {
        return Err(CommandFault::Missing("token", "of that kind".to_owned()));
    }
    Ok(())
}
