//! ICE candidates in messages. spec: portal 5.8, data-plane 2.7

use super::{MAX_CANDIDATES, lenient, typed};
use crate::DecodeFault;
use model::Candidate;
use serde_json::Value;

/// Reads candidates, leaving out those of a kind we cannot use.
///
/// # Errors
///
/// When not one is left: the message says nothing then.
pub(crate) fn candidates(list: Vec<Value>) -> Result<Vec<Candidate>, DecodeFault> {
    let candidates = lenient("candidates", Some(list), MAX_CANDIDATES, |entry| {
        typed::<String>(entry)?
            .parse()
            .map_err(|_| DecodeFault::Malformed("a candidate"))
    });
    if candidates.is_empty() {
        return Err(DecodeFault::Malformed("every candidate"));
    }
    Ok(candidates)
}

/// The candidates as a JSON list of texts.
pub(crate) fn emit_candidates(candidates: &[Candidate]) -> Value {
    candidates.iter().map(ToString::to_string).collect()
}
