//! The token in the environment. spec: client-app 5.2

use secrecy::SecretString;

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
