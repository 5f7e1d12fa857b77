//! The machine as the service sees it: Linux.

use crate::{cli::ServiceFlags, host, store::Store};
use anyhow::{Context as _, Result, bail};
use client::Settings;
use logging::{Logging, Which};
use platform::PlatformFault;
use program::Supervisor;
use secrecy::SecretString;
use service_ipc::AdvancedSettings;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tunnel_service::Host;
use url::Url;

/// Directory of identity and settings. spec: client-app 7
pub(crate) const CONFIG_DIRECTORY: &str = "/var/lib/dev.firezone.client/config";

/// Directory of the service's logs, unless said otherwise. spec: client-app 7
pub(crate) const LOG_DIRECTORY: &str = "/var/log/dev.firezone.client";

/// First part of the names of log files. spec: client-app 8.3
pub(crate) const LOG_BASE: &str = "tunnel-service";

/// This Linux machine.
pub(crate) struct Linux {
    options: host::Options,
    device_id: String,
    name: String,
    user_agent: String,
    max_partition_time: Duration,
    store: Store,
    logging: Arc<Logging>,
    log_directory: Option<PathBuf>,
    supervisor: Supervisor,
}

impl Linux {
    /// Learns what does not change, and shares the identity with the group.
    pub(crate) fn new(
        flags: &ServiceFlags,
        group: u32,
        logging: Arc<Logging>,
        log_directory: Option<PathBuf>,
    ) -> Result<Self> {
        let device_id = host::load_or_create_device_id()
            .context("there is no identity for this device, and none can be made")?;
        let store = Store::new(CONFIG_DIRECTORY);
        store
            .share(group)
            .with_context(|| format!("cannot give {CONFIG_DIRECTORY} to its group"))?;
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
            supervisor: Supervisor::default(),
        })
    }
}

impl Host for Linux {
    type Platform = host::Platform;

    fn platform(&mut self) -> Result<host::Platform, PlatformFault> {
        host::Platform::new(self.options.clone())
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
        match &self.log_directory {
            Some(directory) if directory != Path::new(LOG_DIRECTORY) => {
                // Somebody chose it, so it may hold the logs of others.
                logging::clear(directory, Which::Of(LOG_BASE))
            }
            _ => logging::clear(Path::new(LOG_DIRECTORY), Which::All),
        }
    }

    fn report(&mut self, status: &str) {
        if self.supervisor.status(status) {
            tracing::debug!(status);
        }
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

/// The group whose members may use GUIs.
pub(crate) fn group_id(name: &str) -> Result<u32> {
    let found = service_ipc::group_id(name);
    match found.with_context(|| format!("cannot look for the group {name}"))? {
        Some(group) => Ok(group),
        None => bail!(
            "there is no group {name}: make it with `groupadd --system {name}` and add the users of \
             the GUI to it, or name another one by --group"
        ),
    }
}

/// How long the machine is up.
pub(crate) fn uptime() -> Duration {
    let seconds = rustix::system::sysinfo().uptime;
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
