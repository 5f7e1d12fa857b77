//! Introducing clients to gateways: requests, acknowledgements, candidates. spec: portal 10.5

use super::Core;
use crate::portal::{
    config::TokenKind,
    connections::{Connection, ConnectionId, Party},
    identity::ice_credentials,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{ClientId, GatewayId, PresharedKey, ResourceId, Site};
use portal_client::{
    Message as _,
    frame::Frame,
    v1::{client, gateway},
};
use rand_chacha::rand_core::Rng as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long access lasts where no token limits it, in seconds. spec: portal 10.8
const LIFETIME: u64 = 14 * 24 * 3600;

/// How many acknowledgements may be outstanding before the oldest are given up.
const MAX_PENDING: usize = 4096;

/// How many pairs may have access.
const MAX_GRANTED: usize = 65_536;

/// Bounds of what is passed on.
const MAX_CANDIDATES: usize = 64;
const MAX_CANDIDATE: usize = 512;
const MAX_RECEIVERS: usize = 64;

/// A client's access to a resource, through a gateway.
pub(crate) type Grant = (ClientId, ResourceId, GatewayId);

/// Access that was granted, and answers that wait for a gateway.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    /// When access ends, in Unix seconds.
    pub(crate) granted: BTreeMap<Grant, u64>,
    pending: BTreeMap<String, Pending>,
    order: VecDeque<String>,
}

/// An answer that goes to the client once the gateway agrees.
#[derive(Debug)]
struct Pending {
    grant: Grant,
    client: ConnectionId,
    gateway: ConnectionId,
    answer: Box<client::FlowCreated>,
}

impl Flows {
    /// Forgets what has ended.
    pub(crate) fn prune(&mut self, unix: u64) {
        self.granted.retain(|_, expires_at| *expires_at > unix);
    }

    /// The gateways through which the client reaches the resource.
    pub(crate) fn gateways_of(&self, client: ClientId, resource: ResourceId) -> Vec<GatewayId> {
        let first = GatewayId::from_bytes([0; 16]);
        let last = GatewayId::from_bytes([255; 16]);
        self.granted
            .range((client, resource, first)..=(client, resource, last))
            .map(|(&(_, _, gateway), _)| gateway)
            .collect()
    }

    fn wait(&mut self, reference: String, pending: Pending) {
        if self.order.len() >= MAX_PENDING
            && let Some(oldest) = self.order.pop_front()
        {
            self.pending.remove(&oldest);
        }
        self.order.push_back(reference.clone());
        self.pending.insert(reference, pending);
    }

    /// The answer with this reference, for the gateway that it was given to, and only once.
    fn acknowledged(&mut self, reference: &str, gateway: ConnectionId) -> Option<Pending> {
        if self.pending.get(reference)?.gateway != gateway {
            return None;
        }
        self.order.retain(|waiting| waiting != reference);
        self.pending.remove(reference)
    }
}

impl Core {
    pub(crate) fn client_says(&mut self, id: ConnectionId, client: ClientId, frame: &Frame) {
        let known = match frame.event.as_str() {
            "create_flow" => self.handle_create_flow(id, client, frame),
            "broadcast_ice_candidates" => {
                let from = json!({"client_id": client});
                self.pass_on(frame, "gateway_ids", "ice_candidates", &from)
            }
            "broadcast_invalidated_ice_candidates" => {
                let from = json!({"client_id": client});
                self.pass_on(frame, "gateway_ids", "invalidate_ice_candidates", &from)
            }
            _ => None,
        };
        if known.is_none() {
            self.reply(id, frame, Err("unknown_message"));
        }
    }

    pub(crate) fn gateway_says(&mut self, id: ConnectionId, gateway: GatewayId, frame: &Frame) {
        let known = match frame.event.as_str() {
            "flow_authorized" => self.handle_flow_authorized(id, frame),
            "broadcast_ice_candidates" => {
                let from = json!({"gateway_id": gateway});
                self.pass_on(frame, "client_ids", "ice_candidates", &from)
            }
            "broadcast_invalidated_ice_candidates" => {
                let from = json!({"gateway_id": gateway});
                self.pass_on(frame, "client_ids", "invalidate_ice_candidates", &from)
            }
            _ => None,
        };
        if known.is_none() {
            self.reply(id, frame, Err("unknown_message"));
        }
    }

