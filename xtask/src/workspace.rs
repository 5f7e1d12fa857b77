//! Where the workspace is, and which cargo builds it.

use anyhow::{Context as _, Result};
use std::{env, path::PathBuf, process::Command};
use xtask_launcher::is_of_package;

/// The folder of the workspace.
///
/// Of the one that is worked in: clones that share a target folder share this program, and what it
/// knows from its build may be another clone's.
pub(crate) fn root() -> PathBuf {
    let built = || env!("CARGO_MANIFEST_DIR").into();
    let xtask = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(built));
    xtask.parent().map_or_else(|| xtask.clone(), PathBuf::from)
}

/// The folder that cargo builds into, in which tasks keep what they need for longer.
pub(crate) fn target() -> Result<PathBuf> {
    let program = env::current_exe().context("cannot find this program")?;
    let target = program.ancestors().nth(2).context("no target folder")?;
    Ok(target.to_owned())
}

/// A call of the cargo that runs this program, at the root of the workspace.
///
/// It does not hear that a cargo runs it: build scripts that look at such variables would have
/// their crates, and all that depend on these, built again after each call by hand.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| is_of_package(name))
    {
        command.env_remove(name);
    }
    command.current_dir(root());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_this_package_is_told() {
        let removed: Vec<_> = cargo()
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
            assert!(removed.iter().any(|removed| removed == name), "{name}");
        }
    }
}
