//! The token that a shell hands over. Never from the command line, where everybody can read it.

use anyhow::{Context as _, Result, bail};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    io::{self, IsTerminal as _, Read},
    path::Path,
};
use zeroize::Zeroizing;

/// Longest token, in bytes.
const MAX_TOKEN: u64 = 64 * 1024;

/// The token in the file, or else on standard input; white space around it is ignored.
pub(crate) fn read(file: Option<&Path>) -> Result<SecretString> {
    let Some(path) = file else {
        if io::stdin().is_terminal() {
            bail!("there is no token: name a file by --token-file, or write it to standard input");
        }
        return parse(io::stdin().lock()).context("standard input holds no token");
    };
    let what = || format!("cannot use the token in {}", path.display());
    let content = host::read_own_secret(path).with_context(what)?;
    let content = content
        .context("there is no such file")
        .with_context(what)?;
    parse(content.expose_secret()).with_context(what)
}

fn parse(input: impl Read) -> Result<SecretString> {
    let mut content = Zeroizing::new(Vec::with_capacity(4096));
    input.take(MAX_TOKEN + 1).read_to_end(&mut content)?;
    if u64::try_from(content.len())? > MAX_TOKEN {
        bail!("it has more than {MAX_TOKEN} bytes");
    }
    let text = std::str::from_utf8(&content).context("it is not UTF-8")?;
    match text.trim() {
        "" => bail!("it is empty"),
        token => Ok(token.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    #[test]
    fn tokens_are_trimmed_and_bounded() {
        assert_eq!(parse(&b" token\r\n"[..]).unwrap().expose_secret(), "token");
        for (bad, why) in [(&b" \n"[..], "empty"), (b"\xff", "UTF-8")] {
            let error = parse(bad).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(parse(io::repeat(b'x')).is_err());
    }

    #[test]
    fn files_that_others_can_read_are_refused() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        host::write_secret(&path, b"secret\n").expect("secrets take the administrator's rights");
        assert_eq!(read(Some(&path)).unwrap().expose_secret(), "secret");
        let open = directory.path().join("open");
        fs::write(&open, "secret\n").unwrap();
        let error = read(Some(&open)).unwrap_err();
        let fault = error.downcast_ref::<host::FileFault>();
        let is_about_permissions = matches!(fault, Some(host::FileFault::Permissions { .. }));
        assert!(is_about_permissions, "{error:#}");
        assert!(!format!("{error:#}").contains("secret"), "{error:#}");
        assert!(read(Some(directory.path())).is_err());
        assert!(read(Some(Path::new("/nonexistent/token"))).is_err());
    }
}
