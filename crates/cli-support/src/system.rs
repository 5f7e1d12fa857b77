//! The system under the tunnel. This is the only place that chooses it.

#[cfg(target_os = "linux")]
pub use platform_linux::LinuxPlatform as Platform;
#[cfg(target_os = "windows")]
pub use platform_windows::WindowsPlatform as Platform;

/// The methods of DNS control on this system.
pub type DnsControl = <Platform as platform::Platform>::DnsControl;
