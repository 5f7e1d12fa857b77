//! From raw flags to what the client runs with.

use crate::{cli::Cli, host, token};
use anyhow::{Context as _, Result};
use client::Settings;
use secrecy::SecretString;

/// How this program introduces itself to portals of the first generation. spec: portal 2.5
const COMPONENT: &str = "connlib";

/// The version that the portal compares with those of gateways. spec: portal 10.6
const PROTOCOL_VERSION: &str = "1.5.2";

/// Reads the files that the flags name, and fills in the defaults.
pub(crate) fn resolve(cli: &Cli, token: Option<SecretString>) -> Result<Settings> {
    let id = match &cli.firezone_id {
        Some(id) => id.clone(),
        None => host::load_or_create_device_id().context(
            "there is no identity for this device: give one with the variable FIREZONE_ID",
        )?,
    };
    let token = token::find(token, &cli.token_path)?;
    let name = cli.firezone_name.clone().or_else(host::host_name);
    let user_agent = portal_client::user_agent(COMPONENT, PROTOCOL_VERSION, &os_info());
    let mut settings = Settings::new(
        cli.api_url.clone(),
        token,
        portal_client::external_id(&id),
        user_agent,
    );
    settings.name = name.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    settings.internet_resource = cli.activate_internet_resource;
    settings.max_partition_time = cli.max_partition_time.map(|time| time.0);
    let ids = host::device_ids();
    settings.device = portal_client::DeviceInfo {
        serial: ids.serial,
        uuid: ids.uuid,
    };
    Ok(settings)
}

fn os_info() -> portal_client::OsInfo {
    let info = host::os_info();
    portal_client::OsInfo {
        name: info.name,
        version: info.version,
        arch: Some(info.arch),
        kernel: Some(info.kernel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use secrecy::ExposeSecret as _;
    use std::time::Duration;

    fn resolved(arguments: &[&str]) -> Settings {
        let line = ["client", "--firezone-id", "my-box"]
            .iter()
            .chain(arguments);
        let cli = Cli::try_parse_from(line).unwrap();
        resolve(&cli, Some("token".into())).unwrap()
    }

    #[test]
    fn flags_become_settings() {
        let settings = resolved(&[
            "--api-url=wss://portal.example.test/",
            "--firezone-name=box",
            "--max-partition-time=5m",
            "--activate-internet-resource",
        ]);
        assert_eq!(settings.api_url.as_str(), "wss://portal.example.test/");
        assert_eq!(
            (settings.name.as_str(), settings.external_id.as_str()),
            ("box", "my-box")
        );
        assert_eq!(settings.max_partition_time, Some(Duration::from_secs(300)));
        assert!(settings.internet_resource);
        assert_eq!(settings.token.expose_secret(), "token");
    }

    #[test]
    fn defaults_fill_the_rest() {
        let settings = resolved(&[]);
        assert_eq!(settings.max_partition_time, None);
        assert!(!settings.internet_resource);
        assert!(!settings.name.is_empty(), "the host name, or a random one");
        let agent = &settings.user_agent;
        assert!(agent.contains(" connlib/1.5.2 ("), "{agent}");
        assert!(agent.contains(std::env::consts::ARCH), "{agent}");
    }

    #[test]
    fn ids_that_are_uuids_are_hashed() {
        // spec: portal 14.1
        let id = "3f2b8f0e-6a59-4a73-9c67-0d7a1c6f2b10";
        let cli = Cli::try_parse_from(["client", "--firezone-id", id]).unwrap();
        let settings = resolve(&cli, Some("token".into())).unwrap();
        let hashed = "5f72482b6bacc964ba06f3805473b245d818c9b0287f0a5bc6f81a594e80c87b";
        assert_eq!(settings.external_id, hashed);
    }

    #[test]
    fn settings_do_not_print_the_token() {
        let cli = Cli::try_parse_from(["client", "--firezone-id", "my-box"]).unwrap();
        let settings = resolve(&cli, Some("a-very-secret-token".into())).unwrap();
        assert!(!format!("{settings:?}").contains("a-very-secret-token"));
    }
}
