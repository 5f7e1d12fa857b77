//! What relays and the portal say to each other: next to nothing. spec: portal 9

use crate::{DecodeError, Message};
use serde_json::{Value, json};

/// Messages from the portal to a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromPortal {
    /// The portal lists this relay from now on.
    Init,
}

impl Message for FromPortal {
    fn decode(event: &str, _: Value) -> Result<Self, DecodeError> {
        match event {
            "init" => Ok(Self::Init),
            _ => Err(DecodeError::Unknown),
        }
    }

    fn encode(&self) -> (&'static str, Value) {
        match self {
            Self::Init => ("init", json!({})),
        }
    }
}

/// Messages from a relay to the portal: there are none beyond joining and heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToPortal {}

impl Message for ToPortal {
    fn decode(_: &str, _: Value) -> Result<Self, DecodeError> {
        Err(DecodeError::Unknown)
    }

    fn encode(&self) -> (&'static str, Value) {
        match *self {}
    }
}
