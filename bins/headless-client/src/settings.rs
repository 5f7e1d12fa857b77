//! From raw flags to what the client runs with.

use crate::{cli::Options, token};
use anyhow::{Context as _, Result};
use client::Settings;
use model::DeviceIds;
use portal_client::Party;
use secrecy::SecretString;
use url::Url;

/// What flags cannot say.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) token: SecretString,
    /// As the user gave it, or as this machine has it.
    pub(crate) id: String,
    pub(crate) host_name: String,
    pub(crate) device: DeviceIds,
    pub(crate) user_agent: String,
}

impl Found {
    /// Looks at the host; makes an identity if there is none.
    pub(crate) fn gather(options: &Options, token: Option<SecretString>) -> Result<Self> {
        let id = match &options.firezone_id {
            Some(id) => id.clone(),
            None => host::load_or_create_device_id().context(
                "there is no identity for this device: give one with the variable FIREZONE_ID",
            )?,
        };
        let (token, origin) = token_places(options, token).find()?;
        tracing::debug!(%origin, "Found a token");
        let host_name = host::host_name();
        Ok(Self {
            token,
            id,
            host_name: host_name.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            device: host::device_ids(),
            user_agent: client::user_agent(&host::os_info()),
        })
    }
}

/// Where the token may be.
pub(crate) fn token_places(options: &Options, token: Option<SecretString>) -> token::Places<'_> {
    token::Places {
        environment: token,
        named: options.token_path.as_deref(),
        credentials: host::service::credentials(),
        usual: host::places::token(),
    }
}

/// Whether this can be the URL of a portal.
pub(crate) fn check_url(url: &Url, token: &SecretString) -> Result<()> {
    portal_client::Login::new(url, Party::Client, token, "device", "client")?;
    Ok(())
}

/// What the client runs with: flags first, then what was found. Looks at nothing else.
pub(crate) fn resolve(options: &Options, found: Found) -> Settings {
    let mut settings = Settings::new(
        options.api_url.clone(),
        found.token,
        portal_client::external_id(&found.id),
        found.user_agent,
    );
    settings.name = options.firezone_name.clone().unwrap_or(found.host_name);
    settings.internet_resource = options.activate_internet_resource;
    settings.max_partition_time = options.max_partition_time;
    settings.device = found.device;
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;
    use secrecy::ExposeSecret as _;
    use std::time::Duration;

    fn found(id: &str) -> Found {
        Found {
            token: "a-very-secret-token".into(),
            id: id.to_owned(),
            host_name: "host".to_owned(),
            device: DeviceIds::new(Some("serial"), None),
            user_agent: "System/1 connlib/1.5.2".to_owned(),
        }
    }

    fn resolved(arguments: &[&str]) -> Settings {
        let line = ["client"].iter().chain(arguments);
        let cli = Cli::try_parse_from(line).unwrap();
        resolve(&cli.options, found("my-box"))
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
        assert_eq!(settings.token.expose_secret(), "a-very-secret-token");
    }

    #[test]
    fn what_was_found_fills_the_rest() {
        let settings = resolved(&[]);
        assert_eq!(settings.max_partition_time, None);
        assert!(!settings.internet_resource);
        assert_eq!(settings.name, "host");
        assert_eq!(settings.device.serial(), Some("serial"));
        assert_eq!(settings.user_agent, "System/1 connlib/1.5.2");
    }

    #[test]
    fn ids_that_are_uuids_are_hashed() {
        // spec: portal 14.1
        let id = "3f2b8f0e-6a59-4a73-9c67-0d7a1c6f2b10";
        let cli = Cli::try_parse_from(["client"]).unwrap();
        let settings = resolve(&cli.options, found(id));
        let hashed = "5f72482b6bacc964ba06f3805473b245d818c9b0287f0a5bc6f81a594e80c87b";
        assert_eq!(settings.external_id, hashed);
    }

    #[test]
    fn neither_settings_nor_what_was_found_print_the_token() {
        let settings = resolved(&[]);
        let found = found("my-box");
        assert!(!format!("{settings:?} {found:?}").contains("a-very-secret-token"));
    }
}
