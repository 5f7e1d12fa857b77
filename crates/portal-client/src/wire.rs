//! JSON shapes that messages of several parties share, and their conversion to `model` values.
//! spec: portal 5

mod candidate;
mod ice;
mod interface;
mod relay;
mod resource;

pub(crate) use candidate::{candidates_for, candidates_of, emit_candidates};
pub(crate) use ice::{emit_ice, ice};
pub(crate) use interface::{WireInterface, emit_interface};
pub(crate) use relay::{emit_relays, relays};
pub(crate) use resource::gateway_resource;
pub(crate) use resource::{client_resource, client_resources, emit_for_client, emit_for_gateway};

use crate::DecodeError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How many resources a message may list.
pub(crate) const MAX_RESOURCES: usize = 16_384;

/// How many relay entries a message may list; one relay has up to two.
pub(crate) const MAX_RELAYS: usize = 32;

/// How many candidates a message may list.
pub(crate) const MAX_CANDIDATES: usize = 64;

/// How many ids a message may list.
pub(crate) const MAX_IDS: usize = 4_096;

/// How many authorizations a gateway's `init` may list.
pub(crate) const MAX_AUTHORIZATIONS: usize = 65_536;

/// How many sites, filters or resolvers one thing may have.
pub(crate) const MAX_SMALL_LIST: usize = 256;

/// The longest display text that is kept, in bytes; the rest is cut off.
pub(crate) const MAX_TEXT: usize = 1_024;

/// Reads a payload as `T`; what does not fit is malformed.
pub(crate) fn typed<T: DeserializeOwned>(payload: Value) -> Result<T, DecodeError> {
    serde_json::from_value(payload).map_err(|error| DecodeError::from_json(&error))
}

/// Reads the entries that `read` understands, at most `limit`, and leaves out the others.
pub(crate) fn lenient<T>(
    what: &'static str,
    list: Option<Vec<Value>>,
    limit: usize,
    mut read: impl FnMut(Value) -> Result<T, DecodeError>,
) -> Vec<T> {
    let list = list.unwrap_or_default();
    let given = list.len();
    let mut entries = Vec::new();
    for entry in list.into_iter().take(limit) {
        match read(entry) {
            Ok(entry) => entries.push(entry),
            Err(DecodeError::Unknown) => {}
            Err(error) => tracing::warn!(what, %error, "Left out an entry of a portal message"),
        }
    }
    if given > limit {
        tracing::warn!(what, given, limit, "Cut a list of a portal message");
    }
    entries
}

/// Reads a list of plain values, leaving out what does not fit.
pub(crate) fn lenient_typed<T: DeserializeOwned>(
    what: &'static str,
    list: Option<Vec<Value>>,
    limit: usize,
) -> Vec<T> {
    lenient(what, list, limit, typed)
}

/// Cuts display text to what is kept, at a character boundary.
pub(crate) fn display_text(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT)
            .rev()
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}
