//! ICE credentials in messages. spec: portal 5.5

use model::IceCredentials;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

/// ICE credentials as they travel.
#[derive(Deserialize)]
pub(crate) struct WireIce {
    username: String,
    password: SecretString,
}

impl From<WireIce> for IceCredentials {
    fn from(wire: WireIce) -> Self {
        Self {
            username: wire.username,
            password: wire.password,
        }
    }
}

/// For `serde(deserialize_with)`.
pub(crate) fn ice<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<IceCredentials, D::Error> {
    WireIce::deserialize(deserializer).map(Into::into)
}

/// The credentials as JSON, in clear.
pub(crate) fn emit_ice(credentials: &IceCredentials) -> Value {
    json!({
        "username": credentials.username,
        "password": credentials.password.expose_secret(),
    })
}
