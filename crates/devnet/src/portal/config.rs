//! The configuration file, and the directory that follows from it.

use super::identity::{Digest, derived_id, digest};
use ipnet::IpNet;
use model::{
    CidrResource, DnsResource, DomainName, Filter, InternetResource, IpStack, PortRange, Resource,
    ResourceId, Site, SiteId,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsFault {
    /// The address of a resource does not fit its type.
    #[error("the address of resource {0:?} does not fit its type")]
    Address(String),
    /// The file is no JSON, or has members that are not documented.
    #[error("not a configuration")]
    Json(#[source] serde_json::Error),
    /// A client's token names no actor, or a gateway's no site.
    #[error("token number {0} does not say whose it is")]
    Owner(usize),
    /// A port range is none.
    #[error("resource {0:?} has a filter with impossible ports")]
    Ports(String),
    /// Something refers to a site that does not exist.
    #[error("there is no site {0:?}")]
    Site(String),
    /// Two things of one kind have the same id or name.
    #[error("{0:?} is there twice")]
    Twice(String),
}

/// The configuration file of a portal.
///
/// ```json
/// {
///   "account": { "slug": "dev", "search_domain": "corp.test", "upstream_dns": ["192.0.2.53:53"] },
///   "sites": [ { "name": "site-a" } ],
///   "tokens": [
///     { "token": "client-secret", "kind": "client", "actor": "anna" },
///     { "token": "gateway-secret", "kind": "gateway", "site": "site-a" },
///     { "token": "relay-secret", "kind": "relay" }
///   ],
///   "resources": [
///     { "name": "Lab net", "type": "cidr", "address": "10.20.0.0/16", "sites": ["site-a"],
///       "filters": [ { "protocol": "tcp", "ports": ["443", "8000-8080"] }, { "protocol": "icmp" } ] },
///     { "name": "Wiki", "type": "dns", "address": "*.wiki.test", "sites": ["site-a"] },
///     { "name": "Everything", "type": "internet", "sites": ["site-a"], "actors": ["anna"] }
///   ]
/// }
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What concerns everybody.
    #[serde(default)]
    pub account: Account,
    /// Groups of gateways.
    #[serde(default)]
    pub sites: Vec<SiteEntry>,
    /// Who may connect.
    #[serde(default)]
    pub tokens: Vec<TokenEntry>,
    /// What may be reached.
    #[serde(default)]
    pub resources: Vec<ResourceEntry>,
}

/// What concerns everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Account {
    /// Short name; gateways are told.
    pub slug: String,
    /// Domain in which clients look up single-label names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_domain: Option<DomainName>,
    /// Resolvers of the clients; none means their own.
    pub upstream_dns: Vec<SocketAddr>,
    /// Whether every connection is refused with status 403.
    #[serde(skip_serializing_if = "is_false")]
    pub disabled: bool,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            slug: "dev".to_owned(),
            search_domain: None,
            upstream_dns: Vec::new(),
            disabled: false,
        }
    }
}

/// A group of gateways that reach the same resources.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteEntry {
    /// Follows from the name when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<SiteId>,
    /// Unique; resources and tokens refer to it.
    pub name: String,
}

/// A credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// The secret text.
    #[serde(serialize_with = "expose")]
    pub token: SecretString,
    /// Who connects with it.
    pub kind: TokenKind,
    /// The user behind a client's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Name or id of a gateway's site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// When it ends, in Unix seconds; nothing means never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Who connects with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// A client.
    Client,
    /// A gateway.
    Gateway,
    /// A relay.
    Relay,
}

impl TokenKind {
    /// The topic and the first segment of the path.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Relay => "relay",
        }
    }
}

/// A resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceEntry {
    /// Follows from the name when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<ResourceId>,
    /// Unique display text.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ResourceKind,
    /// A network or an address, a pattern of names, or nothing; depends on the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Display text, often a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_description: Option<String>,
    /// The families that names of a `dns` resource have; both when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_stack: Option<IpStack>,
    /// Names or ids of the sites that reach it; clients do not see a resource without one.
    #[serde(default)]
    pub sites: Vec<String>,
    /// What may pass; nothing means everything.
    #[serde(default)]
    pub filters: Vec<FilterEntry>,
    /// Who may see it; missing means everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actors: Option<Vec<String>>,
    /// Conditions that never hold: whoever asks for the resource is refused with these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forbidden: Option<Vec<String>>,
}

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// A range of addresses.
    Cidr,
    /// Names that match a pattern.
    Dns,
    /// Everything else.
    Internet,
}

