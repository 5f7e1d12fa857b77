//! What an administrator asks a running service, over a socket of its own: one question, one
//! answer. The GUI's protocol has no room for it, because the service talks to one GUI at a time.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// End the session, whoever began it.
    Disconnect,
    /// How is the service doing?
    Status,
}

impl std::fmt::Display for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Disconnect => "disconnect",
            Self::Status => "status",
        })
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The session is ended, and the host is as it was before; whether there was one.
    Disconnected(bool),
    /// How the service is doing.
    Status(Status),
}

/// How the service is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the service.
    pub version: String,
    /// The GUI that is served.
    pub gui: Option<String>,
    /// The session.
    pub session: SessionState,
    /// All resources, sorted as for a GUI.
    pub resources: Vec<Resource>,
}

/// The states of a session. spec: client-app 12.3
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionState {
    /// There is none.
    #[default]
    None,
    /// It is started; the interface is not configured yet.
    Creating,
    /// The interface is configured.
    Connected,
    /// It will be started when the network changes.
    WaitingForNetwork,
}

impl std::fmt::Display for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "not connected",
            Self::Creating => "connecting",
            Self::Connected => "connected",
            Self::WaitingForNetwork => "waiting for a network",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_questions_have_words_for_people() {
        let states = [
            SessionState::None,
            SessionState::Creating,
            SessionState::Connected,
            SessionState::WaitingForNetwork,
        ];
        let words = states.map(|state| state.to_string());
        let expected = [
            "not connected",
            "connecting",
            "connected",
            "waiting for a network",
        ];
        assert_eq!(words, expected);
        let words = [Ask::Disconnect, Ask::Status].map(|ask| ask.to_string());
        assert_eq!(words, ["disconnect", "status"]);
    }
}
