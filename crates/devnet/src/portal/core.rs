//! The portal as a state machine: connections and frames in, frames out. spec: portal 10

mod authorize;
mod changes;
mod relays;

use self::{authorize::Flows, changes::dns_of, relays::Relays};
use super::{
    config::{Directory, Owner, Settings, SettingsFault},
    connections::{Connection, ConnectionId, Connections, Party},
    identity::{Devices, SavedFlow, SavedState, derived_id, is_semver},
    upgrade::{Refusal, Upgrade},
};
use model::{ClientId, GatewayId, Interface, RelayId, Seed, SeedTree};
use portal_client::{
    Message,
    frame::{Frame, PHOENIX},
    v1::{client, gateway, relay},
};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The longest stamp secret that a relay may have, in bytes.
const MAX_SECRET: usize = 256;

/// A point in time, on the clock that measures and on the one that dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// For waiting.
    pub at: Instant,
    /// Unix seconds, for what expires.
    pub unix: u64,
}

/// What the portal wants.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send a frame.
    Send {
        /// To whom.
        connection: ConnectionId,
        /// What.
        frame: Frame,
    },
    /// Close a websocket properly. The portal has forgotten it already.
    Close {
        /// Which.
        connection: ConnectionId,
        /// The code of the close frame.
        code: u16,
    },
    /// Drop a connection without a word. The portal has forgotten it already.
    Abort {
        /// Which.
        connection: ConnectionId,
    },
    /// [`Core::settings`] changed and should be written.
    SaveSettings,
    /// [`Core::state`] changed and should be written.
    SaveState,
    /// Nothing more; call [`Core::handle_timeout`] at this time, if there is one.
    Idle(Option<Instant>),
}

/// The portal without sockets, files and clock.
///
/// Contract: call one `handle_*`, then [`Core::poll`] until it returns [`Output::Idle`]; only then
/// call the next `handle_*`. A timeout that comes too early is harmless.
pub struct Core {
    pub(crate) settings: Settings,
    pub(crate) directory: Directory,
    pub(crate) devices: Devices,
    pub(crate) connections: Connections,
    pub(crate) relays: Relays,
    pub(crate) flows: Flows,
    pub(crate) random: ChaCha20Rng,
    pub(crate) now: Moment,
    outputs: VecDeque<Output>,
}

impl Core {
    /// A portal with these settings and this memory of earlier days.
    ///
    /// # Errors
    ///
    /// When the settings make no sense.
    pub fn new(
        settings: Settings,
        state: SavedState,
        seed: Seed,
        now: Moment,
    ) -> Result<Self, SettingsFault> {
        let directory = settings.directory()?;
        let mut flows = Flows::default();
        for flow in state.flows {
            let grant = (flow.client, flow.resource, flow.gateway);
            if directory.resources.contains_key(&flow.resource) {
                flows.granted.insert(grant, flow.expires_at);
            }
        }
        flows.prune(now.unix);
        Ok(Self {
            settings,
            directory,
            devices: Devices::load(state.devices),
            connections: Connections::default(),
            relays: Relays::default(),
            flows,
            random: SeedTree::new(seed).stream("portal"),
            now,
            outputs: VecDeque::new(),
        })
    }

    /// Somebody wants a websocket.
    ///
    /// # Errors
    ///
    /// The answer to give instead of an upgrade. Otherwise [`Core::handle_closed`] must follow
    /// some time, also when the upgrade fails.
    pub fn handle_upgrade(
        &mut self,
        upgrade: &Upgrade<'_>,
        now: Moment,
    ) -> Result<ConnectionId, Refusal> {
        const FULL: Refusal = Refusal {
            status: 429,
            text: "Too many connections",
        };
        self.now = now;
        let admission = upgrade.admit(&self.directory, now.unix)?;
        if self.connections.is_full() {
            return Err(FULL);
        }
        let session = admission.session;
        let (id, name) = (&admission.external_id, &session.name);
        let party = match (&session.owner, session.reach) {
            (Owner::Actor(actor), _) => self.devices.client(actor, id, name).map(Party::Client),
            (Owner::Site(site), _) => self.devices.gateway(*site, id, name).map(Party::Gateway),
            (Owner::Relays, reach) => reach.map(|reach| {
                let v4 = reach.ipv4.map(|ip| ip.to_string());
                let ip = v4
                    .or(reach.ipv6.map(|ip| ip.to_string()))
                    .unwrap_or_default();
                let bytes = derived_id("relay", &[&ip, &reach.port.to_string()]);
                Party::Relay(RelayId::from_bytes(bytes))
            }),
        };
        let connection = Connection::new(party.ok_or(FULL)?, session, now.at);
        self.save_state();
        Ok(self.connections.add(connection))
    }

