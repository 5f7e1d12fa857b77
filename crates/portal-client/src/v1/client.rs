//! What clients and the portal say to each other. spec: portal 6

use super::RelaysPresence;
use crate::{
    DecodeError, Delivery, Message,
    wire::{self, MAX_IDS, MAX_SMALL_LIST, WireInterface, typed},
};
use model::{
    Candidate, GatewayId, IceCredentials, Interface, PresharedKey, PublicKey, Relay, Resource,
    ResourceId, SiteId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Messages from the portal to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromPortal {
    /// The account's DNS settings changed; resources and relays stay.
    ConfigChanged(Interface),
    /// A gateway has accepted us for a resource.
    FlowCreated(Box<FlowCreated>),
    /// The portal does not let us reach a resource, or cannot.
    FlowCreationFailed(FlowCreationFailed),
    /// Addresses under which a gateway may be reached.
    IceCandidates(GatewayCandidates),
    /// The complete state; replaces what we knew. Comes after each join, and unasked.
    Init(Init),
    /// Addresses under which a gateway is no longer reached.
    InvalidateIceCandidates(GatewayCandidates),
    /// Relays that went, and relays to use from now on.
    RelaysPresence(RelaysPresence),
    /// One resource is new or has changed.
    ResourceCreatedOrUpdated(Resource),
    /// One resource is gone, or has become one that is not understood.
    ResourceDeleted(ResourceId),
}

/// Everything a client works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Addresses and DNS settings.
    pub interface: Interface,
    /// What may be reached.
    pub resources: Vec<Resource>,
    /// Relays with our credentials.
    pub relays: Vec<Relay>,
}

/// What is needed to connect to the gateway of a resource. spec: portal 5.7
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FlowCreated {
    /// The resource we asked for.
    pub resource_id: ResourceId,
    /// The gateway that serves it.
    pub gateway_id: GatewayId,
    /// The site of that gateway.
    #[serde(rename = "gateway_group_id", alias = "site_id")]
    pub site_id: SiteId,
    /// Its WireGuard key.
    pub gateway_public_key: PublicKey,
    /// Its IPv4 address inside the tunnel.
    pub gateway_ipv4: Ipv4Addr,
    /// Its IPv6 address inside the tunnel.
    pub gateway_ipv6: Ipv6Addr,
    /// The secret that both sides mix into their WireGuard handshake.
    pub preshared_key: PresharedKey,
    /// Our side of the ICE session.
    #[serde(deserialize_with = "wire::ice")]
    pub client_ice_credentials: IceCredentials,
    /// The gateway's side of the ICE session.
    #[serde(deserialize_with = "wire::ice")]
    pub gateway_ice_credentials: IceCredentials,
}

/// Why a resource cannot be reached now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowCreationFailed {
    /// The resource we asked for.
    pub resource_id: ResourceId,
    /// Why the portal refuses.
    pub reason: FailureReason,
    /// The conditions of a policy that do not hold; display text.
    pub violated_properties: Vec<String>,
}

/// Why the portal does not authorize a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// A condition of the policy does not hold.
    Forbidden,
    /// There is no such resource for this client, or no gateway of a compatible version.
    NotFound,
    /// No gateway of the resource's sites is online.
    Offline,
    /// Gateways are online, but none of a compatible version. spec: portal 5.8
    VersionMismatch,
    /// A reason of a later portal.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for FailureReason {
    /// As the portal writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Offline => "offline",
            Self::VersionMismatch => "version_mismatch",
            Self::Unknown => "unknown",
        })
    }
}

/// Candidates of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayCandidates {
    /// Whose candidates these are.
    pub gateway_id: GatewayId,
    /// At least one candidate, in the order of the sender.
    pub candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
