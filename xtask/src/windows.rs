//! The other system, from here: what compiles for it, and Wine, which runs it.
//!
//! Wine's folder is below the target folder.

mod crates;
mod prefix;
pub(crate) mod toolchain;

use crate::{progress::say, workspace};
use anyhow::{Context as _, Result, ensure};
pub(crate) use prefix::Wine;
use std::process::Command;

/// What Rust calls it.
pub(crate) const TARGET: &str = "x86_64-pc-windows-gnu";

/// Lints what is there for Windows.
pub(crate) fn lint() -> Result<()> {
    let mut command = toolchain::cargo();
    command
        .args(["clippy", "--all-targets", "--locked", "--target", TARGET])
        .args(crates::packages())
        .args(["--", "-D", "warnings"]);
    succeed(command)
}

/// Runs the tests under Wine, and says which of them need more than that.
pub(crate) fn test() -> Result<()> {
    let wine = Wine::start()?;
    let mut command = toolchain::cargo();
    command
        .args(["nextest", "run", "--locked", "--target", TARGET])
        .args(crates::packages());
    wine.enter(&mut command);
    succeed(command)?;
    report()
}

/// What ran, what did not, and why.
fn report() -> Result<()> {
    say("\nNot built for Windows:");
    for (name, reason) in crates::ELSEWHERE {
        say(&format!("  {name}: {reason}"));
    }
    let ignored = crates::ignored(&workspace::root()).context("cannot read the tests")?;
    say("Only type-checked here:");
    for test in &ignored {
        say(&format!("  {test}"));
    }
    if ignored.is_empty() {
        say("  nothing");
    }
    Ok(())
}

fn succeed(mut command: Command) -> Result<()> {
    let status = command.status()?;
    ensure!(status.success(), "{command:?} failed with {status}");
    Ok(())
}
