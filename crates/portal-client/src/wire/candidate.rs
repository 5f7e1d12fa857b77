//! ICE candidates in messages. spec: portal 5.8, data-plane 2.7

use super::{MAX_CANDIDATES, MAX_IDS, lenient, lenient_typed, typed};
use crate::DecodeError;
use model::Candidate;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads the candidates of one peer, which the member with this name identifies.
///
/// # Errors
///
/// When a member is missing, or no candidate is left.
pub(crate) fn candidates_of<Id: DeserializeOwned>(
    mut payload: Value,
    peer: &'static str,
) -> Result<(Id, Vec<Candidate>), DecodeError> {
    let id = typed(take(&mut payload, peer)?)?;
    let list = typed(take(&mut payload, "candidates")?)?;
    Ok((id, candidates(list)?))
}

/// Reads the candidates for several peers, which the member with this name lists.
///
/// # Errors
///
/// When a member is missing, or no candidate is left.
pub(crate) fn candidates_for<Id: DeserializeOwned>(
    payload: Value,
    peers: &'static str,
) -> Result<(Vec<Id>, Vec<Candidate>), DecodeError> {
    let (ids, candidates) = candidates_of(payload, peers)?;
    Ok((lenient_typed(peers, Some(ids), MAX_IDS), candidates))
}

fn take(payload: &mut Value, member: &'static str) -> Result<Value, DecodeError> {
    let value = payload.get_mut(member).map(Value::take);
    value.ok_or(DecodeError::Malformed(member))
}

/// Reads candidates, leaving out those of a kind we cannot use.
///
/// # Errors
///
/// When not one is left: the message says nothing then.
fn candidates(list: Vec<Value>) -> Result<Vec<Candidate>, DecodeError> {
    let candidates = lenient("candidates", Some(list), MAX_CANDIDATES, |entry| {
        typed::<String>(entry)?
            .parse()
            .map_err(|_| DecodeError::Malformed("a candidate"))
    });
    if candidates.is_empty() {
        return Err(DecodeError::Malformed("every candidate"));
    }
    Ok(candidates)
}

/// The candidates as a JSON list of texts.
pub(crate) fn emit_candidates(candidates: &[Candidate]) -> Value {
    candidates.iter().map(ToString::to_string).collect()
}