    fn handle_create_flow(
        &mut self,
        id: ConnectionId,
        client: ClientId,
        frame: &Frame,
    ) -> Option<()> {
        let message = client::ToPortal::decode(&frame.event, frame.payload.clone()).ok()?;
        let client::ToPortal::CreateFlow {
            resource_id,
            connected_gateway_ids,
        } = message
        else {
            return None;
        };
        if let Err((reason, violated)) =
            self.authorize(id, client, resource_id, &connected_gateway_ids)
        {
            let failure = client::FlowCreationFailed {
                resource_id,
                reason,
                violated_properties: violated,
            };
            self.tell(id, &client::FromPortal::FlowCreationFailed(failure));
        }
        Some(())
    }

    /// Asks a gateway to let the client through; says why not if there is a reason.
    fn authorize(
        &mut self,
        id: ConnectionId,
        client: ClientId,
        resource: ResourceId,
        connected: &BTreeSet<GatewayId>,
    ) -> Result<(), (client::FailureReason, Vec<String>)> {
        use client::FailureReason::{Forbidden, NotFound, Offline};

        const NOT_FOUND: (client::FailureReason, Vec<String>) = (NotFound, Vec::new());
        let connection = self.connections.get(id).ok_or(NOT_FOUND)?;
        let policy = self.directory.visible(connection.actor(), resource);
        let policy = policy.ok_or(NOT_FOUND)?.clone();
        if let Some(violated) = policy.forbidden {
            return Err((Forbidden, violated));
        }
        let token_ends = connection.session.token_ends;
        let expires_at = token_ends.unwrap_or(self.now.unix + LIFETIME);
        let (gateway_connection, gateway) = self
            .choose(policy.resource.sites(), connected)
            .ok_or((Offline, Vec::new()))?;
        let grant = (client, resource, gateway);
        if self.flows.granted.len() >= MAX_GRANTED && !self.flows.granted.contains_key(&grant) {
            return Err((Offline, Vec::new()));
        }
        let mut secret = [0; 32];
        self.random.fill_bytes(&mut secret);
        let mut reference = [0; 32];
        self.random.fill_bytes(&mut reference);
        let reference = URL_SAFE_NO_PAD.encode(reference);
        let pair = (id, client, gateway_connection, gateway);
        let (request, answer) = self
            .introduction(pair, &policy.resource, PresharedKey::from_bytes(secret))
            .ok_or((Offline, Vec::new()))?;
        let request = gateway::AuthorizeFlow {
            reference: reference.clone(),
            expires_at: Some(expires_at),
            ..request
        };
        self.flows.wait(
            reference,
            Pending {
                grant,
                client: id,
                gateway: gateway_connection,
                answer: Box::new(answer),
            },
        );
        self.flows.granted.insert(grant, expires_at);
        self.tell(
            gateway_connection,
            &gateway::FromPortal::AuthorizeFlow(Box::new(request)),
        );
        self.save_state();
        Ok(())
    }

    /// What the two sides are told about each other.
    fn introduction(
        &self,
        (client_connection, client, gateway_connection, gateway): (
            ConnectionId,
            ClientId,
            ConnectionId,
            GatewayId,
        ),
        resource: &model::Resource,
        preshared_key: PresharedKey,
    ) -> Option<(gateway::AuthorizeFlow, client::FlowCreated)> {
        let client_key = self.connections.get(client_connection)?.session.key?;
        let gateway_key = self.connections.get(gateway_connection)?.session.key?;
        let client_device = self.devices.clients.get(&client)?;
        let gateway_device = self.devices.gateways.get(&gateway)?;
        let (client_ice, gateway_ice) =
            ice_credentials((client, client_key), (gateway, gateway_key));
        let request = gateway::AuthorizeFlow {
            reference: String::new(),
            resource: resource.clone(),
            client: gateway::ClientPeer {
                id: client,
                public_key: client_key,
                preshared_key: preshared_key.clone(),
                ipv4: client_device.ipv4,
                ipv6: client_device.ipv6,
            },
            client_ice_credentials: client_ice.clone(),
            gateway_ice_credentials: gateway_ice.clone(),
            expires_at: None,
        };
        let answer = client::FlowCreated {
            resource_id: resource.id(),
            gateway_id: gateway,
            site_id: gateway_device.owner,
            gateway_public_key: gateway_key,
            gateway_ipv4: gateway_device.ipv4,
            gateway_ipv6: gateway_device.ipv6,
            preshared_key,
            client_ice_credentials: client_ice,
            gateway_ice_credentials: gateway_ice,
        };
        Some((request, answer))
    }

