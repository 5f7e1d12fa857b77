//! `--check`: looks whether everything is in place, and changes nothing. spec: client-app 9.4

use crate::{cli::Options, settings};
use anyhow::{Context as _, Result};
use platform::Platform as _;
use secrecy::SecretString;
use std::io::{self, Write as _};

/// Says what it finds; fails with the first thing without which the client would not run.
pub(crate) fn run(options: &Options, token: Option<SecretString>) -> Result<()> {
    let mut output = io::stdout();
    let (found, origin) = settings::token_places(options, token).find()?;
    // It could be dialled with what was found.
    settings::check_url(&options.api_url, &found)?;
    drop(found);
    writeln!(output, "Token: in {origin}")?;
    writeln!(output, "Portal: {}", options.api_url)?;
    writeln!(output, "Device: {}", identity(options)?)?;
    for line in cli_support::Platform::check(&options.host.options())? {
        writeln!(output, "{line}")?;
    }
    writeln!(output, "Everything is in place.")?;
    Ok(())
}

fn identity(options: &Options) -> Result<String> {
    if options.firezone_id.is_some() {
        return Ok("the identity that was given".to_owned());
    }
    let origin = host::device_id_origin()
        .context("there is no identity for this device: give one with the variable FIREZONE_ID")?;
    Ok(origin.to_string())
}
