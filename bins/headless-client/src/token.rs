//! Where the token comes from. spec: client-app 5

use anyhow::{Context as _, Result, bail};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// The file among the credentials that the service manager hands over.
const CREDENTIAL: &str = "firezone-token";

/// Where a token was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the environment.
    Environment,
    /// Among the credentials that the service manager handed over.
    Credential(PathBuf),
    /// In a file of the administrator's.
    File(PathBuf),
}

/// Places where a token may be, in order.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    /// What the environment held.
    pub(crate) environment: Option<SecretString>,
    /// The file that the user named.
    pub(crate) named: Option<&'a Path>,
    /// The directory that the service manager named.
    pub(crate) credentials: Option<PathBuf>,
    /// The file that is looked at when nothing else is there.
    pub(crate) usual: PathBuf,
}

impl Places<'_> {
    /// The token, and where it was.
    pub(crate) fn find(self) -> Result<(SecretString, Origin)> {
        if let Some(token) = self.environment {
            return from_environment(token);
        }
        let handed = self.credentials.map(|directory| directory.join(CREDENTIAL));
        if let (None, Some(path)) = (self.named, handed)
            && let Some(content) = host::read_credential(&path)?
        {
            let token = token_in(&content, &path)?;
            // An empty one means that the unit found none.
            if !token.expose_secret().is_empty() {
                return Ok((token, Origin::Credential(path)));
            }
        }
        let path = self.named.unwrap_or(&self.usual);
        let Some(content) = host::read_secret(path)? else {
            bail!(
                "there is no token: set the variable {}, or write the token to {}, \
                 or run `firezone-headless-client sign-in`",
                cli_support::TOKEN,
                path.display()
            );
        };
        Ok((token_in(&content, path)?, Origin::File(path.to_owned())))
    }
}

/// The token in the environment; or in the file that is named there, as managers of containers do.
/// spec: client-app 4
fn from_environment(token: SecretString) -> Result<(SecretString, Origin)> {
    let path = Path::new(token.expose_secret());
    // No token looks like that; one that does is not told as a path that cannot be opened.
    if path.is_absolute()
        && path.exists()
        && let Some(content) = host::read_container_secret(path)?
    {
        return Ok((token_in(&content, path)?, Origin::File(path.to_owned())));
    }
    Ok((token, Origin::Environment))
}

/// The token in a file, without the white space around it.
fn token_in(content: &SecretSlice<u8>, path: &Path) -> Result<SecretString> {
    let text = std::str::from_utf8(content.expose_secret())
        .with_context(|| format!("{} is not a token: it is not UTF-8", path.display()))?;
    Ok(SecretString::from(text.trim()))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => write!(f, "the variable {}", cli_support::TOKEN),
            Self::Credential(path) => write!(f, "the credential {}", path.display()),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    /// A secret file that disappears with the value.
    struct TokenFile(PathBuf, #[expect(dead_code, reason = "its folder")] TempDir);

    impl TokenFile {
        fn new(content: &[u8]) -> Self {
            let file = Self::open_to_others(content);
            host::write_secret(&file.0, content).expect("secrets take the administrator's rights");
            file
        }

        /// A file that others may read.
        fn open_to_others(content: &[u8]) -> Self {
            let directory = TempDir::new().unwrap();
            let path = directory.path().join("token");
            fs::write(&path, content).unwrap();
            Self(path, directory)
        }
    }

    fn find(token: Option<SecretString>, path: &Path) -> Result<SecretString> {
        let places = Places {
            environment: token,
            named: None,
            credentials: None,
            usual: path.to_owned(),
        };
        places.find().map(|(token, _)| token)
    }

    fn text(token: SecretString) -> String {
        token.expose_secret().to_owned()
    }

    #[test]
    fn credentials_come_before_the_usual_file_and_after_a_named_one() {
        let handed = TempDir::new().unwrap();
        let directory = handed.path().to_owned();
        let usual = TokenFile::new(b"usual");
        let named = TokenFile::new(b"named");
        let found = |named| {
            let places = Places {
                environment: None,
                named,
                credentials: Some(directory.clone()),
                usual: usual.0.clone(),
            };
            let (token, origin) = places.find().unwrap();
            (text(token), origin)
        };
        assert_eq!(found(None).0, "usual");
        let credential = directory.join(CREDENTIAL);
        host::write_secret(&credential, b"").unwrap();
        assert_eq!(found(None).0, "usual", "an empty credential is none");
        host::write_secret(&credential, b"handed over\n").unwrap();
        let expected = ("handed over".to_owned(), Origin::Credential(credential));
        assert_eq!(found(None), expected);
        let expected = ("named".to_owned(), Origin::File(named.0.clone()));
        assert_eq!(found(Some(&named.0)), expected);
    }

    #[test]
    fn the_environment_comes_first_and_is_taken_as_it_is() {
        let file = TokenFile::new(b"from the file");
        for token in ["token", " padded\n", ""] {
            let found = find(Some(token.into()), &file.0).unwrap();
            assert_eq!(text(found), token);
        }
    }

    #[test]
    fn the_environment_may_name_a_file_as_in_containers() {
        let file = TokenFile::open_to_others(b"secret of a container\n");
        let name = file.0.to_str().unwrap();
        let places = Places {
            environment: Some(name.into()),
            named: None,
            credentials: None,
            usual: "/nonexistent/token".into(),
        };
        let (token, origin) = places.find().unwrap();
        assert_eq!(text(token), "secret of a container");
        assert_eq!(origin, Origin::File(file.0.clone()));
        let (missing, long) = (
            "/nonexistent/file".to_owned(),
            format!("/{}", "x".repeat(5000)),
        );
        for token in [missing, long] {
            let found = find(Some(token.clone().into()), &file.0).unwrap();
            assert_eq!(text(found), token, "it is no file: the portal decides");
        }
    }

    #[test]
    fn files_are_trimmed() {
        for (name, content, token) in [
            ("plain", &b"token"[..], "token"),
            ("newline", b" token\r\n", "token"),
            ("empty", b"", ""),
        ] {
            let file = TokenFile::new(content);
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
        for file in [
            TokenFile::open_to_others(b"secret"),
            TokenFile::new(b"secret\xff\xfe"),
        ] {
            let message = format!("{:#}", find(None, &file.0).unwrap_err());
            assert!(message.contains(file.0.to_str().unwrap()), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
