//! Long-term credentials for a relay. RFC 8489 section 9.2; spec: data-plane 4.2

use super::attribute::Attribute;
use model::Relay;
use secrecy::{ExposeSecret as _, SecretString};
use stun_codec::{
    Message,
    rfc5389::attributes::{MessageIntegrity, Nonce, Realm, Username},
};

/// The only realm relays have. spec: data-plane 4.1
pub(crate) const REALM: &str = "firezone";

/// What requests to one relay are signed with.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    username: Username,
    realm: Realm,
    password: SecretString,
    nonce: Option<Nonce>,
}

impl Credentials {
    /// The credentials the portal handed out for `relay`; `None` if they do not fit into a message.
    pub(crate) fn new(relay: &Relay) -> Option<Self> {
        Some(Self {
            username: Username::new(relay.username.clone()).ok()?,
            realm: Realm::new(REALM.to_owned()).ok()?,
            password: relay.password.clone(),
            nonce: None,
        })
    }

    /// Whether the relay has told us a nonce.
    pub(crate) fn has_nonce(&self) -> bool {
        self.nonce.is_some()
    }

    /// Uses this nonce from now on.
    pub(crate) fn adopt_nonce(&mut self, nonce: Nonce) {
        self.nonce = Some(nonce);
    }

    /// Appends the attributes that authenticate a request; they come last.
    pub(crate) fn sign(&self, message: &mut Message<Attribute>) -> Option<()> {
        message.add_attribute(self.username.clone());
        message.add_attribute(self.realm.clone());
        if let Some(nonce) = &self.nonce {
            message.add_attribute(nonce.clone());
        }
        let integrity = MessageIntegrity::new_long_term_credential(
            message,
            &self.username,
            &self.realm,
            self.password.expose_secret(),
        )
        .ok()?;
        message.add_attribute(integrity);
        Some(())
    }

    /// Whether a message's integrity was made with our password.
    pub(crate) fn verify(&self, integrity: &MessageIntegrity) -> bool {
        integrity
            .check_long_term_credential(&self.username, &self.realm, self.password.expose_secret())
            .is_ok()
    }
}
