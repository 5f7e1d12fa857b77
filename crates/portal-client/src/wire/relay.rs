//! Relay lists in messages. spec: portal 5.3

use super::{MAX_RELAYS, lenient, typed};
use crate::DecodeError;
use model::{Relay, RelayId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum WireRelay {
    Turn {
        id: RelayId,
        addr: SocketAddr,
        username: String,
        password: SecretString,
    },
    #[serde(other)]
    Other,
}

/// Reads relay entries and joins those of one id; a bad entry costs only itself.
///
/// Where entries of one id contradict each other, the first one counts.
pub(crate) fn relays(list: Option<Vec<Value>>) -> Vec<Relay> {
    let entries = lenient("relays", list, MAX_RELAYS, |entry| {
        match typed::<WireRelay>(entry)? {
            WireRelay::Turn {
                id,
                addr,
                username,
                password,
            } => Ok(single(id, addr, username, password)),
            WireRelay::Other => Err(DecodeError::Unknown),
        }
    });
    let mut relays: Vec<Relay> = Vec::new();
    for entry in entries {
        match relays.iter_mut().find(|relay| relay.id == entry.id) {
            Some(relay) => {
                relay.v4 = relay.v4.or(entry.v4);
                relay.v6 = relay.v6.or(entry.v6);
            }
            None => relays.push(entry),
        }
    }
    relays
}

fn single(id: RelayId, addr: SocketAddr, username: String, password: SecretString) -> Relay {
    let (v4, v6) = match addr {
        SocketAddr::V4(addr) => (Some(addr), None),
        SocketAddr::V6(addr) => (None, Some(addr)),
    };
    Relay {
        id,
        v4,
        v6,
        username,
        password,
    }
}

/// The relays as JSON: one entry per address, IPv4 first.
pub(crate) fn emit_relays(relays: &[Relay]) -> Value {
    relays
        .iter()
        .flat_map(|relay| relay.addresses().map(move |addr| emit(relay, addr)))
        .collect()
}

fn emit(relay: &Relay, addr: SocketAddr) -> Value {
    // The expiry is the first half of the username, so `model` does not hold it twice.
    let expires_at: u64 = relay
        .username
        .split_once(':')
        .and_then(|(expiry, _)| expiry.parse().ok())
        .unwrap_or(0);
    json!({
        "type": "turn",
        "id": relay.id,
        "addr": addr,
        "username": relay.username,
        "password": relay.password.expose_secret(),
        "expires_at": expires_at,
    })
}
