//! What a GUI says to the service. spec: client-app 13.5

use crate::settings::AdvancedSettings;
use model::ResourceId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeSet;
use url::Url;

/// A message to the service. The messages of both generations; where they differ, every form is
/// understood.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToService {
    /// Replace the settings that the service keeps; answered. Newer generation.
    ApplyAdvancedSettings(AdvancedSettings),
    /// Replace the log filter; not answered. Older generation.
    ApplyLogFilter {
        /// A level, or `target=level` pairs separated by commas.
        directives: String,
    },
    /// Delete the service's log files; answered.
    ClearLogs,
    /// Start a session, in place of a running one; answered once it is started.
    Connect(Connect),
    /// End the session; always answered.
    Disconnect,
    /// Switch off these resources, and no others. Older generation.
    SetDisabledResources(BTreeSet<ResourceId>),
    /// Switch Internet Resources on or off. Newer generation.
    SetInternetResourceState(bool),
    /// Accepted and without effect: there is no telemetry.
    StartTelemetry {
        /// Where the portal is.
        environment: String,
        /// Which GUI this is.
        release: String,
        /// The account, if the user is signed in.
        account_slug: Option<String>,
    },
}

/// How to connect. The older generation names the portal, the newer one says whether Internet
/// Resources are wanted; a member that a service does not know is ignored by it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connect {
    /// The token that names the user.
    #[serde(serialize_with = "expose")]
    pub token: SecretString,
    /// Base URL of the portal; without it the service's settings decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_url: Option<Url>,
    /// Whether Internet Resources are used from the start; without it they are, as the older
    /// generation has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_internet_resource_active: Option<bool>,
}

impl Connect {
    /// Connects to the portal of the service's settings, without Internet Resources.
    pub fn new(token: SecretString) -> Self {
        Self {
            token,
            api_url: None,
            is_internet_resource_active: Some(false),
        }
    }
}

fn expose<S: Serializer>(token: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose_secret())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(text: &str) -> Result<ToService, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The examples of spec: client-app 13.5.
    const EXAMPLES: &[&str] = &[
        r#""ClearLogs""#,
        r#"{"Connect":{"api_url":"wss://api.example.org/","token":"abc.def"}}"#,
        r#"{"Connect":{"token":"abc.def","is_internet_resource_active":false}}"#,
        r#""Disconnect""#,
        r#"{"ApplyLogFilter":{"directives":"debug"}}"#,
        r#"{"ApplyAdvancedSettings":{"auth_url":"https://app.example.org/","api_url":"wss://api.example.org/","log_filter":"info"}}"#,
        r#"{"SetDisabledResources":["0b7f8c0e-4a55-4f1c-9d7e-0d5b7c1a2f11"]}"#,
        r#"{"SetInternetResourceState":true}"#,
        r#"{"StartTelemetry":{"environment":"wss://api.example.org/","release":"gui-client@1.2.3","account_slug":"acme"}}"#,
        r#"{"StartTelemetry":{"environment":"wss://api.example.org/","release":"gui-client@1.2.3","account_slug":null}}"#,
    ];

    #[test]
    fn the_examples_are_read_and_written_alike() {
        for example in EXAMPLES {
            let message = parse(example).unwrap_or_else(|error| panic!("{example}: {error}"));
            let written = serde_json::to_value(&message).unwrap();
            assert_eq!(written, serde_json::from_str::<Value>(example).unwrap());
        }
    }

    #[test]
    fn members_of_both_generations_may_stand_together() {
        let both = r#"{"Connect":{"token":"t","api_url":"ws://p/","is_internet_resource_active":true,"more":1}}"#;
        let Ok(ToService::Connect(connect)) = parse(both) else {
            panic!("{:?}", parse(both));
        };
        assert_eq!(connect.token.expose_secret(), "t");
        assert_eq!(connect.api_url.unwrap().as_str(), "ws://p/");
        assert_eq!(connect.is_internet_resource_active, Some(true));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "null",
            "1",
            "[]",
            r#""Connect""#,
            r#""Panic""#,
            r#""clearlogs""#,
            r#"{"Connect":{}}"#,
            r#"{"Connect":{"token":1}}"#,
            r#"{"Connect":{"token":"t","api_url":"nowhere"}}"#,
            r#"{"Disconnect":{}}"#,
            r#"{"SetDisabledResources":["all"]}"#,
            r#"{"ClearLogs":null,"Disconnect":null}"#,
            r#""Disconnect" "Disconnect""#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tokens_are_not_printed() {
        let message = ToService::Connect(Connect::new("a-very-secret-token".into()));
        assert!(!format!("{message:?}").contains("a-very-secret-token"));
        let value = serde_json::to_value(&message).unwrap();
        let expected =
            json!({ "token": "a-very-secret-token", "is_internet_resource_active": false });
        assert_eq!(value["Connect"], expected);
    }
}
