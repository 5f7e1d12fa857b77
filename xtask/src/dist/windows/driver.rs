//! The driver's library as its makers signed it. It is taken from a published crate, and never kept.

use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use ring::digest;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An empty crate that depends on the one which carries the library.
const SEED: &str = "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                    [dependencies]\nwintun = \"=0.5.1\"\n[workspace]\n";

/// What has to be found. spec: platform 10.1
const SHA256: &str = "e5da8447dc2c320edc0fc52fa01885c103de8c118481f683643cacc3220dafce";

/// Who has to have signed it.
const SIGNER: &str = "CN=WireGuard LLC";

/// Those whom a signature is traced back to.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The library and the licence that allows to ship it.
pub(super) struct Driver {
    pub(super) library: PathBuf,
    pub(super) licence: PathBuf,
}

/// Gets it and checks it.
pub(super) fn provide() -> Result<Driver> {
    let folder = fetch()?.join("wintun");
    let driver = Driver {
        library: folder.join("bin/amd64/wintun.dll"),
        licence: folder.join("LICENSE.txt"),
    };
    let content = fs::read(&driver.library).context("the crate wintun has no library")?;
    let hash = digest::digest(&digest::SHA256, &content);
    let hash: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    ensure!(
        hash == SHA256,
        "wintun.dll has the hash {hash}, and not {SHA256}"
    );
    let report = verify(&driver.library)?;
    ensure!(
        report
            .lines()
            .any(|line| line.contains("Subject:") && line.contains(SIGNER)),
        "wintun.dll is not signed by {SIGNER}:\n{report}"
    );
    Ok(driver)
}

/// Has cargo get the crate, which checks it; returns its folder.
fn fetch() -> Result<PathBuf> {
    let seed = workspace::target()?.join("windows").join("driver");
    fs::create_dir_all(seed.join("src"))?;
    fs::write(seed.join("Cargo.toml"), SEED)?;
    fs::write(seed.join("src/lib.rs"), "")?;
    let mut command = workspace::cargo();
    command
        .args(["metadata", "--format-version", "1"])
        .current_dir(&seed);
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "cargo cannot get the crate wintun: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "wintun")
        .and_then(|package| package["manifest_path"].as_str())
        .context("the crate wintun is not among what cargo got")?;
    let folder = Path::new(manifest).parent().context("no folder")?;
    Ok(folder.to_owned())
}

/// Checks the signature; revocation is not asked for, since it was made before the hash was written down.
fn verify(library: &Path) -> Result<String> {
    let mut command = Command::new("osslsigncode");
    command
        .args(["verify", "-ignore-crl", "-CAfile", AUTHORITIES, "-in"])
        .arg(library);
    let output = command.output().context("cannot start osslsigncode")?;
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "the signature of wintun.dll is not good:\n{report}"
    );
    Ok(report)
}
