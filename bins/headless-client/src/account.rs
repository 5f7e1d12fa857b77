//! `sign-in` and `sign-out`: the token's file. spec: client-app 2.1, 2.2

use crate::cli::{SignIn, SignOut};
use anyhow::{Context as _, Result, ensure};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    fs,
    io::{self, BufRead, IsTerminal as _, Write},
    path::Path,
};
use url::Url;

/// Longest token that is accepted, in bytes.
const MAX_TOKEN: u64 = 64 * 1024;

/// Asks for a token and keeps it.
pub(crate) fn sign_in(options: &SignIn, file: &Path) -> Result<()> {
    let url = sign_in_url(&options.auth_base_url, options.account_slug.as_deref())?;
    let mut output = io::stdout();
    writeln!(
        output,
        "Open this page, sign in, and copy the token that it shows:\n\n  {url}\n"
    )?;
    let token = if io::stdin().is_terminal() {
        write!(output, "Token (it is not shown): ")?;
        output.flush()?;
        SecretString::from(rpassword::read_password().context("cannot read from the terminal")?)
    } else {
        read_token(io::stdin().lock())?
    };
    keep(&token, file)?;
    writeln!(output, "The token is in {}.", file.display())?;
    Ok(())
}

/// Writes a token where the client looks for it, without the white space around it.
fn keep(token: &SecretString, file: &Path) -> Result<()> {
    let token = token.expose_secret().trim();
    ensure!(!token.is_empty(), "no token was given; nothing has changed");
    host::write_secret(file, token.as_bytes())
        .with_context(|| format!("run this as {}", host::help::ADMINISTRATOR_NAME))
}

/// Deletes the token's file.
pub(crate) fn sign_out(options: &SignOut, file: &Path) -> Result<()> {
    let (input, mut output) = (io::stdin(), io::stdout());
    if !fs::exists(file).with_context(|| format!("cannot look for {}", file.display()))? {
        writeln!(output, "There is no token in {}.", file.display())?;
        return Ok(());
    }
    if !options.force && !confirmed(file, input.lock(), &mut output)? {
        writeln!(output, "Nothing has changed.")?;
        return Ok(());
    }
    fs::remove_file(file).with_context(|| format!("cannot delete {}", file.display()))?;
    writeln!(
        output,
        "{} is deleted. The token stays valid until it is revoked at the portal.",
        file.display()
    )?;
    Ok(())
}

/// Where a person gets a token for this program.
fn sign_in_url(base: &Url, slug: Option<&str>) -> Result<Url> {
    let mut url = base.clone();
    ensure!(
        matches!(url.scheme(), "https" | "http") && url.has_host(),
        "{url} is no web page"
    );
    if let Some(slug) = slug {
        url.set_path(slug);
    }
    url.query_pairs_mut().append_pair("as", "headless-client");
    Ok(url)
}

/// One line, however it ends.
fn read_token(input: impl BufRead) -> Result<SecretString> {
    let mut line = String::new();
    // With the end of the line, and enough to see that there is more.
    let read = input.take(MAX_TOKEN + 3).read_line(&mut line);
    let token = SecretString::from(line);
    read.context("cannot read the token")?;
    let length = u64::try_from(token.expose_secret().trim_end().len())?;
    ensure!(
        length <= MAX_TOKEN,
        "this is longer than a token; nothing has changed"
    );
    Ok(token)
}

fn confirmed(file: &Path, mut input: impl BufRead, output: &mut impl Write) -> Result<bool> {
    write!(output, "Delete the token in {}? [y/N] ", file.display())?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Places;
    use proptest::prelude::*;

    #[test]
    fn the_page_depends_on_the_account() {
        let base: Url = "https://app.example.test/other".parse().unwrap();
        for (slug, url) in [
            (None, "https://app.example.test/other?as=headless-client"),
            (
                Some("acme"),
                "https://app.example.test/acme?as=headless-client",
            ),
            (
                Some("../a?b"),
                "https://app.example.test/a%3Fb?as=headless-client",
            ),
        ] {
            assert_eq!(sign_in_url(&base, slug).unwrap().as_str(), url);
        }
        assert!(sign_in_url(&"file:///etc".parse().unwrap(), None).is_err());
    }

    #[test]
    fn a_token_is_one_line() {
        for (input, token) in [("abc\nnext", "abc\n"), ("abc", "abc"), ("", "")] {
            let read = read_token(input.as_bytes()).unwrap();
            assert_eq!(read.expose_secret(), token);
        }
        assert!(read_token(&b"\xff\xfe\n"[..]).is_err());
    }

    #[test]
    fn what_is_longer_than_a_token_is_not_cut_off() {
        let longest = usize::try_from(MAX_TOKEN).unwrap();
        for (length, is_taken) in [(longest, true), (longest + 1, false), (longest * 2, false)] {
            let read = read_token("x".repeat(length).as_bytes());
            assert_eq!(read.is_ok(), is_taken, "{length}");
        }
        // The end of the line does not count.
        let line = format!("{}\r\n", "x".repeat(longest));
        assert!(read_token(line.as_bytes()).is_ok());
    }

    /// What the client reads of what was kept.
    fn found(token: &str) -> Result<String> {
        let folder = tempfile::TempDir::new()?;
        let file = folder.path().join("token");
        keep(&token.into(), &file)?;
        let places = Places {
            environment: None,
            named: None,
            credentials: None,
            usual: file,
        };
        let (token, _) = places.find()?;
        Ok(token.expose_secret().to_owned())
    }

    #[test]
    fn the_longest_token_is_found_again() {
        let longest = "x".repeat(usize::try_from(MAX_TOKEN).unwrap());
        assert_eq!(found(&longest).unwrap(), longest);
        assert!(found(&format!("{longest}x")).is_err());
        assert!(found(" \n").is_err());
    }

    proptest! {
        #[test]
        fn what_is_kept_is_found(line in any::<String>()) {
            let read = read_token(line.as_bytes()).unwrap();
            let expected = read.expose_secret().trim().to_owned();
            match found(read.expose_secret()) {
                Ok(token) => prop_assert_eq!(token, expected),
                Err(_) => prop_assert_eq!(expected, ""),
            }
        }
    }

    #[test]
    fn only_a_yes_deletes() {
        for (answer, yes) in [
            ("y\n", true),
            ("YES\n", true),
            (" yes ", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yess\n", false),
        ] {
            let mut output = Vec::new();
            let confirmed = confirmed(Path::new("/token"), answer.as_bytes(), &mut output);
            assert_eq!(confirmed.unwrap(), yes, "{answer:?}");
            assert!(String::from_utf8(output).unwrap().contains("/token"));
        }
    }
}
