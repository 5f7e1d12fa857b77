//! Programs that do not tell where they were built.

use super::target::Target;
use crate::workspace;
use anyhow::{Result, ensure};
use std::{env, path::PathBuf, process::Command};

/// Builds static ones for Linux; returns the folder in which they are.
pub(super) fn for_linux(target: &Target, epoch: &str) -> Result<PathBuf> {
    add_target(target.triple)?;
    let mut command = workspace::cargo();
    command.envs(target.variables());
    build(command, target.triple, epoch, "")
}

/// Builds them by this cargo, with these flags besides; returns the folder in which they are.
pub(super) fn build(
    mut command: Command,
    triple: &str,
    epoch: &str,
    flags: &str,
) -> Result<PathBuf> {
    // A folder of its own: other flags would throw away what is built for daily work.
    let directory = workspace::root().join("target/dist-build");
    let remapped_sources = remapped(&directory, "--remap-path-prefix");
    command
        .args(["build", "--locked", "--profile", "dist", "--target"])
        .arg(triple)
        .args(["--package", "headless-client"])
        .args(["--package", "tunnel-service"])
        .env("CARGO_TARGET_DIR", &directory)
        .env("SOURCE_DATE_EPOCH", epoch)
        .env("RUSTFLAGS", format!("{remapped_sources} {flags}").trim())
        .env("CFLAGS", remapped(&directory, "-ffile-prefix-map"));
    let status = command.status()?;
    ensure!(status.success(), "cargo could not build the programs");
    Ok(directory.join(triple).join("dist"))
}

/// Flags that give every folder of this machine a name that all machines share.
fn remapped(build: &std::path::Path, flag: &str) -> String {
    let home = env::home_dir().unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let rustup = env::var_os("RUSTUP_HOME").map_or_else(|| home.join(".rustup"), PathBuf::from);
    // The last one that fits wins.
    let names = [
        (workspace::root(), "/source"),
        (build.to_owned(), "/build"),
        (cargo, "/cargo"),
        (rustup, "/rustup"),
    ];
    let flags = names.map(|(path, name)| format!("{flag}={}={name}", path.display()));
    flags.join(" ")
}

/// Gets the standard library of the target, where rustup manages it.
fn add_target(target: &str) -> Result<()> {
    let mut command = Command::new("rustup");
    command.args(["target", "add", target]);
    let added = command.current_dir(workspace::root()).status();
    ensure!(
        added.is_ok_and(|status| status.success()),
        "the standard library for {target} is missing: `rustup target add {target}` fails"
    );
    Ok(())
}
