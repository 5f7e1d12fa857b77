//! Frames of the Phoenix channel protocol, serializer version 1: one JSON object per text frame.
//! spec: portal 3

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// The topic that heartbeats travel on.
pub const PHOENIX: &str = "phoenix";

/// One frame. Its payload may hold secrets, so `Debug` does not show it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The channel; the kind of the party, or [`PHOENIX`].
    pub topic: String,
    /// What it is about.
    pub event: String,
    /// Whatever belongs to the event; may be null.
    #[serde(default)]
    pub payload: Value,
    /// What a reply echoes; pushes have none.
    #[serde(rename = "ref", default)]
    pub reference: Option<u64>,
}

/// Why a text is not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// There is no text at all.
    #[error("an empty frame")]
    Empty,
    /// The text is no JSON, not even truncated JSON is, or its members are not those of a frame.
    #[error("not a frame")]
    Malformed,
}

impl Frame {
    /// A frame without reference.
    pub fn push(topic: &str, event: &str, payload: Value) -> Self {
        Self {
            topic: topic.to_owned(),
            event: event.to_owned(),
            payload,
            reference: None,
        }
    }

    /// A frame that asks for a reply.
    pub fn request(topic: &str, event: &str, payload: Value, reference: u64) -> Self {
        Self {
            reference: Some(reference),
            ..Self::push(topic, event, payload)
        }
    }

    /// The answer to `request`: nothing, or the reason of a refusal.
    pub fn reply(request: &Self, outcome: Result<(), &str>) -> Self {
        let payload = match outcome {
            Ok(()) => json!({"status": "ok", "response": {}}),
            Err(reason) => json!({"status": "error", "response": {"reason": reason}}),
        };
        Self {
            reference: request.reference,
            ..Self::push(&request.topic, "phx_reply", payload)
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// When the text is empty or no frame; a reference that is no unsigned integer makes it none.
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        if text.trim().is_empty() {
            return Err(FrameError::Empty);
        }
        // Serde would read an array as the members in their order; that is another serializer.
        if !text.trim_start().starts_with('{') {
            return Err(FrameError::Malformed);
        }
        serde_json::from_str(text).map_err(|_| FrameError::Malformed)
    }

    /// The frame as text, members in the order of the original.
    pub fn emit(&self) -> String {
        json_text(self)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("topic", &self.topic)
            .field("event", &self.event)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Ok,
    Error(String),
}

impl Reply {
    /// Reads the payload of a `phx_reply`; nothing when it is malformed.
    ///
    /// More is accepted than the originals do: any response of an ok reply will do.
    pub(crate) fn parse(payload: &Value) -> Option<Self> {
        match payload.get("status")?.as_str()? {
            "ok" => Some(Self::Ok),
            "error" => {
                let reason = payload.get("response")?.get("reason")?.as_str()?;
                Some(Self::Error(reason.to_owned()))
            }
            _ => None,
        }
    }
}

/// Text keys and plain values always make JSON.
fn json_text(frame: &Frame) -> String {
    serde_json::to_string(frame).expect("a frame has text keys only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_frames_are_those_of_the_specification() {
        let join = Frame::request("client", "phx_join", Value::Null, 0);
        assert_eq!(
            join.emit(),
            r#"{"topic":"client","event":"phx_join","payload":null,"ref":0}"#
        );
        assert_eq!(
            Frame::request(PHOENIX, "heartbeat", json!({}), 7).emit(),
            r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":7}"#
        );
        for text in [
            r#"{"topic":"client","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":0}"#,
            r#"{"topic":"client","event":"disconnect","payload":{"reason":"token_expired"},"ref":null}"#,
        ] {
            let frame = Frame::parse(text).unwrap();
            assert_eq!(Frame::parse(&frame.emit()), Ok(frame));
        }
        let refusal = Frame::reply(&join, Err("unmatched topic"));
        assert_eq!(
            Reply::parse(&refusal.payload),
            Some(Reply::Error("unmatched topic".into()))
        );
    }

    #[test]
    fn odd_frames_are_told_apart() {
        let malformed = [
            r#"{"topic":"client","event":"init","payload":{},"ref":"12"}"#,
            r#"{"topic":"client","event":"init","payload":{},"ref":-1}"#,
            r#"{"topic":"client","payload":{},"ref":1}"#,
            r#"{"topic":"client","event":"init","payl"#,
            r#"[null,"1","client","init",{}]"#,
            r#"["client","init",{},1]"#,
            "nonsense",
        ];
        for text in malformed {
            assert_eq!(Frame::parse(text), Err(FrameError::Malformed), "{text}");
        }
        assert_eq!(Frame::parse(""), Err(FrameError::Empty));
        assert_eq!(Frame::parse(" \n"), Err(FrameError::Empty));
        let tolerated = r#"{"join_ref":"1","event":"e","topic":"t","x":[1],"payload":"p"}"#;
        assert_eq!(
            Frame::parse(tolerated),
            Ok(Frame::push("t", "e", json!("p")))
        );
    }

    #[test]
    fn replies_with_odd_reasons_are_malformed() {
        for payload in [
            json!({"status": "error", "response": {"reason": 5}}),
            json!({"status": "error", "response": {}}),
            json!({"status": "maybe", "response": {}}),
            json!({"response": {}}),
            json!(null),
        ] {
            assert_eq!(Reply::parse(&payload), None, "{payload}");
        }
        for response in [json!({}), json!(null), json!({"a": 1})] {
            let payload = json!({"status": "ok", "response": response});
            assert_eq!(Reply::parse(&payload), Some(Reply::Ok));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_frame_or_a_fault(text: String) {
            drop(Frame::parse(&text));
        }

        #[test]
        fn any_frame_survives(topic: String, event: String, text: String, reference: Option<u64>) {
            let frame = Frame {
                reference,
                ..Frame::push(&topic, &event, json!({"text": [text, null]}))
            };
            prop_assert_eq!(Frame::parse(&frame.emit()), Ok(frame));
        }

        #[test]
        fn deep_nesting_does_not_overflow(depth in 0_usize..100_000) {
            let text = format!(r#"{{"topic":"t","event":"e","payload":{}"#, "[".repeat(depth));
            prop_assert_eq!(Frame::parse(&text), Err(FrameError::Malformed));
        }
    }
}