/// One permitted kind of traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterEntry {
    /// The protocol.
    pub protocol: Protocol,
    /// Ports; nothing means all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortSpec>,
}

/// A protocol that filters know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// ICMP of both families.
    Icmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port, as a number or text, or a range as text: `443`, `"443"`, `"8000-8080"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PortSpec {
    /// A port.
    Number(u16),
    /// A port or a range.
    Text(String),
}

fn expose<S: Serializer>(token: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose_secret())
}

const fn is_false(value: &bool) -> bool {
    !*value
}

impl Settings {
    /// Reads a configuration and gives an id to everything that has none.
    ///
    /// # Errors
    ///
    /// When the text is no configuration.
    pub fn parse(text: &str) -> Result<Self, SettingsFault> {
        let mut settings: Self = serde_json::from_str(text).map_err(SettingsFault::Json)?;
        settings.give_ids();
        Ok(settings)
    }

    /// Gives an id to everything that has none, so that it keeps it when it is renamed.
    pub(crate) fn give_ids(&mut self) {
        for site in &mut self.sites {
            let id = || SiteId::from_bytes(derived_id("site", &[&site.name]));
            site.id = Some(site.id.unwrap_or_else(id));
        }
        for resource in &mut self.resources {
            let id = || ResourceId::from_bytes(derived_id("resource", &[&resource.name]));
            resource.id = Some(resource.id.unwrap_or_else(id));
        }
    }

    /// Where the resource with this name or id stands in the list.
    pub(crate) fn position(&self, name_or_id: &str) -> Option<usize> {
        let id: Option<ResourceId> = name_or_id.parse().ok();
        self.resources
            .iter()
            .position(|resource| resource.name == name_or_id || (id.is_some() && resource.id == id))
    }

    /// What the portal works with.
    ///
    /// # Errors
    ///
    /// When something refers to nothing, is there twice, or makes no sense.
    pub fn directory(&self) -> Result<Directory, SettingsFault> {
        let mut directory = Directory {
            account: self.account.clone(),
            ..Directory::default()
        };
        for site in &self.sites {
            let id = site
                .id
                .unwrap_or_else(|| SiteId::from_bytes(derived_id("site", &[&site.name])));
            if directory
                .sites
                .iter()
                .any(|s| s.id == id || s.name == site.name)
            {
                return Err(SettingsFault::Twice(site.name.clone()));
            }
            directory.sites.push(Site {
                id,
                name: site.name.clone(),
            });
        }
        for (number, entry) in self.tokens.iter().enumerate() {
            directory.tokens.push(entry.token(number, &directory)?);
        }
        for entry in &self.resources {
            let policy = entry.policy(&directory)?;
            let twice = |p: &Policy| p.resource.name() == entry.name;
            if directory.resources.values().any(twice)
                || directory.resources.contains_key(&policy.resource.id())
            {
                return Err(SettingsFault::Twice(entry.name.clone()));
            }
            directory.resources.insert(policy.resource.id(), policy);
        }
        Ok(directory)
    }
}

/// A configuration with everything resolved: what the portal works with.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    pub(crate) account: Account,
    pub(crate) sites: Vec<Site>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) resources: BTreeMap<ResourceId, Policy>,
}

/// A credential without its text.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) digest: Digest,
    pub(crate) owner: Owner,
    pub(crate) expires_at: Option<u64>,
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    Actor(String),
    Site(SiteId),
    Relays,
}

impl Owner {
    pub(crate) const fn kind(&self) -> TokenKind {
        match self {
            Self::Actor(_) => TokenKind::Client,
            Self::Site(_) => TokenKind::Gateway,
            Self::Relays => TokenKind::Relay,
        }
    }
}

/// A resource and who may reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) resource: Resource,
    pub(crate) actors: Option<Vec<String>>,
    pub(crate) forbidden: Option<Vec<String>>,
}

impl Policy {
    /// Whether the actor may see the resource.
    pub(crate) fn admits(&self, actor: &str) -> bool {
        let listed = |actors: &Vec<String>| actors.iter().any(|a| a == actor);
        !self.resource.sites().is_empty() && self.actors.as_ref().is_none_or(listed)
    }
}

impl Directory {
    /// The resource, if the actor may see it.
    pub(crate) fn visible(&self, actor: &str, id: ResourceId) -> Option<&Policy> {
        self.resources
            .get(&id)
            .filter(|policy| policy.admits(actor))
    }

    /// The token with this text, unless it has ended. Takes the same time for every text.
    pub(crate) fn token(&self, text: &str, unix: u64) -> Option<&Token> {
        let wanted = digest(text.as_bytes());
        let mut found = None;
        for token in &self.tokens {
            if token.digest == wanted {
                found = Some(token);
            }
        }
        found.filter(|token| token.expires_at.is_none_or(|end| unix < end))
    }

    fn site(&self, name_or_id: &str) -> Result<Site, SettingsFault> {
        let id: Option<SiteId> = name_or_id.parse().ok();
        self.sites
            .iter()
            .find(|site| site.name == name_or_id || Some(site.id) == id)
            .cloned()
            .ok_or_else(|| SettingsFault::Site(name_or_id.to_owned()))
    }
}

impl TokenEntry {
    fn token(&self, number: usize, directory: &Directory) -> Result<Token, SettingsFault> {
        let owner = match (self.kind, &self.actor, &self.site) {
            (TokenKind::Client, Some(actor), _) => Owner::Actor(actor.clone()),
            (TokenKind::Gateway, _, Some(site)) => Owner::Site(directory.site(site)?.id),
            (TokenKind::Relay, _, _) => Owner::Relays,
            _ => return Err(SettingsFault::Owner(number)),
        };
        Ok(Token {
            digest: digest(self.token.expose_secret().as_bytes()),
            owner,
            expires_at: self.expires_at,
        })
    }
}

impl ResourceEntry {
    fn policy(&self, directory: &Directory) -> Result<Policy, SettingsFault> {
        let sites: Result<Vec<Site>, _> =
            self.sites.iter().map(|name| directory.site(name)).collect();
        Ok(Policy {
            resource: self.resource(sites?)?,
            actors: self.actors.clone(),
            forbidden: self.forbidden.clone(),
        })
    }

    fn resource(&self, sites: Vec<Site>) -> Result<Resource, SettingsFault> {
        let fault = || SettingsFault::Address(self.name.clone());
        let id = self
            .id
            .unwrap_or_else(|| ResourceId::from_bytes(derived_id("resource", &[&self.name])));
        let name = self.name.clone();
        let address_description = self.address_description.clone();
        let filters = self.filters()?;
        let address = self.address.as_deref();
        Ok(match self.kind {
            ResourceKind::Cidr => Resource::Cidr(CidrResource {
                id,
                name,
                address: address.and_then(network).ok_or_else(fault)?,
                address_description,
                sites,
                filters,
            }),
            ResourceKind::Dns => Resource::Dns(DnsResource {
                id,
                name,
                address: address.filter(|a| !a.is_empty()).ok_or_else(fault)?.into(),
                address_description,
                ip_stack: self.ip_stack.unwrap_or_default(),
                sites,
                filters,
            }),
            ResourceKind::Internet if address.is_some() => return Err(fault()),
            ResourceKind::Internet => Resource::Internet(InternetResource { id, name, sites }),
        })
    }

    /// One filter per range of ports. spec: portal 5.4
    fn filters(&self) -> Result<Vec<Filter>, SettingsFault> {
        let mut filters = Vec::new();
        for entry in &self.filters {
            let ranges: Option<Vec<PortRange>> = match entry.ports.as_slice() {
                [] => Some(vec![PortRange {
                    first: 0,
                    last: u16::MAX,
                }]),
                ports => ports.iter().map(PortSpec::range).collect(),
            };
            let ranges = ranges.ok_or_else(|| SettingsFault::Ports(self.name.clone()))?;
            match entry.protocol {
                Protocol::Icmp => filters.push(Filter::Icmp),
                Protocol::Tcp => filters.extend(ranges.into_iter().map(Filter::Tcp)),
                Protocol::Udp => filters.extend(ranges.into_iter().map(Filter::Udp)),
            }
        }
        Ok(filters)
    }
}

impl PortSpec {
    fn range(&self) -> Option<PortRange> {
        let (first, last) = match self {
            Self::Number(port) => (*port, *port),
            Self::Text(text) => match text.split_once('-') {
                Some((first, last)) => (first.trim().parse().ok()?, last.trim().parse().ok()?),
                None => text.trim().parse().map(|port| (port, port)).ok()?,
            },
        };
        (first <= last).then_some(PortRange { first, last })
    }
}

/// A network without host bits, or a single address.
fn network(text: &str) -> Option<IpNet> {
    let net: IpNet = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .ok()?;
    (net == net.trunc()).then_some(net)
}

#[cfg(test)]
mod tests;
