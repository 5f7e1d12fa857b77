//! An archive of a folder that is the same wherever it is packed.

use super::contents;
use anyhow::{Context as _, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Packs a folder into an archive beside it.
pub(super) fn pack(folder: &Path) -> Result<PathBuf> {
    let parent = folder.parent().context("no folder above")?;
    let archive = folder.with_added_extension("zip");
    let mut command = Command::new("zip");
    command
        // No owners, no times but one, and in this order.
        .args(["-X", "-9", "-q"])
        .arg(&archive)
        .current_dir(parent)
        .env("TZ", "UTC");
    for path in contents(folder)? {
        command.arg(path.strip_prefix(parent)?);
    }
    ensure!(command.status()?.success(), "{command:?} failed");
    Ok(archive)
}
