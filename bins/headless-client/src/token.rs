//! Where the token comes from. spec: client-app 5

use crate::{environment, host};
use anyhow::{Context as _, Result, bail};
use secrecy::{ExposeSecret as _, SecretString};
use std::path::Path;

/// The token of the environment, else that of the file.
pub(crate) fn find(from_environment: Option<SecretString>, path: &Path) -> Result<SecretString> {
    if let Some(token) = from_environment {
        return Ok(token);
    }
    let Some(content) = host::read_secret_file(path)? else {
        bail!(
            "there is no token: set the variable {} or write the token to {}",
            environment::TOKEN,
            path.display()
        );
    };
    let text = std::str::from_utf8(content.expose_secret())
        .with_context(|| format!("{} is not a token: it is not UTF-8", path.display()))?;
    Ok(SecretString::from(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

    /// A file of root's that disappears with the value.
    struct TokenFile(PathBuf);

    impl TokenFile {
        fn new(name: &str, mode: u32, content: &[u8]) -> Self {
            let file = format!("headless-token-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(file);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&path).unwrap());
            let this = Self(path);
            assert_eq!(
                owner, 0,
                "token files belong to root: run the tests as root"
            );
            this
        }
    }

    impl Drop for TokenFile {
        fn drop(&mut self) {
            fs::remove_file(&self.0).ok();
        }
    }

    fn text(token: SecretString) -> String {
        token.expose_secret().to_owned()
    }

    #[test]
    fn the_environment_comes_first_and_is_taken_as_it_is() {
        let file = TokenFile::new("environment", 0o600, b"from the file");
        for token in ["token", " padded\n", ""] {
            let found = find(Some(token.into()), &file.0).unwrap();
            assert_eq!(text(found), token);
        }
    }

    #[test]
    fn files_are_trimmed() {
        for (name, content, token) in [
            ("plain", &b"token"[..], "token"),
            ("newline", b" token\r\n", "token"),
            ("empty", b"", ""),
        ] {
            let file = TokenFile::new(name, 0o400, content);
            assert_eq!(text(find(None, &file.0).unwrap()), token, "{name}");
        }
    }

    #[test]
    fn without_a_token_both_places_are_named() {
        let error = find(None, Path::new("/nonexistent/token")).unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("FIREZONE_TOKEN") && message.contains("/nonexistent/token"));
        assert_eq!(message.lines().count(), 1);
    }

    #[test]
    fn files_that_others_can_read_and_files_of_bytes_are_refused() {
        for (name, mode, content) in [
            ("mode", 0o644, &b"secret"[..]),
            ("bytes", 0o600, b"\xff\xfe"),
        ] {
            let file = TokenFile::new(name, mode, content);
            let message = format!("{:#}", find(None, &file.0).unwrap_err());
            assert!(message.contains(file.0.to_str().unwrap()), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
