//! What a machine says about itself. spec: portal 2.3, 2.5

use std::fmt;

/// The operating system, as the portal is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsInfo {
    /// Name of the distribution or system, may contain spaces: `Arch Linux`.
    pub name: String,
    /// `a.b.c` where it looks like a version, or free text; empty means unknown.
    pub version: String,
    /// Processor architecture such as `x86_64`, if known.
    pub arch: Option<String>,
    /// Version of the kernel, if known.
    pub kernel: Option<String>,
}

/// What mainboards report when nobody gave them a serial number. spec: portal 2.3
const PLACEHOLDER_SERIAL: &str = "123456789";

/// Identifiers that the firmware carries. Neither is secret, both are personal: `Debug` says only
/// which of them are there.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DeviceIds {
    serial: Option<String>,
    uuid: Option<String>,
}

impl DeviceIds {
    /// Identifiers as the firmware has them. White space around them does not count; empty texts and
    /// placeholders are none.
    pub fn new(serial: Option<&str>, uuid: Option<&str>) -> Self {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Self {
            serial: serial
                .and_then(text)
                .filter(|serial| serial != PLACEHOLDER_SERIAL),
            uuid: uuid.and_then(text),
        }
    }

    /// Serial number of the system, SMBIOS type 1.
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    /// UUID of the system, SMBIOS type 1.
    pub fn uuid(&self) -> Option<&str> {
        self.uuid.as_deref()
    }
}

impl fmt::Debug for DeviceIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceIds")
            .field("serial", &self.serial.is_some())
            .field("uuid", &self.uuid.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_empty_texts_are_no_identifiers() {
        for (serial, expected) in [
            (None, None),
            (Some(""), None),
            (Some("\n"), None),
            (Some("123456789\n"), None),
            (Some(" AB-12\n"), Some("AB-12")),
        ] {
            assert_eq!(DeviceIds::new(serial, None).serial(), expected);
        }
        assert_eq!(DeviceIds::new(None, Some("u\n")).uuid(), Some("u"));
        assert_eq!(DeviceIds::new(Some("s"), Some(" ")).uuid(), None);
    }

    #[test]
    fn identifiers_are_not_printed() {
        let printed = format!("{:?}", DeviceIds::new(Some("AB-12"), Some("CD-34")));
        assert_eq!(printed, "DeviceIds { serial: true, uuid: true }");
    }
}
