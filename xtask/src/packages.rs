//! Packages of the distribution.

use anyhow::{Context as _, Result, ensure};
use std::process::Command;

/// How to install a package, as a person would type it.
pub(crate) fn hint(package: &str) -> String {
    format!("apt-get install {package}")
}

/// Installs a package; takes root. Programs are wanted and not services: none is started.
pub(crate) fn install(package: &str) -> Result<()> {
    run(&["update"])?;
    run(&["install", "--yes", "--no-install-recommends", package])
}

fn run(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("SYSTEMD_OFFLINE", "1");
    let status = command.status().context("cannot start apt-get")?;
    ensure!(status.success(), "{command:?} failed with {status}");
    Ok(())
}
