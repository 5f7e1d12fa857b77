//! What systemd says by variables. spec: client-app 4, 5.2

use std::{ffi::OsString, io, path::PathBuf};

pub(crate) fn credentials() -> Option<PathBuf> {
    directory(std::env::var_os("CREDENTIALS_DIRECTORY"))
}

/// The first directory that systemd made for this service's sockets.
pub(crate) fn runtime_directory() -> Option<PathBuf> {
    directory(std::env::var_os("RUNTIME_DIRECTORY"))
}

/// An absolute path; systemd separates several by colons.
fn directory(value: Option<OsString>) -> Option<PathBuf> {
    let first = std::env::split_paths(&value?).next()?;
    first.is_absolute().then_some(first)
}

/// The journal notes the time by itself.
pub(crate) fn stamps_output() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}

/// systemd starts a service as a process like any other.
#[expect(
    clippy::unnecessary_wraps,
    reason = "systems differ in whether the service manager can refuse"
)]
pub(crate) fn run<T>(body: impl FnOnce() -> T) -> io::Result<T> {
    Ok(body())
}

pub(crate) fn install() -> io::Result<()> {
    let text = "a unit of systemd starts the service: install the package that has it";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_absolute_directories_counts() {
        let found = |value: &str| directory(Some(value.into()));
        assert_eq!(found("/run/a:/run/b"), Some("/run/a".into()));
        assert_eq!(found("run/a"), None);
        assert_eq!(found(""), None);
        assert_eq!(directory(None), None);
    }
}
