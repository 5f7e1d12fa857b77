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
