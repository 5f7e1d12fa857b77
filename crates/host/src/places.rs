//! Where things are unless the operator says otherwise. spec: client-app 5.1, 6.1, 7, 13.1
//!
//! Directories of sockets are what `local_socket::path_in` takes; on some systems they are the
//! first part of a name and no directory of files.

use crate::imp;
use std::path::PathBuf;

/// The file with the token of a client that runs alone.
pub fn token() -> PathBuf {
    imp::places::token()
}

/// The directory of identity and settings, see [`crate::StateDirectory`].
pub fn state() -> PathBuf {
    imp::places::state()
}

/// The directory of the tunnel service's log files.
pub fn service_logs() -> PathBuf {
    imp::places::service_logs()
}

/// The directory of the tunnel service's sockets.
pub fn service_sockets() -> PathBuf {
    imp::places::service_sockets()
}

/// The directory of the sockets of a client that runs alone: that of the service manager, or else
/// the usual one.
pub fn client_sockets() -> PathBuf {
    imp::places::client_sockets()
}

/// The program that the tunnel service serves. spec: client-app 13.2
pub fn gui() -> PathBuf {
    imp::places::gui()
}
