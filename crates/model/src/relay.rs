//! Relays, as the portal lists them.

use crate::RelayId;
use secrecy::{ExposeSecret as _, SecretString};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// A TURN server with our credentials for it. spec: data-plane 4.1
#[derive(Debug, Clone)]
pub struct Relay {
    /// The portal's id of this relay.
    pub id: RelayId,
    /// Where it listens on IPv4; at least one of the two addresses is present.
    pub v4: Option<SocketAddrV4>,
    /// Where it listens on IPv6.
    pub v6: Option<SocketAddrV6>,
    /// `<unix expiry seconds>:<salt>`.
    pub username: String,
    /// The long-term password that belongs to the username.
    pub password: SecretString,
}

impl Relay {
    /// The addresses it listens on, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let v4 = self.v4.map(SocketAddr::V4);
        v4.into_iter().chain(self.v6.map(SocketAddr::V6))
    }
}

impl PartialEq for Relay {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.v4, self.v6, &self.username)
            == (other.id, other.v4, other.v6, &other.username)
            && self.password.expose_secret() == other.password.expose_secret()
    }
}

impl Eq for Relay {}
