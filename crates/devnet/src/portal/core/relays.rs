//! Relays: who is there, who was given which, and with what credentials.
//! spec: portal 10.4, data-plane 5.1

use super::Core;
use crate::portal::{
    config::{Owner, TokenKind},
    connections::{Connection, ConnectionId, Reach},
    identity::{Digest, digest, digest_text},
};
use model::{PublicKey, Relay, RelayId};
use portal_client::v1::{RelaysPresence, client, gateway};
use rand_chacha::rand_core::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    collections::BTreeMap,
    net::{SocketAddrV4, SocketAddrV6},
    time::{Duration, Instant},
};

/// How many relays a party is given.
const HANDED_OUT: usize = 2;

/// How long a relay may be away before anybody is told.
const DEBOUNCE: Duration = Duration::from_secs(3);

/// How long credentials last where no token limits them, in seconds.
const CREDENTIALS: u64 = 90 * 24 * 3600;

/// One relay.
pub(crate) struct RelayEntry {
    pub(crate) reach: Reach,
    pub(crate) name: String,
    /// Hidden by the operator: connected, but not handed out.
    pub(crate) hidden: bool,
    secret: SecretString,
    stamp: Digest,
    connection: Option<ConnectionId>,
    leaves_at: Option<Instant>,
}

impl RelayEntry {
    /// Whether it may be handed out.
    pub(crate) const fn is_present(&self) -> bool {
        self.connection.is_some() && !self.hidden
    }
}

/// All relays that are there or have just gone.
#[derive(Default)]
pub(crate) struct Relays {
    pub(crate) all: BTreeMap<RelayId, RelayEntry>,
}

impl Relays {
    /// When somebody has to be told that a relay is gone.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.all.values().filter_map(|entry| entry.leaves_at).min()
    }
}

/// A relay as it is handed to the party with this key.
pub(crate) fn credentials(
    id: RelayId,
    reach: Reach,
    secret: &SecretString,
    key: PublicKey,
    expires_at: u64,
) -> Relay {
    let salt = digest_text(&key.to_string());
    let password = digest_text(&format!("{expires_at}:{}:{salt}", secret.expose_secret()));
    Relay {
        id,
        v4: reach.ipv4.map(|ip| SocketAddrV4::new(ip, reach.port)),
        v6: reach.ipv6.map(|ip| SocketAddrV6::new(ip, reach.port, 0, 0)),
        username: format!("{expires_at}:{salt}"),
        password: password.into(),
    }
}

impl Core {
    /// A relay has joined: tells parties that have none, or that know this one.
    pub(crate) fn relay_joined(
        &mut self,
        id: RelayId,
        connection: ConnectionId,
        reach: Reach,
        name: &str,
        secret: &str,
    ) {
        let stamp = digest(secret.as_bytes());
        let hidden = self.relays.all.get(&id).is_some_and(|entry| entry.hidden);
        let entry = RelayEntry {
            reach,
            name: name.to_owned(),
            hidden,
            secret: secret.into(),
            stamp,
            connection: Some(connection),
            leaves_at: None,
        };
        self.relays.all.insert(id, entry);
        if !hidden {
            self.relay_appeared(id, stamp);
        }
    }

    fn relay_appeared(&mut self, id: RelayId, stamp: Digest) {
        let concerned = |connection: &Connection| {
            connection.handed.is_empty() || connection.handed.contains_key(&id)
        };
        for connection in self.users_of_relays(concerned) {
            let before = self.connections.get(connection);
            let outdated = before
                .and_then(|c| c.handed.get(&id))
                .is_some_and(|handed| *handed != stamp);
            self.tell_relays(connection, if outdated { vec![id] } else { vec![] });
        }
    }

    /// A relay's connection is gone, unless a newer one has taken its place.
    pub(crate) fn relay_lost(&mut self, id: RelayId, connection: ConnectionId) {
        let now = self.now.at;
        if let Some(entry) = self.relays.all.get_mut(&id)
            && entry.connection == Some(connection)
        {
            entry.connection = None;
            if !entry.hidden {
                entry.leaves_at = Some(now + DEBOUNCE);
            }
        }
    }

    /// Shows or hides a relay that may well stay connected.
    pub(crate) fn set_relay_present(&mut self, id: RelayId, present: bool) {
        let now = self.now.at;
        let Some(entry) = self.relays.all.get_mut(&id) else {
            return;
        };
        if entry.hidden != present {
            return;
        }
        entry.hidden = !present;
        entry.leaves_at = (!present).then_some(now + DEBOUNCE);
        let stamp = entry.stamp;
        if entry.is_present() {
            self.relay_appeared(id, stamp);
        }
    }

