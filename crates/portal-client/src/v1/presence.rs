//! Which relays are there, as clients and gateways are told. spec: portal 6.1

use crate::{
    DecodeError,
    wire::{self, MAX_IDS, typed},
};
use model::{Relay, RelayId};
use serde::Deserialize;
use serde_json::{Value, json};

/// A change of the relays that a client or gateway may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelaysPresence {
    /// Relays that went away.
    pub disconnected_ids: Vec<RelayId>,
    /// Relays to use, some perhaps already known.
    pub connected: Vec<Relay>,
}

#[derive(Deserialize)]
struct WireRelaysPresence {
    disconnected_ids: Vec<Value>,
    connected: Vec<Value>,
}

impl RelaysPresence {
    pub(crate) fn decode(payload: Value) -> Result<Self, DecodeError> {
        let wire: WireRelaysPresence = typed(payload)?;
        let gone = Some(wire.disconnected_ids);
        Ok(Self {
            disconnected_ids: wire::lenient_typed("disconnected_ids", gone, MAX_IDS),
            connected: wire::relays(Some(wire.connected)),
        })
    }

    pub(crate) fn encode(&self) -> Value {
        json!({
            "disconnected_ids": self.disconnected_ids,
            "connected": wire::emit_relays(&self.connected),
        })
    }
}
