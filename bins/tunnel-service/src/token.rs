//! The token that a shell hands over. Never from the command line, where everybody can read it.

use anyhow::{Context as _, Result, bail};
use secrecy::SecretString;
use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    os::unix::fs::MetadataExt as _,
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
    // Checks and reading go through one descriptor, so that the file cannot be swapped meanwhile.
    let file = File::open(path).with_context(what)?;
    check(&file).with_context(what)?;
    parse(file).with_context(what)
}

fn check(file: &File) -> Result<()> {
    let metadata = file.metadata()?;
    let us = rustix::process::geteuid().as_raw();
    if !metadata.is_file() {
        bail!("it is no regular file");
    }
    if metadata.uid() != us && metadata.uid() != 0 {
        bail!("it belongs to user {}, not to you", metadata.uid());
    }
    if metadata.mode() & 0o077 != 0 {
        bail!("others may use it: chmod 0600 it");
    }
    Ok(())
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
    use secrecy::ExposeSecret as _;
    use std::{fs, os::unix::fs::PermissionsExt as _};
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
        fs::write(&path, "secret\n").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let token = read(Some(&path));
            assert_eq!(token.is_ok(), good, "{mode:o}");
            if let Err(error) = token {
                let text = format!("{error:#}");
                assert!(text.contains("chmod") && !text.contains("secret"), "{text}");
            }
        }
        assert!(read(Some(directory.path())).is_err());
        assert!(read(Some(Path::new("/nonexistent/token"))).is_err());
    }
}
