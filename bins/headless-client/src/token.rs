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
