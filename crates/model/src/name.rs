//! Domain names.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{borrow::Borrow, fmt, str::FromStr};

/// Why a text is not a domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a domain name has labels of 1 to 63 characters and at most 253 in all")]
pub struct NameFault;

/// A fully qualified name in lower case without the final dot, RFC 1035 section 2.3.4.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DomainName(String);

impl DomainName {
    /// The name as text, without the final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = NameFault;

    fn from_str(text: &str) -> Result<Self, NameFault> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let printable = |c: u8| c.is_ascii_graphic();
        let label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(printable);
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(NameFault);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// Equality, order and hash are those of the text.
impl Borrow<str> for DomainName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DomainName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_final_dot_do_not_matter() {
        let name: DomainName = "App.Corp.Test.".parse().unwrap();
        assert_eq!(name, "app.corp.test".parse().unwrap());
        assert_eq!(name.as_str(), "app.corp.test");
    }

    #[test]
    fn impossible_names_are_refused() {
        let long_label = "a".repeat(64);
        let long_name = "a.".repeat(130);
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "ä.test",
            &long_label,
            &long_name,
        ] {
            assert_eq!(text.parse::<DomainName>(), Err(NameFault), "{text}");
        }
    }
}
