//! The first and the last lines of `main`.

use secrecy::SecretString;
use std::{fmt::Display, io::Write as _, process::ExitCode};

/// The variable that holds the token of a client that runs alone. spec: client-app 4
pub const TOKEN: &str = "FIREZONE_TOKEN";

/// Keeps secrets out of core dumps, and memory small.
pub fn harden() {
    host::forbid_core_dumps();
    host::use_small_pages();
}

/// Takes the token out of the environment, so that no child process inherits it.
/// spec: client-app 5.2
///
/// Must be called before any thread starts. What is not UTF-8 counts as no token.
pub fn take_token() -> Option<SecretString> {
    let token = std::env::var(TOKEN).ok().map(SecretString::from);
    #[expect(unsafe_code, reason = "the standard library offers no safe way")]
    // SAFETY: No other thread exists yet that could read the environment meanwhile.
    unsafe {
        std::env::remove_var(TOKEN);
    }
    token
}

/// Says on standard error in one line what went wrong; the exit code of programs that fail.
///
/// An error with causes brings them along in its alternate form.
pub fn report(error: impl Display) -> ExitCode {
    // If there is no standard error, there is nobody to tell.
    writeln!(std::io::stderr(), "Error: {error:#}").ok();
    ExitCode::FAILURE
}
