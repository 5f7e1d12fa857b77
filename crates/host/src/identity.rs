//! What the machine says about itself.

use crate::imp;
use model::{DeviceIds, OsInfo};

/// Name, version, architecture and kernel of the system. spec: portal 2.5
pub fn os_info() -> OsInfo {
    imp::identity::os_info()
}

/// The name of the machine.
pub fn host_name() -> Option<String> {
    imp::identity::host_name()
}

/// Serial number and UUID of the machine. Often only the administrator can read them; containers and
/// most boards have none. spec: client-app 6.4
pub fn device_ids() -> DeviceIds {
    imp::identity::device_ids()
}