    /// A text frame came in.
    pub fn handle_frame(&mut self, id: ConnectionId, text: &str, now: Moment) {
        self.now = now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if !connection.heard(now.at) {
            tracing::warn!(party = %connection.party, "Closed a connection that says too much");
            self.close(id, 1008);
            return;
        }
        let (party, joined, topic) = (connection.party, connection.joined, connection.topic());
        let Ok(frame) = Frame::parse(text) else {
            tracing::warn!(%party, bytes = text.len(), "Dropped a malformed frame");
            return;
        };
        match (frame.topic.as_str(), frame.event.as_str()) {
            (PHOENIX, "heartbeat") => self.reply(id, &frame, Ok(())),
            (of, _) if of != topic => self.reply(id, &frame, Err("unmatched topic")),
            (_, "phx_join") => self.handle_join(id, &frame),
            _ if !joined => self.reply(id, &frame, Err("unmatched topic")),
            (_, "phx_leave") => {
                self.leave(id);
                self.reply(id, &frame, Ok(()));
            }
            _ => match party {
                Party::Client(client) => self.client_says(id, client, &frame),
                Party::Gateway(gateway) => self.gateway_says(id, gateway, &frame),
                Party::Relay(_) => self.reply(id, &frame, Err("unknown_message")),
            },
        }
    }

