//! Keys and credentials, as the portal hands them out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 bytes in padded base64")]
pub struct KeyFault;

/// An X25519 public key: 32 bytes, written in padded base64. spec: portal 5.1
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyFault;

    fn from_str(text: &str) -> Result<Self, KeyFault> {
        decode(text).map(|bytes| Self(*bytes))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A WireGuard pre-shared key: 32 secret bytes, wiped on drop, never printed. spec: data-plane 6.1
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PresharedKey([u8; 32]);

impl PresharedKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret bytes.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key in padded base64, for the message that carries it.
    pub fn expose_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(..)")
    }
}

impl FromStr for PresharedKey {
    type Err = KeyFault;

    fn from_str(text: &str) -> Result<Self, KeyFault> {
        decode(text).map(|bytes| Self(*bytes))
    }
}

impl<'de> Deserialize<'de> for PresharedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        text.parse().map_err(D::Error::custom)
    }
}

/// What one side of an ICE session authenticates with. spec: data-plane 2.5
#[derive(Debug, Clone)]
pub struct IceCredentials {
    /// The user fragment; travels in clear in every connectivity check.
    pub username: String,
    /// The password that signs connectivity checks.
    pub password: SecretString,
}

impl PartialEq for IceCredentials {
    fn eq(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret as _;
        self.username == other.username
            && self.password.expose_secret() == other.password.expose_secret()
    }
}

impl Eq for IceCredentials {}

fn decode(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyFault> {
    // 44 characters encode 32 bytes; the decoder wants room for a whole last quantum.
    let mut buffer = Zeroizing::new([0; 33]);
    let length = STANDARD
        .decode_slice(text, buffer.as_mut_slice())
        .map_err(|_| KeyFault)?;
    if length != 32 {
        return Err(KeyFault);
    }
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.copy_from_slice(&buffer[..32]);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    #[test]
    fn public_key_round_trips_through_base64() {
        let key: PublicKey = TEXT.parse().unwrap();
        assert_eq!(key.as_bytes(), &[1; 32]);
        assert_eq!(key.to_string(), TEXT);
        assert_eq!(serde_json::to_string(&key).unwrap(), format!("{TEXT:?}"));
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        for text in ["", "AQ==", "AQEB", &TEXT[..43], &format!("AQEB{TEXT}")] {
            assert_eq!(text.parse::<PublicKey>(), Err(KeyFault), "{text}");
            assert!(text.parse::<PresharedKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let key = PresharedKey::from_bytes([3; 32]);
        assert_eq!(format!("{key:?}"), "PresharedKey(..)");
        let credentials = IceCredentials {
            username: "fzm2".into(),
            password: "5w74fcbvvsg4jcmkcjxqhq".to_owned().into(),
        };
        assert!(!format!("{credentials:?}").contains("5w74"));
    }
}
