//! What a message of either direction can do, and how messages of a party belong together.

use serde_json::Value;

/// Why a payload is not the message its event says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A member is missing or has the wrong form; never quotes the payload.
    #[error("{0} is missing or malformed")]
    Malformed(&'static str),
    /// The event, or the type of a thing, is none that we know.
    #[error("unknown to this generation")]
    Unknown,
}

impl DecodeError {
    /// The error behind a JSON error, whose text may quote secrets and is therefore not kept.
    pub(crate) fn from_json(error: &serde_json::Error) -> Self {
        if error.is_data() {
            Self::Malformed("a member")
        } else {
            Self::Malformed("the JSON")
        }
    }
}

/// Whether a message may wait for the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Waits, bounded, and goes out after the next join.
    Keep,
    /// Is lost while the channel is not joined; whoever needs it says it again.
    Lossy,
}

/// A message that travels in one direction of a channel.
pub trait Message: Sized + PartialEq + Send {
    /// Reads the message with this event and payload.
    ///
    /// # Errors
    ///
    /// When the event is unknown or the payload does not belong to it.
    fn decode(event: &str, payload: Value) -> Result<Self, DecodeError>;

    /// The event and the payload of the message. Secrets in it are in clear.
    fn encode(&self) -> (&'static str, Value);

    /// Whether the message may wait for a join.
    fn delivery(&self) -> Delivery {
        Delivery::Lossy
    }
}

/// The two directions of a party's channel.
pub trait Messages {
    /// What the portal says.
    type Incoming: Message;
    /// What the party says.
    type Outgoing: Message;
}
