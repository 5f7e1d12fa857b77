//! What is needed of the machine besides our programs: `nft` and the TUN device.

use anyhow::{Result, bail};
use std::{
    fs::OpenOptions,
    io::ErrorKind,
    process::{Command, Stdio},
};

/// Where programs get TUN interfaces from.
const TUN: &str = "/dev/net/tun";

/// Makes sure that both are there; `install` allows to get `nft` from the distribution.
pub(crate) fn require(install: bool) -> Result<()> {
    let tun = OpenOptions::new().read(true).write(true).open(TUN);
    match tun.map_err(|error| error.kind()) {
        // Root's programs make the node themselves.
        Ok(_) | Err(ErrorKind::NotFound) => {}
        Err(error) => bail!(
            "{TUN} cannot be opened ({error}): run as root, or let everybody use it with \
             `chmod 666 {TUN}`, as most distributions do"
        ),
    }
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