    /// A websocket is gone, for whatever reason. Unknown ones are ignored.
    pub fn handle_closed(&mut self, id: ConnectionId, now: Moment) {
        self.now = now;
        self.forget(id);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.now = now;
        let idle: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.idle_at() <= now.at)
            .map(|(id, _)| id)
            .collect();
        for id in idle {
            self.close(id, 1000);
        }
        let ended: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, c)| c.session.token_ends.is_some_and(|end| end <= now.unix))
            .map(|(id, _)| id)
            .collect();
        for id in ended {
            self.expel(id);
        }
        self.relays_due();
        self.flows.prune(now.unix);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Output {
        self.outputs
            .pop_front()
            .unwrap_or_else(|| Output::Idle(self.deadline()))
    }

    /// The settings as they are now, with secrets in clear.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What should be remembered.
    pub fn state(&self) -> SavedState {
        let flows = self.flows.granted.iter();
        SavedState {
            devices: self.devices.save(),
            flows: flows
                .map(|(&(client, resource, gateway), &expires_at)| SavedFlow {
                    client,
                    resource,
                    gateway,
                    expires_at,
                })
                .collect(),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let idle = self.connections.iter().map(|(_, c)| c.idle_at()).min();
        let ends = self
            .connections
            .iter()
            .filter_map(|(_, c)| c.session.token_ends);
        let ended = ends.min().map(|unix| {
            // Woken at least once an hour: the clock that dates may jump.
            let left = unix.saturating_sub(self.now.unix).min(3600);
            self.now.at + Duration::from_secs(left)
        });
        [idle, ended, self.relays.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn handle_join(&mut self, id: ConnectionId, frame: &Frame) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if !is_semver(&connection.session.version) {
            return self.reply(id, frame, Err("invalid_version"));
        }
        let secret = frame.payload.get("stamp_secret").and_then(Value::as_str);
        let secret = secret.filter(|text| !text.is_empty() && text.len() <= MAX_SECRET);
        let is_relay = matches!(connection.party, Party::Relay(_));
        if is_relay && secret.is_none() {
            return self.reply(id, frame, Err("stamp_secret is missing"));
        }
        connection.joined = true;
        connection.handed.clear();
        let (party, session) = (connection.party, connection.session.clone());
        self.reply(id, frame, Ok(()));
        match party {
            Party::Client(client) => self.init_client(id, client),
            Party::Gateway(gateway) => self.init_gateway(id, gateway),
            Party::Relay(relay) => {
                self.tell(id, &relay::FromPortal::Init);
                if let (Some(reach), Some(secret)) = (session.reach, secret) {
                    self.relay_joined(relay, id, reach, &session.name, secret);
                }
            }
        }
        tracing::info!(%party, connection = %id, "A party joined");
    }

    fn init_client(&mut self, id: ConnectionId, client: ClientId) {
        let (Some(interface), Some(connection)) =
            (self.interface(client), self.connections.get(id))
        else {
            return;
        };
        let visible = self.directory.resources.values();
        let visible = visible.filter(|policy| policy.admits(connection.actor()));
        let init = client::Init {
            interface,
            resources: visible.map(|policy| policy.resource.clone()).collect(),
            relays: self.hand_out(id),
        };
        self.tell(id, &client::FromPortal::Init(init));
    }

    pub(crate) fn init_gateway(&mut self, id: ConnectionId, gateway: GatewayId) {
        let Some(device) = self.devices.gateways.get(&gateway) else {
            return;
        };
        let interface = gateway::GatewayInterface {
            ipv4: device.ipv4,
            ipv6: device.ipv6,
        };
        let init = gateway::Init {
            interface,
            config: gateway::Masquerade {
                ipv4: true,
                ipv6: true,
            },
            account_slug: Some(self.directory.account.slug.clone()),
            relays: self.hand_out(id),
            authorizations: self.grants_of(gateway),
        };
        self.tell(id, &gateway::FromPortal::Init(init));
    }

    /// Addresses and DNS settings of a client.
    pub(crate) fn interface(&self, client: ClientId) -> Option<Interface> {
        let device = self.devices.clients.get(&client)?;
        let (upstream_dns, search_domain) = dns_of(&self.directory.account);
        Some(Interface {
            ipv4: device.ipv4,
            ipv6: device.ipv6,
            upstream_dns,
            search_domain,
        })
    }

    /// Says that the token has ended, and hangs up. spec: portal 10.8
    pub(crate) fn expel(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(id) {
            let reason = json!({"reason": "token_expired"});
            let frame = Frame::push(connection.topic(), "disconnect", reason);
            self.send(id, frame);
            self.close(id, 1000);
        }
    }

    pub(crate) fn tell(&mut self, connection: ConnectionId, message: &impl Message) {
        if let Some(to) = self.connections.get(connection) {
            let (event, payload) = message.encode();
            let frame = Frame::push(to.topic(), event, payload);
            self.send(connection, frame);
        }
    }

    pub(crate) fn reply(&mut self, id: ConnectionId, to: &Frame, outcome: Result<(), &str>) {
        self.send(id, Frame::reply(to, outcome));
    }

    pub(crate) fn send(&mut self, connection: ConnectionId, frame: Frame) {
        self.outputs.push_back(Output::Send { connection, frame });
    }

    pub(crate) fn close(&mut self, connection: ConnectionId, code: u16) {
        self.outputs.push_back(Output::Close { connection, code });
        self.forget(connection);
    }

    pub(crate) fn abort(&mut self, connection: ConnectionId) {
        self.outputs.push_back(Output::Abort { connection });
        self.forget(connection);
    }

    pub(crate) fn save_state(&mut self) {
        self.outputs.push_back(Output::SaveState);
    }

    pub(crate) fn save_settings(&mut self) {
        self.outputs.push_back(Output::SaveSettings);
    }

    fn forget(&mut self, id: ConnectionId) {
        self.leave(id);
        self.connections.remove(id);
    }

    pub(crate) fn leave(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if std::mem::take(&mut connection.joined) {
            tracing::info!(party = %connection.party, connection = %id, "A party left");
            if let Party::Relay(relay) = connection.party {
                self.relay_lost(relay, id);
            }
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("connections", &self.connections.iter().count())
            .field("resources", &self.directory.resources.len())
            .finish_non_exhaustive()
    }
}
