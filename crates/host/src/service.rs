//! What the service manager says, how it starts a service, and how one is installed.

use crate::imp;
use std::{io, path::PathBuf};

/// The directory with credentials that the service manager made for this service, if there is one.
/// spec: client-app 5.2
pub fn credentials() -> Option<PathBuf> {
    imp::service::credentials()
}

/// Whether lines on standard output get a time stamp from whoever reads them.
pub fn stamps_output() -> bool {
    imp::service::stamps_output()
}

/// Runs a service on behalf of the service manager, and returns what it returned.
///
/// Systems whose manager calls a program's entry of its own do that in here; `body` may run on
/// another thread. Everywhere else this is a call of `body`. spec: client-app 12.1
///
/// # Errors
///
/// When the service manager did not start this process.
pub fn run<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    imp::service::run(body)
}

/// Registers this program as a service, where programs do that themselves. spec: client-app 16.3
///
/// # Errors
///
/// Those of the system; [`io::ErrorKind::Unsupported`] where a package does it.
pub fn install() -> io::Result<()> {
    imp::service::install()
}
