//! The one program that is needed besides ours.

use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// Makes sure that `nft` is there; `install` allows to get it from the distribution.
pub(crate) fn require(install: bool) -> Result<()> {
    if is_there() {
        return Ok(());
    }
    if install && run("apt-get", &["install", "--yes", "--quiet", "nftables"]) && is_there() {
        return Ok(());
    }
    bail!(
        "the program nft is missing, which makes the routers translate addresses: \
         install the package nftables"
    )
}

fn is_there() -> bool {
    run("nft", &["--version"])
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