struct WireInit {
    interface: WireInterface,
    resources: Option<Vec<Value>>,
    relays: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct WireConfig {
    interface: WireInterface,
}

#[derive(Deserialize)]
struct WireFailure {
    resource_id: ResourceId,
    reason: FailureReason,
    violated_properties: Option<Vec<Value>>,
}

impl Message for FromPortal {
    fn decode(event: &str, payload: Value) -> Result<Self, DecodeError> {
        Ok(match event {
            "config_changed" => {
                Self::ConfigChanged(typed::<WireConfig>(payload)?.interface.try_into()?)
            }
            "flow_created" => Self::FlowCreated(typed(payload)?),
            "flow_creation_failed" => Self::FlowCreationFailed(decode_failure(payload)?),
            "ice_candidates" => Self::IceCandidates(decode_candidates(payload)?),
            "init" => {
                let wire: WireInit = typed(payload)?;
                Self::Init(Init {
                    interface: wire.interface.try_into()?,
                    resources: wire::client_resources(wire.resources),
                    relays: wire::relays(wire.relays),
                })
            }
            "invalidate_ice_candidates" => {
                Self::InvalidateIceCandidates(decode_candidates(payload)?)
            }
            "relays_presence" => Self::RelaysPresence(RelaysPresence::decode(payload)?),
            "resource_created_or_updated" => decode_resource(payload)?,
            "resource_deleted" => Self::ResourceDeleted(typed(payload)?),
            _ => return Err(DecodeError::Unknown),
        })
    }

    fn encode(&self) -> (&'static str, Value) {
        match self {
            Self::ConfigChanged(interface) => (
                "config_changed",
                json!({"interface": wire::emit_interface(interface)}),
            ),
            Self::FlowCreated(flow) => ("flow_created", flow.encode()),
            Self::FlowCreationFailed(failure) => ("flow_creation_failed", failure.encode()),
            Self::IceCandidates(of) => ("ice_candidates", of.encode()),
            Self::Init(init) => (
                "init",
                json!({
                    "interface": wire::emit_interface(&init.interface),
                    "resources": init.resources.iter().map(wire::emit_for_client).collect::<Value>(),
                    "relays": wire::emit_relays(&init.relays),
                }),
            ),
            Self::InvalidateIceCandidates(of) => ("invalidate_ice_candidates", of.encode()),
            Self::RelaysPresence(presence) => ("relays_presence", presence.encode()),
            Self::ResourceCreatedOrUpdated(resource) => (
                "resource_created_or_updated",
                wire::emit_for_client(resource),
            ),
            Self::ResourceDeleted(id) => ("resource_deleted", json!(id)),
        }
    }
}

/// A resource that is not understood, but known by its id, is one that we no longer have: what was
/// known of it before does not hold any more.
fn decode_resource(payload: Value) -> Result<FromPortal, DecodeError> {
    let id = payload.get("id").and_then(Value::as_str);
    let id: Option<ResourceId> = id.and_then(|id| id.parse().ok());
    match (wire::client_resource(payload), id) {
        (Ok(resource), _) => Ok(FromPortal::ResourceCreatedOrUpdated(resource)),
        (Err(error), None) => Err(error),
        (Err(error), Some(id)) => {
            match error {
                DecodeError::Unknown => {
                    tracing::debug!(resource = %id, "A resource is of a type that is not known");
                }
                DecodeError::Malformed(_) => {
                    tracing::warn!(resource = %id, %error, "A resource cannot be used");
                }
            }
            Ok(FromPortal::ResourceDeleted(id))
        }
    }
}

fn decode_failure(payload: Value) -> Result<FlowCreationFailed, DecodeError> {
    let wire: WireFailure = typed(payload)?;
    let violated = wire::lenient_typed(
        "violated_properties",
        wire.violated_properties,
        MAX_SMALL_LIST,
    );
    Ok(FlowCreationFailed {
        resource_id: wire.resource_id,
        reason: wire.reason,
        violated_properties: violated.into_iter().map(wire::display_text).collect(),
    })
}

fn decode_candidates(payload: Value) -> Result<GatewayCandidates, DecodeError> {
    let (gateway_id, candidates) = wire::candidates_of(payload, "gateway_id")?;
    Ok(GatewayCandidates {
        gateway_id,
        candidates,
    })
}

impl FlowCreated {
    fn encode(&self) -> Value {
        json!({
            "resource_id": self.resource_id,
            "gateway_id": self.gateway_id,
            "gateway_group_id": self.site_id,
            "gateway_public_key": self.gateway_public_key,
            "gateway_ipv4": self.gateway_ipv4,
            "gateway_ipv6": self.gateway_ipv6,
            "preshared_key": self.preshared_key.expose_base64().as_str(),
            "client_ice_credentials": wire::emit_ice(&self.client_ice_credentials),
            "gateway_ice_credentials": wire::emit_ice(&self.gateway_ice_credentials),
        })
    }
}

impl FlowCreationFailed {
    fn encode(&self) -> Value {
        let mut payload = json!({"resource_id": self.resource_id, "reason": self.reason});
        if !self.violated_properties.is_empty() {
            payload["violated_properties"] = json!(self.violated_properties);
        }
        payload
    }
}

impl GatewayCandidates {
    fn encode(&self) -> Value {
        json!({
            "gateway_id": self.gateway_id,
            "candidates": wire::emit_candidates(&self.candidates),
        })
    }
}

/// Messages from a client to the portal. None of them is answered by a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToPortal {
    /// Addresses under which the client may be reached.
    BroadcastIceCandidates(CandidatesForGateways),
    /// Addresses under which the client is no longer reached.
    BroadcastInvalidatedIceCandidates(CandidatesForGateways),
    /// A request to be let through to a resource.
    CreateFlow {
        /// The resource.
        resource_id: ResourceId,
        /// Gateways we already have connections to: the portal prefers them.
        connected_gateway_ids: BTreeSet<GatewayId>,
    },
}