    /// The gateway for a request: one that the client has a connection to if possible, then one
    /// of the highest version, then any.
    fn choose(
        &mut self,
        sites: &[Site],
        connected: &BTreeSet<GatewayId>,
    ) -> Option<(ConnectionId, GatewayId)> {
        let mut latest = BTreeMap::new();
        for (id, connection) in self.connections.joined() {
            if let Party::Gateway(gateway) = connection.party
                && let Some(device) = self.devices.gateways.get(&gateway)
                && sites.iter().any(|site| site.id == device.owner)
            {
                latest.insert(gateway, (id, connection.session.version.clone()));
            }
        }
        let ranked = latest.into_iter().map(|(gateway, (id, version))| {
            let rank = (
                connected.contains(&gateway),
                version,
                self.random.next_u64(),
            );
            (rank, id, gateway)
        });
        ranked.max().map(|(_, id, gateway)| (id, gateway))
    }

    /// The gateway lets the client through: now the client may know.
    fn handle_flow_authorized(&mut self, id: ConnectionId, frame: &Frame) -> Option<()> {
        let message = gateway::ToPortal::decode(&frame.event, frame.payload.clone()).ok()?;
        let gateway::ToPortal::FlowAuthorized { reference } = message else {
            return None;
        };
        let Some(pending) = self.flows.acknowledged(&reference, id) else {
            self.reply(id, frame, Err("invalid_ref"));
            return Some(());
        };
        self.reply(id, frame, Ok(()));
        // Access may have been revoked in between, and the client may be gone or here anew.
        let joined = self
            .connections
            .get(pending.client)
            .is_some_and(|c| c.joined);
        if joined && self.flows.granted.contains_key(&pending.grant) {
            let answer = client::FromPortal::FlowCreated(pending.answer);
            self.tell(pending.client, &answer);
        }
        Some(())
    }

    /// Passes candidates on to those who are there, exactly as they came.
    fn pass_on(&mut self, frame: &Frame, receivers: &str, event: &str, from: &Value) -> Option<()> {
        let ids = frame.payload.get(receivers)?.as_array()?;
        let candidates = frame.payload.get("candidates")?;
        let list = candidates.as_array()?;
        let sane = |text: &Value| {
            text.as_str()
                .is_some_and(|text| text.len() <= MAX_CANDIDATE)
        };
        if ids.len() > MAX_RECEIVERS || list.len() > MAX_CANDIDATES || !list.iter().all(sane) {
            return None;
        }
        let mut payload = from.clone();
        payload["candidates"] = candidates.clone();
        for id in ids {
            let id = id.as_str()?;
            let party = match receivers {
                "gateway_ids" => Party::Gateway(id.parse().ok()?),
                _ => Party::Client(id.parse().ok()?),
            };
            if let Some((connection, to)) = self.connections.of(party) {
                let frame = Frame::push(to.topic(), event, payload.clone());
                self.send(connection, frame);
            }
        }
        Some(())
    }

    /// Everything that a gateway may let through. The older generation does not ask when that
    /// ends, and ignores the answer.
    pub(crate) fn grants_of(&self, gateway: GatewayId) -> Vec<gateway::Authorization> {
        self.flows
            .granted
            .iter()
            .filter(|((_, _, of), expires_at)| *of == gateway && **expires_at > self.now.unix)
            .map(
                |(&(client_id, resource_id, _), &expires_at)| gateway::Authorization {
                    client_id,
                    resource_id,
                    expires_at: Some(expires_at),
                },
            )
            .collect()
    }

    /// Takes access away and tells the gateway, if nothing else grants the pair there.
    pub(crate) fn revoke(&mut self, grant: Grant) {
        if self.flows.granted.remove(&grant).is_none() {
            return;
        }
        let (client_id, resource_id, gateway) = grant;
        let there = self
            .connections
            .of(Party::Gateway(gateway))
            .map(|(id, _)| id);
        if let Some(id) = there {
            self.tell(
                id,
                &gateway::FromPortal::RejectAccess {
                    client_id,
                    resource_id,
                },
            );
        }
        self.save_state();
    }
}

impl Connection {
    /// Whether this is a gateway's or a client's connection rather than a relay's.
    pub(crate) const fn uses_tunnels(&self) -> bool {
        !matches!(self.kind(), TokenKind::Relay)
    }
}
