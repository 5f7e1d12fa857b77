//! What gateways and the portal say to each other. spec: portal 8

use super::RelaysPresence;
use crate::{
    DecodeError, Delivery, Message,
    wire::{self, MAX_AUTHORIZATIONS, typed},
};
use model::{
    Candidate, ClientId, IceCredentials, PresharedKey, PublicKey, Relay, Resource, ResourceId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Messages from the portal to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromPortal {
    /// Access that exists ends at another time now.
    AccessAuthorizationExpiryUpdated(Authorization),
    /// A client is to be let through to a resource; answer with its reference.
    AuthorizeFlow(Box<AuthorizeFlow>),
    /// Addresses under which a client may be reached.
    IceCandidates(ClientCandidates),
    /// The complete state; replaces what we knew.
    Init(Init),
    /// Addresses under which a client is no longer reached.
    InvalidateIceCandidates(ClientCandidates),
    /// A client may no longer reach a resource.
    RejectAccess {
        /// The client.
        client_id: ClientId,
        /// The resource.
        resource_id: ResourceId,
    },
    /// Relays that went, and relays to use from now on.
    RelaysPresence(RelaysPresence),
    /// The filters of a resource changed.
    ResourceUpdated(Resource),
}

/// Everything a gateway works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Our addresses inside the tunnel.
    pub interface: GatewayInterface,
    /// Which families are masqueraded towards resources.
    pub config: Masquerade,
    /// The account's short name.
    pub account_slug: Option<String>,
    /// Relays with our credentials.
    pub relays: Vec<Relay>,
    /// All access that there is: what is not listed is revoked.
    pub authorizations: Vec<Authorization>,
}

/// A gateway's addresses inside the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayInterface {
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address.
    pub ipv6: Ipv6Addr,
}

/// Which families a gateway masquerades. Sent, but not evaluated by the originals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masquerade {
    /// IPv4.
    #[serde(rename = "ipv4_masquerade_enabled")]
    pub ipv4: bool,
    /// IPv6.
    #[serde(rename = "ipv6_masquerade_enabled")]
    pub ipv6: bool,
}

/// A client's access to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Authorization {
    /// The client.
    pub client_id: ClientId,
    /// The resource.
    pub resource_id: ResourceId,
    /// When it ends, in Unix seconds; nothing means that the message does not say.
    pub expires_at: Option<u64>,
}

/// Everything a gateway needs to let a client through to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizeFlow {
    /// Opaque text of the portal, to be echoed once access is installed.
    pub reference: String,
    /// The resource, without sites.
    pub resource: Resource,
    /// Who is to be let through.
    pub client: ClientPeer,
    /// The client's side of the ICE session.
    pub client_ice_credentials: IceCredentials,
    /// Our side of the ICE session.
    pub gateway_ice_credentials: IceCredentials,
    /// When access ends, in Unix seconds; nothing means never.
    pub expires_at: Option<u64>,
}

/// A client as its gateways know it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClientPeer {
    /// The portal's id of the client.
    pub id: ClientId,
    /// Its WireGuard key.
    pub public_key: PublicKey,
    /// The secret that both sides mix into their WireGuard handshake.
    pub preshared_key: PresharedKey,
    /// Its IPv4 address inside the tunnel.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address inside the tunnel.
    pub ipv6: Ipv6Addr,
}

/// Candidates of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCandidates {
    /// Whose candidates these are.
    pub client_id: ClientId,
    /// At least one candidate, in the order of the sender.
    pub candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
struct WireInit {
    interface: GatewayInterface,
    config: Masquerade,
    account_slug: Option<String>,
    relays: Option<Vec<Value>>,
    authorizations: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct WireAuthorizeFlow {
    r#ref: String,
    resource: Value,
    client: ClientPeer,
    #[serde(deserialize_with = "wire::ice")]
    client_ice_credentials: IceCredentials,
    #[serde(deserialize_with = "wire::ice")]
    gateway_ice_credentials: IceCredentials,
    // Required although it may be null: a message that lost it must not grant access for ever.
    #[serde(deserialize_with = "Option::deserialize")]
    expires_at: Option<u64>,
}

#[derive(Deserialize)]
struct WirePair {
    client_id: ClientId,
    resource_id: ResourceId,
}

impl Message for FromPortal {
    fn decode(event: &str, payload: Value) -> Result<Self, DecodeError> {
        Ok(match event {
            "access_authorization_expiry_updated" => {
                Self::AccessAuthorizationExpiryUpdated(typed(payload)?)
            }
            "authorize_flow" => Self::AuthorizeFlow(Box::new(AuthorizeFlow::decode(payload)?)),
            "ice_candidates" => Self::IceCandidates(decode_candidates(payload)?),
            "init" => Self::Init(Init::decode(payload)?),
            "invalidate_ice_candidates" => {
                Self::InvalidateIceCandidates(decode_candidates(payload)?)
            }
            "reject_access" => {
                let pair: WirePair = typed(payload)?;
                Self::RejectAccess {
                    client_id: pair.client_id,
                    resource_id: pair.resource_id,
                }
            }
            "relays_presence" => Self::RelaysPresence(RelaysPresence::decode(payload)?),
            "resource_updated" => Self::ResourceUpdated(wire::gateway_resource(payload)?),
            _ => return Err(DecodeError::Unknown),
        })
    }

