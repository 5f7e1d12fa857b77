//! The machine that this process runs on, as the service sees it.

use crate::{cli::ServiceFlags, store::Store};
use anyhow::{Context as _, Result, bail};
use cli_support::{DnsControl, OldLogs};
use client::Settings;
use host::{FileFault, Group, LogDirectory, ServiceManager, StateDirectory};
use logging::{Logging, Which};
use platform::{Platform as _, PlatformFault};
use secrecy::SecretString;
use service_ipc::AdvancedSettings;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tunnel_service::Machine;
use url::Url;

/// First part of the names of log files. spec: client-app 8.3
pub(crate) const LOG_BASE: &str = "tunnel-service";

/// This machine.
pub(crate) struct ThisMachine {
    options: platform::Options<DnsControl>,
    device_id: String,
    name: String,
    user_agent: String,
    max_partition_time: Duration,
    store: Store,
    logging: Arc<Logging>,
    log_directory: Option<PathBuf>,
    service_manager: ServiceManager,
}

impl ThisMachine {
    /// Learns what does not change, and shares the identity with the group.
    pub(crate) fn new(
        flags: &ServiceFlags,
        group: &Group,
        logging: Arc<Logging>,
        log_directory: Option<PathBuf>,
    ) -> Result<Self> {
        let device_id = host::load_or_create_device_id()
            .context("there is no identity for this device, and none can be made")?;
        let store = store();
        let shared = store.share(group);
        shared.context("the group of the GUI cannot be let into the service's directory")?;
        let name = host::host_name();
        Ok(Self {
            options: flags.host.options(),
            device_id,
            name: name.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            user_agent: client::user_agent(&host::os_info()),
            max_partition_time: flags.max_partition_time,
            store,
            logging,
            log_directory,
            service_manager: ServiceManager::default(),
        })
    }
}

impl Machine for ThisMachine {
    type Platform = cli_support::Platform;

    fn platform(&mut self) -> Result<Self::Platform, PlatformFault> {
        Self::Platform::open(self.options.clone())
    }

    fn device_id(&self) -> &str {
        &self.device_id
    }

    fn session_settings(&self, api_url: Url, token: SecretString) -> Settings {
        let id = portal_client::external_id(&self.device_id);
        let mut settings = Settings::new(api_url, token, id, self.user_agent.clone());
        settings.name.clone_from(&self.name);
        settings.max_partition_time = Some(self.max_partition_time);
        settings.device = host::device_ids();
        settings
    }

    fn load_settings(&mut self) -> AdvancedSettings {
        load_or_default(&self.store)
    }

    fn save_settings(&mut self, settings: &AdvancedSettings) -> io::Result<()> {
        self.store.save(settings)
    }

    fn set_log_filter(&mut self, directives: &str) -> Result<(), String> {
        let set = self.logging.set_filter(directives);
        set.map_err(|fault| fault.to_string())
    }

    fn clear_logs(&mut self) -> io::Result<()> {
        let usual = host::places::service_logs();
        let chosen = self.log_directory.as_ref().unwrap_or(&usual);
        clear(chosen, *chosen == usual)
    }

    fn report(&mut self, status: &str) {
        if self.service_manager.status(status) {
            tracing::debug!(status, "The status changed");
        }
    }
}

/// Removes logs of a directory, which may be ours alone. One that somebody chose, or a link leads to, may
/// hold the logs of others.
fn clear(directory: &Path, is_ours: bool) -> io::Result<()> {
    let (opened, which) = match LogDirectory::open_itself(directory) {
        Err(FileFault::NoDirectory(_)) => (LogDirectory::open(directory), Which::Of(LOG_BASE)),
        opened if is_ours => (opened, Which::All),
        opened => (opened, Which::Of(LOG_BASE)),
    };
    match opened.map_err(io::Error::other)? {
        Some(directory) => logging::delete_logs(&OldLogs(directory), which),
        None => Ok(()),
    }
}

/// The settings on disk; those that cannot be used are as good as none.
pub(crate) fn load_or_default(store: &Store) -> AdvancedSettings {
    match store.load() {
        Ok(settings) => settings.unwrap_or_default(),
        Err(error) => {
            tracing::warn!(
                error = &*error as &dyn std::error::Error,
                "Using default settings"
            );
            AdvancedSettings::default()
        }
    }
}

/// What the service has to know at its next start, where it is kept.
pub(crate) fn store() -> Store {
    Store::new(StateDirectory::new(host::places::state()))
}

/// The group whose members may use GUIs.
pub(crate) fn group(name: &str) -> Result<Group> {
    let found = Group::find(name);
    match found.with_context(|| format!("cannot look for the group {name}"))? {
        Some(group) => Ok(group),
        None => bail!(
            "there is no group {name}: {}, or name another one by --group",
            host::help::make_group(name)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    #[test]
    fn only_logs_of_our_own_directory_go_whoever_wrote_them() {
        let folder = TempDir::new().unwrap();
        let (logs, link) = (folder.path().join("logs"), folder.path().join("link"));
        let fill = || {
            fs::create_dir_all(&logs).unwrap();
            for name in ["tunnel-service.1.log", "tunnel-service.latest", "other.log"] {
                fs::write(logs.join(name), "").unwrap();
            }
        };
        let left = || fs::read_dir(&logs).unwrap().count();
        clear(&logs, true).unwrap();
        std::os::unix::fs::symlink(&logs, &link).unwrap();
        for (directory, is_ours, expected) in [
            (&logs, true, 0),
            (&logs, false, 1),
            // Somebody who may write the directory above could have it lead anywhere.
            (&link, true, 1),
        ] {
            fill();
            clear(directory, is_ours).unwrap();
            assert_eq!(left(), expected, "{}", directory.display());
        }
    }
}
