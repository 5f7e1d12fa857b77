//! Newtypes over UUIDs, one for each kind of thing that has an id.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// A client, as the portal knows it. spec: portal 5.1
    ClientId
);
id!(
    /// A gateway, as the portal knows it. spec: portal 5.1
    GatewayId
);
id!(
    /// A relay, as the portal knows it. spec: portal 5.3
    RelayId
);
id!(
    /// A resource. spec: portal 5.4
    ResourceId
);
id!(
    /// A site: a group of gateways that reach the same resources. spec: portal 5.4
    SiteId
);
id!(
    /// Whoever is at the other end of a tunnel: a gateway to a client, a client to a gateway.
    PeerId
);

impl From<GatewayId> for PeerId {
    fn from(id: GatewayId) -> Self {
        Self(id.0)
    }
}

impl From<ClientId> for PeerId {
    fn from(id: ClientId) -> Self {
        Self(id.0)
    }
}

impl From<PeerId> for GatewayId {
    fn from(id: PeerId) -> Self {
        Self(id.0)
    }
}

impl From<PeerId> for ClientId {
    fn from(id: PeerId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_uuid_spelling_is_read_and_lower_case_is_written() {
        let id: ResourceId = "33333333-3333-4333-8333-33333333333A".parse().unwrap();
        assert_eq!(id.to_string(), "33333333-3333-4333-8333-33333333333a");
        assert_eq!("3333333333334333833333333333333a".parse(), Ok(id));
    }

    #[test]
    fn ids_of_peers_convert_without_change() {
        let gateway = GatewayId::from_bytes([7; 16]);
        assert_eq!(GatewayId::from(PeerId::from(gateway)), gateway);
        let client = ClientId::from_bytes([9; 16]);
        assert_eq!(ClientId::from(PeerId::from(client)), client);
    }
}
