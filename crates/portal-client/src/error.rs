//! What can go wrong with a channel, sorted by whether trying again helps and who is to blame.

use std::{fmt, io, time::Duration};

/// Why the session is over. Trying again with the same login will not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The portal does not accept the token (any more): the user has to sign in again.
    #[error("the portal does not accept the token: {0}")]
    TokenInvalid(TokenError),
    /// The portal refuses to open the channel, for a reason of its own.
    #[error("the portal refuses to open the channel: {0}")]
    JoinRefused(String),
    /// The portal was away for longer than the policy permits.
    #[error("the portal stays unreachable")]
    RetriesExhausted(#[source] ConnectError),
    /// A client or gateway connects with a key; none was given.
    #[error("there is no public key to connect with")]
    KeyMissing,
    /// The session was over already when `next` was called.
    #[error("the session is over")]
    Ended,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// It was deleted or ran out while the channel was up.
    Expired,
    /// It is known, but may not be used: HTTP status 403. What the portal says about it.
    Forbidden(Option<String>),
    /// It is not known, or not meant for this kind of party: HTTP status 401.
    Rejected(Option<String>),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, detail) = match self {
            Self::Expired => ("it expired or was revoked", &None),
            Self::Forbidden(detail) => ("it may not be used", detail),
            Self::Rejected(detail) => ("it is unknown", detail),
        };
        f.write_str(what)?;
        match detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

/// Why the channel is down for now. It is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name of the portal does not resolve.
    #[error("cannot resolve {host}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The name of the portal has no addresses.
    #[error("{host} has no addresses")]
    NoAddresses {
        /// The name.
        host: String,
    },
    /// No address accepted a connection.
    #[error("cannot connect to {host}")]
    Tcp {
        /// The portal's host.
        host: String,
        /// What went wrong with the address that was tried last.
        source: io::Error,
    },
    /// There is no secure session; often the certificate is not trusted.
    #[error("no TLS session with {host}")]
    Tls {
        /// The portal's host.
        host: String,
        /// What went wrong.
        source: io::Error,
    },
    /// A step of connecting took too long.
    #[error("{host} did not answer within {} seconds ({stage})", limit.as_secs())]
    Timeout {
        /// The portal's host.
        host: String,
        /// What was being done.
        stage: Stage,
        /// How long it may take.
        limit: Duration,
    },
    /// The portal answered the upgrade with an HTTP status that may change.
    #[error("{host} answered with status {status}")]
    Status {
        /// The portal's host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// When the portal wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// What came is no websocket, or it ended without a close frame.
    #[error("the connection to {host} broke")]
    Websocket {
        /// The portal's host.
        host: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The portal closed the websocket.
    #[error("the portal closed the connection ({code}: \"{reason}\")")]
    Closed {
        /// The code of the close frame, 1005 without one.
        code: u16,
        /// The portal's words.
        reason: String,
    },
    /// The portal closed the channel but not the websocket.
    #[error("the portal closed the channel")]
    ChannelClosed,
    /// The portal sent an empty frame, its sign that it has lost the thread.
    #[error("the portal sent an empty frame")]
    EmptyFrame,
    /// The portal did not answer the join.
    #[error("the portal did not answer the join")]
    JoinTimeout,
    /// The portal did not answer several heartbeats.
    #[error("the portal fell silent")]
    Silent,
}

/// A step of connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Asking for addresses.
    Resolve,
    /// Opening a TCP connection.
    Tcp,
    /// Agreeing on a secure session and on the websocket.
    Upgrade,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "name resolution",
            Self::Tcp => "connecting",
            Self::Upgrade => "TLS and upgrade",
        })
    }
}

/// Text of the portal as it may be shown: one line, at most 200 characters.
pub(crate) fn shown(text: &str) -> String {
    text.trim()
        .chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
