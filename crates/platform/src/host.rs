//! What a machine says about itself.

/// The operating system, as the portal is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsInfo {
    /// Name, such as `Debian GNU/Linux`.
    pub name: String,
    /// Version, such as `12`; empty if the system has none.
    pub version: String,
    /// Processor architecture, such as `x86_64`.
    pub arch: String,
    /// Version of the kernel.
    pub kernel: String,
}

/// Identifiers that the firmware carries. Neither is secret, both are personal: keep them out of
/// logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DeviceIds {
    /// Serial number of the system, SMBIOS type 1.
    pub serial: Option<String>,
    /// UUID of the system, SMBIOS type 1.
    pub uuid: Option<String>,
}

impl std::fmt::Debug for DeviceIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceIds")
            .field("serial", &self.serial.is_some())
            .field("uuid", &self.uuid.is_some())
            .finish()
    }
}
