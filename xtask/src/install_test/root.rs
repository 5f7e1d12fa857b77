//! The files of a small Debian.

use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The release that the packages are tried on.
const RELEASE: &str = "bookworm";

/// What it has beside the bare necessities: what our packages recommend, and what checks use.
const PACKAGES: [&str; 10] = [
    "curl",
    "dbus",
    "iproute2",
    "libnss-resolve",
    "libpam-systemd",
    "polkitd",
    "procps",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
];

/// Makes it, unless an earlier run did; returns its folder, which nobody writes to afterwards.
pub(super) fn prepare() -> Result<PathBuf> {
    let root = workspace::root().join("target/tools").join(RELEASE);
    if root.exists() {
        return Ok(root);
    }
    let fresh = root.with_extension("unfinished");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).context("cannot remove what an earlier run left")?;
    }
    fs::create_dir_all(&fresh)?;
    make(&fresh)?;
    fs::rename(&fresh, &root)?;
    Ok(root)
}

fn make(root: &Path) -> Result<()> {
    let mut command = Command::new("debootstrap");
    command
        .arg("--variant=minbase")
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(RELEASE)
        .arg(root);
    let status = command.status().context("cannot start debootstrap")?;
    ensure!(status.success(), "debootstrap failed with {status}");
    // Downloaded packages are of no use any more.
    let archives = root.join("var/cache/apt/archives");
    fs::remove_dir_all(&archives)?;
    fs::create_dir(&archives)?;
    Ok(())
}