/// Our candidates, for gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidatesForGateways {
    /// Whom to tell; the original client always names one.
    pub gateway_ids: Vec<GatewayId>,
    /// At least one candidate.
    pub candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
struct WireCreateFlow {
    resource_id: ResourceId,
    connected_gateway_ids: Vec<Value>,
}

impl Message for ToPortal {
    fn decode(event: &str, payload: Value) -> Result<Self, DecodeError> {
        Ok(match event {
            "broadcast_ice_candidates" => Self::BroadcastIceCandidates(decode_broadcast(payload)?),
            "broadcast_invalidated_ice_candidates" => {
                Self::BroadcastInvalidatedIceCandidates(decode_broadcast(payload)?)
            }
            "create_flow" => {
                let wire: WireCreateFlow = typed(payload)?;
                let connected = Some(wire.connected_gateway_ids);
                Self::CreateFlow {
                    resource_id: wire.resource_id,
                    connected_gateway_ids: wire::lenient_typed("gateway ids", connected, MAX_IDS)
                        .into_iter()
                        .collect(),
                }
            }
            _ => return Err(DecodeError::Unknown),
        })
    }

    fn encode(&self) -> (&'static str, Value) {
        match self {
            Self::BroadcastIceCandidates(of) => ("broadcast_ice_candidates", of.encode()),
            Self::BroadcastInvalidatedIceCandidates(of) => {
                ("broadcast_invalidated_ice_candidates", of.encode())
            }
            Self::CreateFlow {
                resource_id,
                connected_gateway_ids,
            } => (
                "create_flow",
                json!({
                    "resource_id": resource_id,
                    "connected_gateway_ids": connected_gateway_ids,
                }),
            ),
        }
    }

    fn delivery(&self) -> Delivery {
        match self {
            Self::BroadcastIceCandidates(_) | Self::BroadcastInvalidatedIceCandidates(_) => {
                Delivery::Keep
            }
            // The packet that wanted it is long gone after a reconnect; the next one asks again.
            Self::CreateFlow { .. } => Delivery::Lossy,
        }
    }
}

fn decode_broadcast(payload: Value) -> Result<CandidatesForGateways, DecodeError> {
    let (gateway_ids, candidates) = wire::candidates_for(payload, "gateway_ids")?;
    Ok(CandidatesForGateways {
        gateway_ids,
        candidates,
    })
}

impl CandidatesForGateways {
    fn encode(&self) -> Value {
        json!({
            "gateway_ids": self.gateway_ids,
            "candidates": wire::emit_candidates(&self.candidates),
        })
    }
}
