//! What a party says about itself: device identity and user agent. spec: portal 2.5, 2.6

use model::OsInfo;
use ring::digest;
use uuid::Uuid;

/// The device identity that belongs to a configured or persisted id.
///
/// A UUID is hashed as it is spelled, anything else is used verbatim. spec: portal 2.6
pub fn external_id(configured: &str) -> String {
    if configured.parse::<Uuid>().is_err() {
        return configured.to_owned();
    }
    let digest = digest::digest(&digest::SHA256, configured.as_bytes());
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    hex.collect()
}

/// The text of the `User-Agent` header.
///
/// Portals of generation `[2025-07]` find the version only behind the components `connlib` and
/// `relay`. `version` must be of the form `x.y.z`. spec: portal 2.5
pub fn user_agent(component: &str, version: &str, os: &OsInfo) -> String {
    let or_unknown = |text: &'_ str| match text {
        "" => "Unknown".to_owned(),
        text => text.to_owned(),
    };
    let mut text = format!(
        "{}/{} {component}/{version}",
        or_unknown(&os.name),
        or_unknown(&os.version)
    );
    match (&os.arch, &os.kernel) {
        (Some(arch), Some(kernel)) => text += &format!(" ({arch}; {kernel})"),
        (Some(one), None) | (None, Some(one)) => text += &format!(" ({one})"),
        (None, None) => {}
    }
    // Anything else could not stand in a header.
    text.retain(|c| c == ' ' || c.is_ascii_graphic());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_uuids_are_hashed_and_other_ids_are_not() {
        assert_eq!(
            external_id("3f2b8f0e-6a59-4a73-9c67-0d7a1c6f2b10"),
            "5f72482b6bacc964ba06f3805473b245d818c9b0287f0a5bc6f81a594e80c87b"
        );
        let upper = external_id("3F2B8F0E-6A59-4A73-9C67-0D7A1C6F2B10");
        assert_ne!(upper, external_id("3f2b8f0e-6a59-4a73-9c67-0d7a1c6f2b10"));
        assert_eq!(external_id("my-box"), "my-box");
        let hashed = external_id("3f2b8f0e-6a59-4a73-9c67-0d7a1c6f2b10");
        assert_eq!(external_id(&hashed), hashed);
    }

    #[test]
    fn user_agents_are_those_of_the_specification() {
        let os = |name: &str, version: &str, arch: Option<&str>, kernel: Option<&str>| OsInfo {
            name: name.into(),
            version: version.into(),
            arch: arch.map(Into::into),
            kernel: kernel.map(Into::into),
        };
        let x86 = Some("x86_64");
        for (os, component, version, expected) in [
            (
                os("Ubuntu", "24.4.0", x86, Some("6.8.0-45-generic")),
                "connlib",
                "1.5.2",
                "Ubuntu/24.4.0 connlib/1.5.2 (x86_64; 6.8.0-45-generic)",
            ),
            (
                os("Arch Linux", "Rolling Release", x86, Some("6.9.3")),
                "headless-client",
                "1.5.12",
                "Arch Linux/Rolling Release headless-client/1.5.12 (x86_64; 6.9.3)",
            ),
            (
                os("Windows", "10.0.22631", x86, None),
                "gui-client",
                "1.5.13",
                "Windows/10.0.22631 gui-client/1.5.13 (x86_64)",
            ),
            (
                os("Déb\r\nian", "", None, Some("6.1")),
                "connlib",
                "1.0.0",
                "Dbian/Unknown connlib/1.0.0 (6.1)",
            ),
        ] {
            assert_eq!(user_agent(component, version, &os), expected);
        }
    }
}
