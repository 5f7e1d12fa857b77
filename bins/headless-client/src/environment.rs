//! What the environment says besides options. spec: client-app 4, 5.2

use std::path::PathBuf;

/// The directory with credentials that systemd made for this service.
pub(crate) fn credentials() -> Option<PathBuf> {
    directory("CREDENTIALS_DIRECTORY")
}

/// The first directory that systemd made for this service's sockets.
pub(crate) fn runtime_directory() -> Option<PathBuf> {
    directory("RUNTIME_DIRECTORY")
}

/// An absolute path; systemd separates several by colons.
fn directory(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable)?;
    let first = std::env::split_paths(&value).next()?;
    first.is_absolute().then_some(first)
}

/// Whether standard output goes to the journal, which notes the time by itself.
pub(crate) fn has_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}
