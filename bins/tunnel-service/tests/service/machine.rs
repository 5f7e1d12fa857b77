//! A machine in memory.

use client::Settings;
use platform::{
    NetworkEvent, PlatformFault, TunFault,
    memory::{MemoryControl, MemoryPlatform},
};
use secrecy::SecretString;
use service_ipc::AdvancedSettings;
use std::{
    io::{self, ErrorKind},
    sync::{Arc, Mutex, MutexGuard},
};
use tunnel_service::Machine;
use url::Url;

/// What a test sees of the machine, and what it makes fail.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) platforms: Vec<MemoryControl>,
    pub(crate) settings: AdvancedSettings,
    pub(crate) log_filter: String,
    pub(crate) cleared: usize,
    pub(crate) status: String,
    /// No device can be made, for this reason.
    pub(crate) tun_fault: Option<ErrorKind>,
    /// Interfaces cannot be configured at the first attempt.
    pub(crate) refuses_interface: bool,
    /// Settings cannot be kept.
    pub(crate) is_full: bool,
    /// The next GUI hits a defect of the service.
    pub(crate) panics: bool,
}

/// The machine; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct FakeMachine(Arc<Mutex<State>>);

impl FakeMachine {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether no session left anything.
    pub(crate) fn is_clean(&self) -> bool {
        let state = self.state();
        let is_clean = |platform: &MemoryControl| platform.plan().is_none() && !platform.has_tun();
        state.platforms.iter().all(is_clean)
    }

    /// Whether a session has configured the interface.
    pub(crate) fn is_connected(&self) -> bool {
        let state = self.state();
        state.platforms.iter().any(|it| it.plan().is_some())
    }

    /// How often sessions configured an interface, or tried to.
    pub(crate) fn attempts(&self) -> usize {
        let state = self.state();
        state.platforms.iter().map(|it| it.counts().applies).sum()
    }

    /// TUN devices that exist.
    pub(crate) fn devices(&self) -> usize {
        let state = self.state();
        state.platforms.iter().filter(|it| it.has_tun()).count()
    }

    pub(crate) fn has_route(&self, route: &str) -> bool {
        let route = route.parse().unwrap();
        let state = self.state();
        state
            .platforms
            .iter()
            .any(|it| it.routes().contains(&route))
    }

    pub(crate) fn change_network(&self) {
        for platform in &self.state().platforms {
            platform.notify(NetworkEvent::NetworkChanged);
        }
    }
}

impl Machine for FakeMachine {
    type Platform = MemoryPlatform;

    fn platform(&mut self) -> Result<MemoryPlatform, PlatformFault> {
        let (platform, control) = MemoryPlatform::new();
        let mut state = self.state();
        control.set_resolvers(vec![platform::SystemResolver::do53(
            "192.0.2.53:53".parse().unwrap(),
        )]);
        if let Some(kind) = state.tun_fault {
            control.fail_tun(TunFault::Os {
                action: "create the TUN device",
                source: kind.into(),
            });
        }
        if state.refuses_interface {
            control.fail_apply(PlatformFault::NoTun);
        }
        state.platforms.push(control);
        Ok(platform)
    }

    fn device_id(&self) -> &str {
        "5b0f"
    }

    fn session_settings(&self, api_url: Url, token: SecretString) -> Settings {
        let agent = "Ubuntu/24.4.0 connlib/1.5.2 (x86_64)".to_owned();
        let mut settings = Settings::new(api_url, token, "my-box".into(), agent);
        settings.preferred_port = 0;
        settings
    }

    fn load_settings(&mut self) -> AdvancedSettings {
        let mut state = self.state();
        assert!(!std::mem::take(&mut state.panics), "this is the defect");
        state.settings.clone()
    }

    fn save_settings(&mut self, settings: &AdvancedSettings) -> io::Result<()> {
        let mut state = self.state();
        if state.is_full {
            return Err(ErrorKind::StorageFull.into());
        }
        state.settings = settings.clone();
        Ok(())
    }

    fn set_log_filter(&mut self, directives: &str) -> Result<(), String> {
        logging::check_filter(directives).map_err(|fault| fault.to_string())?;
        directives.clone_into(&mut self.state().log_filter);
        Ok(())
    }

    fn clear_logs(&mut self) -> io::Result<()> {
        self.state().cleared += 1;
        Ok(())
    }

    fn report(&mut self, status: &str) {
        status.clone_into(&mut self.state().status);
    }
}