    fn encode(&self) -> (&'static str, Value) {
        match self {
            Self::AccessAuthorizationExpiryUpdated(authorization) => (
                "access_authorization_expiry_updated",
                authorization.encode(),
            ),
            Self::AuthorizeFlow(flow) => ("authorize_flow", flow.encode()),
            Self::IceCandidates(of) => ("ice_candidates", of.encode()),
            Self::Init(init) => ("init", init.encode()),
            Self::InvalidateIceCandidates(of) => ("invalidate_ice_candidates", of.encode()),
            Self::RejectAccess {
                client_id,
                resource_id,
            } => (
                "reject_access",
                json!({"client_id": client_id, "resource_id": resource_id}),
            ),
            Self::RelaysPresence(presence) => ("relays_presence", presence.encode()),
            Self::ResourceUpdated(resource) => {
                ("resource_updated", wire::emit_for_gateway(resource))
            }
        }
    }
}

fn decode_candidates(payload: Value) -> Result<ClientCandidates, DecodeError> {
    let (client_id, candidates) = wire::candidates_of(payload, "client_id")?;
    Ok(ClientCandidates {
        client_id,
        candidates,
    })
}

impl Init {
    fn decode(payload: Value) -> Result<Self, DecodeError> {
        let wire: WireInit = typed(payload)?;
        Ok(Self {
            interface: wire.interface,
            config: wire.config,
            account_slug: wire.account_slug.map(wire::display_text),
            relays: wire::relays(wire.relays),
            authorizations: wire::lenient_typed(
                "authorizations",
                wire.authorizations,
                MAX_AUTHORIZATIONS,
            ),
        })
    }

    fn encode(&self) -> Value {
        let authorizations: Value = self
            .authorizations
            .iter()
            .map(Authorization::encode)
            .collect();
        let mut payload = json!({
            "interface": self.interface,
            "config": self.config,
            "relays": wire::emit_relays(&self.relays),
            "authorizations": authorizations,
        });
        if let Some(slug) = &self.account_slug {
            payload["account_slug"] = json!(slug);
        }
        payload
    }
}

impl Authorization {
    fn encode(&self) -> Value {
        let mut payload = json!({"client_id": self.client_id, "resource_id": self.resource_id});
        if let Some(expires_at) = self.expires_at {
            payload["expires_at"] = json!(expires_at);
        }
        payload
    }
}

impl AuthorizeFlow {
    fn decode(payload: Value) -> Result<Self, DecodeError> {
        let wire: WireAuthorizeFlow = typed(payload)?;
        Ok(Self {
            reference: wire.r#ref,
            resource: wire::gateway_resource(wire.resource)?,
            client: wire.client,
            client_ice_credentials: wire.client_ice_credentials,
            gateway_ice_credentials: wire.gateway_ice_credentials,
            expires_at: wire.expires_at,
        })
    }

    fn encode(&self) -> Value {
        json!({
            "ref": self.reference,
            "resource": wire::emit_for_gateway(&self.resource),
            "client": {
                "id": self.client.id,
                "public_key": self.client.public_key,
                "preshared_key": self.client.preshared_key.expose_base64().as_str(),
                "ipv4": self.client.ipv4,
                "ipv6": self.client.ipv6,
            },
            "client_ice_credentials": wire::emit_ice(&self.client_ice_credentials),
            "gateway_ice_credentials": wire::emit_ice(&self.gateway_ice_credentials),
            "expires_at": self.expires_at,
        })
    }
}

impl ClientCandidates {
    fn encode(&self) -> Value {
        json!({
            "client_id": self.client_id,
            "candidates": wire::emit_candidates(&self.candidates),
        })
    }
}

/// Messages from a gateway to the portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToPortal {
    /// Addresses under which the gateway may be reached.
    BroadcastIceCandidates(CandidatesForClients),
    /// Addresses under which the gateway is no longer reached.
    BroadcastInvalidatedIceCandidates(CandidatesForClients),
    /// Access is installed; the portal answers the client now.
    FlowAuthorized {
        /// The text that came with the authorization.
        reference: String,
    },
}

/// Our candidates, for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidatesForClients {
    /// Whom to tell; the original gateway always names one.
    pub client_ids: Vec<ClientId>,
    /// At least one candidate.
    pub candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
struct WireFlowAuthorized {
    r#ref: String,
}

impl Message for ToPortal {
    fn decode(event: &str, payload: Value) -> Result<Self, DecodeError> {
        Ok(match event {
            "broadcast_ice_candidates" => Self::BroadcastIceCandidates(decode_broadcast(payload)?),
            "broadcast_invalidated_ice_candidates" => {
                Self::BroadcastInvalidatedIceCandidates(decode_broadcast(payload)?)
            }
            "flow_authorized" => Self::FlowAuthorized {
                reference: typed::<WireFlowAuthorized>(payload)?.r#ref,
            },
            _ => return Err(DecodeError::Unknown),
        })
    }

    fn encode(&self) -> (&'static str, Value) {
        match self {
            Self::BroadcastIceCandidates(of) => ("broadcast_ice_candidates", of.encode()),
            Self::BroadcastInvalidatedIceCandidates(of) => {
                ("broadcast_invalidated_ice_candidates", of.encode())
            }
            Self::FlowAuthorized { reference } => ("flow_authorized", json!({"ref": reference})),
        }
    }

    fn delivery(&self) -> Delivery {
        match self {
            Self::BroadcastIceCandidates(_) | Self::BroadcastInvalidatedIceCandidates(_) => {
                Delivery::Keep
            }
            // The client has asked again by the time the portal is back.
            Self::FlowAuthorized { .. } => Delivery::Lossy,
        }
    }
}

fn decode_broadcast(payload: Value) -> Result<CandidatesForClients, DecodeError> {
    let (client_ids, candidates) = wire::candidates_for(payload, "client_ids")?;
    Ok(CandidatesForClients {
        client_ids,
        candidates,
    })
}

impl CandidatesForClients {
    fn encode(&self) -> Value {
        json!({
            "client_ids": self.client_ids,
            "candidates": wire::emit_candidates(&self.candidates),
        })
    }
}