    /// Tells about relays that have been away for long enough.
    pub(crate) fn relays_due(&mut self) {
        let now = self.now.at;
        let due: Vec<RelayId> = self
            .relays
            .all
            .iter_mut()
            .filter(|(_, entry)| entry.leaves_at.is_some_and(|at| at <= now))
            .map(|(&id, entry)| {
                entry.leaves_at = None;
                id
            })
            .collect();
        for id in due {
            for connection in self.users_of_relays(|c| c.handed.contains_key(&id)) {
                self.tell_relays(connection, vec![id]);
            }
        }
        // A hidden relay is remembered, so that it stays hidden when it comes back.
        self.relays.all.retain(|_, entry| {
            entry.hidden || entry.connection.is_some() || entry.leaves_at.is_some()
        });
    }

    /// Chooses relays for a party and takes note of them: those it has, as long as they are
    /// there, then any others.
    pub(crate) fn hand_out(&mut self, connection: ConnectionId) -> Vec<Relay> {
        let Some(party) = self.connections.get(connection) else {
            return Vec::new();
        };
        let Some(key) = party.session.key else {
            return Vec::new();
        };
        let expires_at = match (&party.session.owner, party.session.token_ends) {
            (Owner::Actor(_), Some(end)) => end,
            _ => self.now.unix + CREDENTIALS,
        };
        let handed: Vec<RelayId> = party.handed.keys().copied().collect();
        let mut present: Vec<(bool, u64, RelayId)> = Vec::new();
        for (&id, entry) in &self.relays.all {
            if entry.is_present() {
                present.push((!handed.contains(&id), self.random.next_u64(), id));
            }
        }
        present.sort_unstable();
        present.truncate(HANDED_OUT);

        let mut handed = BTreeMap::new();
        let mut relays = Vec::new();
        for (_, _, id) in present {
            if let Some(entry) = self.relays.all.get(&id) {
                handed.insert(id, entry.stamp);
                relays.push(credentials(id, entry.reach, &entry.secret, key, expires_at));
            }
        }
        if let Some(party) = self.connections.get_mut(connection) {
            party.handed = handed;
        }
        relays
    }

    fn users_of_relays(&self, concerned: impl Fn(&Connection) -> bool) -> Vec<ConnectionId> {
        self.connections
            .joined()
            .filter(|(_, c)| c.kind() != TokenKind::Relay && concerned(c))
            .map(|(id, _)| id)
            .collect()
    }

    fn tell_relays(&mut self, connection: ConnectionId, disconnected_ids: Vec<RelayId>) {
        let presence = RelaysPresence {
            disconnected_ids,
            connected: self.hand_out(connection),
        };
        match self.connections.get(connection).map(Connection::kind) {
            Some(TokenKind::Client) => {
                self.tell(connection, &client::FromPortal::RelaysPresence(presence));
            }
            Some(TokenKind::Gateway) => {
                self.tell(connection, &gateway::FromPortal::RelaysPresence(presence));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_the_specification() {
        let secret = "4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab".into();
        let reach = Reach {
            ipv4: Some("198.51.100.9".parse().unwrap()),
            ipv6: Some("2001:db8::9".parse().unwrap()),
            port: 3478,
        };
        for (key, expiry, salt, password) in [
            (
                1,
                1_893_456_000,
                "xXzDtV05+ab3cvUI44IeCigIIjUsDQ8NJZ+6Y7dNqaA",
                "dzLSQxkHUKRNI2HPHAXlk/feOpR5eLJPmCLfsTKoTZc",
            ),
            (
                2,
                2_145_916_800,
                "nXAyqBpHWYA/1G2XTllLzU96O4pcBycOWOnhLBT9TPA",
                "l0lnRpxhggXGZ9YLsDib5FLVDUJqI3k366VjELKw7c8",
            ),
        ] {
            let key = PublicKey::from_bytes([key; 32]);
            let id = RelayId::from_bytes([4; 16]);
            let relay = credentials(id, reach, &secret, key, expiry);
            assert_eq!(relay.username, format!("{expiry}:{salt}"));
            assert_eq!(relay.password.expose_secret(), password);
            assert_eq!(relay.v4.unwrap().to_string(), "198.51.100.9:3478");
            assert_eq!(relay.v6.unwrap().to_string(), "[2001:db8::9]:3478");
        }
    }
}
