//! What the service needs of the machine that it runs on.

use platform::{Platform, PlatformFault};
use secrecy::SecretString;
use service_ipc::AdvancedSettings;
use std::io;
use url::Url;

/// The machine, as far as the service needs it. The program brings the real one, tests another.
pub trait Machine: Send {
    /// The system under the tunnel.
    type Platform: Platform;

    /// A way to change the system; one per session.
    ///
    /// # Errors
    ///
    /// If the system cannot be changed at all.
    fn platform(&mut self) -> Result<Self::Platform, PlatformFault>;

    /// The identity of this device.
    fn device_id(&self) -> &str;

    /// What a session is started with, apart from what the GUI decides.
    fn session_settings(&self, api_url: Url, token: SecretString) -> client::Settings;

    /// The settings that the service keeps, or the defaults. spec: client-app 14
    fn load_settings(&mut self) -> AdvancedSettings;

    /// Keeps settings.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    fn save_settings(&mut self, settings: &AdvancedSettings) -> io::Result<()>;

    /// Replaces what is logged.
    ///
    /// # Errors
    ///
    /// Why the directives cannot be used; the old ones stay.
    fn set_log_filter(&mut self, directives: &str) -> Result<(), String>;

    /// Removes the log files of the service. spec: client-app 8.5
    ///
    /// # Errors
    ///
    /// The last failure.
    fn clear_logs(&mut self) -> io::Result<()>;

    /// Tells the service manager how the service is doing, in one line.
    fn report(&mut self, status: &str);
}
