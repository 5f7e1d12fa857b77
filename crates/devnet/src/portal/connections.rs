//! Who is connected, since when, and how much they may say. spec: portal 10.1, 10.3, 3.4

use super::{
    config::{Owner, TokenKind},
    identity::Digest,
};
use model::{ClientId, GatewayId, PublicKey, RelayId};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

/// How many connections there may be at a time.
pub(crate) const MAX_CONNECTIONS: usize = 1024;

/// How many frames a party may send at once, and how many a second after that.
const BURST: u32 = 500;
const RATE: u32 = 100;

/// A websocket; later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    Client(ClientId),
    Gateway(GatewayId),
    Relay(RelayId),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => write!(f, "client {id}"),
            Self::Gateway(id) => write!(f, "gateway {id}"),
            Self::Relay(id) => write!(f, "relay {id}"),
        }
    }
}

/// What the upgrade said.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) token: Digest,
    pub(crate) owner: Owner,
    pub(crate) token_ends: Option<u64>,
    pub(crate) name: String,
    /// Clients and gateways have one.
    pub(crate) key: Option<PublicKey>,
    pub(crate) version: String,
    pub(crate) user_agent: String,
    pub(crate) remote: IpAddr,
    /// Relays have one.
    pub(crate) reach: Option<Reach>,
}

/// Where a relay is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
    pub(crate) port: u16,
}

/// One websocket.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) party: Party,
    pub(crate) session: Session,
    pub(crate) joined: bool,
    /// Relays that the party was given, and what stood for their secrets then.
    pub(crate) handed: BTreeMap<RelayId, Digest>,
    heard: Instant,
    allowance: u32,
    counted: Instant,
}

impl Connection {
    pub(crate) fn new(party: Party, session: Session, now: Instant) -> Self {
        Self {
            party,
            session,
            joined: false,
            handed: BTreeMap::new(),
            heard: now,
            allowance: BURST,
            counted: now,
        }
    }

    pub(crate) const fn kind(&self) -> TokenKind {
        self.session.owner.kind()
    }

    pub(crate) const fn topic(&self) -> &'static str {
        self.kind().topic()
    }

    /// The actor behind a client.
    pub(crate) fn actor(&self) -> &str {
        match &self.session.owner {
            Owner::Actor(actor) => actor,
            _ => "",
        }
    }

    /// Takes note of a frame; false when the party says too much.
    pub(crate) fn heard(&mut self, now: Instant) -> bool {
        self.heard = now;
        let seconds = now.saturating_duration_since(self.counted).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX);
            let more = more.saturating_mul(RATE);
            self.allowance = self.allowance.saturating_add(more).min(BURST);
            self.counted = now;
        }
        match self.allowance.checked_sub(1) {
            Some(left) => {
                self.allowance = left;
                true
            }
            None => false,
        }
    }

    /// When the party has been silent for too long. spec: portal 3.4
    pub(crate) fn idle_at(&self) -> Instant {
        self.heard
            + match self.kind() {
                TokenKind::Client => Duration::from_secs(307),
                TokenKind::Gateway => Duration::from_secs(37),
                TokenKind::Relay => Duration::from_secs(41),
            }
    }
}

/// All websockets.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    all: BTreeMap<ConnectionId, Connection>,
    last: u64,
}

impl Connections {
    pub(crate) fn is_full(&self) -> bool {
        self.all.len() >= MAX_CONNECTIONS
    }

    pub(crate) fn add(&mut self, connection: Connection) -> ConnectionId {
        self.last += 1;
        let id = ConnectionId(self.last);
        self.all.insert(id, connection);
        id
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.all.remove(&id)
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.all.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.all.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (ConnectionId, &Connection)> {
        self.all.iter().map(|(&id, connection)| (id, connection))
    }

    pub(crate) fn joined(&self) -> impl DoubleEndedIterator<Item = (ConnectionId, &Connection)> {
        self.iter().filter(|(_, connection)| connection.joined)
    }

    /// Where messages for the party go: to the connection that joined last.
    pub(crate) fn of(&self, party: Party) -> Option<(ConnectionId, &Connection)> {
        self.joined().rev().find(|(_, c)| c.party == party)
    }

    /// The latest connection of each client that is there.
    pub(crate) fn clients(&self) -> BTreeMap<ClientId, (ConnectionId, String)> {
        self.joined()
            .filter_map(|(id, connection)| match connection.party {
                Party::Client(client) => Some((client, (id, connection.actor().to_owned()))),
                _ => None,
            })
            .collect()
    }
}
