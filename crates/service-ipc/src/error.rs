//! Why a conversation ends, by who is to blame.

use std::{io, time::Duration};

/// Why a conversation cannot go on. The connection is of no further use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The peer announced more than a frame may hold.
    #[error("the peer announced a frame of {length} bytes, more than {limit}")]
    FrameTooLarge {
        /// The length that was announced, in bytes.
        length: u32,
        /// The largest length of a payload, in bytes.
        limit: usize,
    },
    /// The peer left in the middle of a frame.
    #[error("the peer left in the middle of a frame")]
    Truncated,
    /// The peer said something that is no message of either generation.
    #[error("the peer sent no message that is known here: {0}")]
    Malformed(Malformed),
    /// The peer neither read nor finished a frame in time.
    #[error("the peer moved no whole frame within {} s", .0.as_secs())]
    Stalled(Duration),
    /// The service did not greet in time: it is busy with another GUI, or hangs.
    #[error(
        "the service does not respond within {} s: it may be serving another GUI",
        .0.as_secs()
    )]
    NoHello(Duration),
    /// The service began with something else than its greeting, or left before it.
    #[error("the service did not greet: it is stopping, or it refuses this program")]
    Refused,
    /// Our message is larger than a frame may be, or too much is waiting for the peer.
    #[error("the message does not fit: {0} bytes")]
    MessageTooLarge(usize),
    /// The system refused.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// Where and how a payload stops being a message. Never quotes it: it may hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at line {line}, column {column}")]
pub struct Malformed {
    kind: &'static str,
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        use serde_json::error::Category;
        let kind = match error.classify() {
            Category::Data => "unknown message or member",
            Category::Eof => "unfinished JSON",
            Category::Io | Category::Syntax => "no JSON",
        };
        Self {
            kind,
            line: error.line(),
            column: error.column(),
        }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_with_units() {
        let limit = Duration::from_secs(10);
        for (fault, text) in [
            (Fault::Stalled(limit), "within 10 s"),
            (Fault::NoHello(limit), "within 10 s: "),
            (
                Fault::FrameTooLarge {
                    length: 9,
                    limit: 8,
                },
                "9 bytes, more than 8",
            ),
        ] {
            assert!(fault.to_string().contains(text), "{fault}");
        }
    }
}
