//! What compiles for Windows: the workspace's own toolchain with one more standard library.

use super::TARGET;
use crate::{requirements, workspace};
use anyhow::{Result, ensure};
use std::process::Command;

/// What links for Windows, and what runs it.
const TOOLS: [(&str, &str); 2] = [
    ("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64-win32"),
    ("wine", "wine"),
];

/// Makes sure of all that is needed, or says what is missing.
pub(crate) fn provide(may_install: bool) -> Result<()> {
    for (program, package) in TOOLS {
        requirements::program(program, &["--version"], package, may_install)?;
    }
    let is_there = has_library()? || may_install && add_library() && has_library()?;
    ensure!(
        is_there,
        "the standard library for Windows is missing: rustup target add {TARGET}"
    );
    Ok(())
}

/// A call of cargo for Windows; the target has to be named.
pub(crate) fn cargo() -> Command {
    let mut command = workspace::cargo();
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", "wine");
    command
}

/// Asks rustup for the standard library; a network that swallows everything is waited for no longer
/// than that.
fn add_library() -> bool {
    let mut command = Command::new("timeout");
    command
        .args(["120", "rustup", "target", "add", TARGET])
        .current_dir(workspace::root());
    command.status().is_ok_and(|status| status.success())
}

/// Whether the compiler has the standard library, wherever it keeps such things.
fn has_library() -> Result<bool> {
    let mut command = Command::new("rustc");
    command
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(workspace::root());
    let output = command.output()?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(std::path::Path::new(&folder).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_is_that_of_the_target() {
        let command = cargo();
        let mut names = command
            .get_envs()
            .filter_map(|(name, value)| value.and(name.to_str()));
        let variable = format!(
            "CARGO_TARGET_{}_RUNNER",
            TARGET.replace('-', "_").to_uppercase()
        );
        assert!(names.any(|name| name == variable));
    }
}
