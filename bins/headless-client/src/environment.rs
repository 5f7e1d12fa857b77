//! What the environment says besides options. spec: client-app 4, 5.2

use secrecy::SecretString;
use std::path::PathBuf;

/// The variable that holds the token.
pub(crate) const TOKEN: &str = "FIREZONE_TOKEN";

/// Takes the token out of the environment, so that no child process inherits it.
///
/// Must be called before any thread starts.
pub(crate) fn take_token() -> Option<SecretString> {
    let token = std::env::var(TOKEN).ok().map(SecretString::from);
    #[expect(unsafe_code, reason = "the standard library offers no safe way")]
    // SAFETY: No other thread exists yet that could read the environment meanwhile.
    unsafe {
        std::env::remove_var(TOKEN);
    }
    token
}

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
