//! What is needed of the machine besides our programs.

use crate::packages;
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    process::{Command, Stdio},
};

/// Where programs get TUN interfaces from.
const TUN: &str = "/dev/net/tun";

/// Makes sure of the TUN device and of `nft`; `install` allows to get that from the distribution.
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
    program("nft", &["--version"], "nftables", install)
        .context("without it routers cannot translate addresses")
}

/// Makes sure that a program is there; `install` allows to get its package from the distribution.
pub(crate) fn program(name: &str, probe: &[&str], package: &str, install: bool) -> Result<()> {
    if runs(name, probe) {
        return Ok(());
    }
    if install {
        packages::install(package).with_context(|| format!("cannot install {name}"))?;
    }
    ensure!(
        runs(name, probe),
        "the program {name} is missing: {}",
        packages::hint(package)
    );
    Ok(())
}

/// Whether it can be started at all and ends well; what it prints is of no interest.
fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let status = quiet(command.args(arguments)).status();
    status.is_ok_and(|status| status.success())
}

/// Has a command read and print nothing.
pub(crate) fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

/// Whether this program may do what only root may.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_user(&status) == Some(0)
}

/// The second number of the line is the effective one.
fn effective_user(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_counts() {
        assert_eq!(
            effective_user("Name:\tx\nUid:\t1000\t0\t1000\t1000\n"),
            Some(0)
        );
        assert_eq!(effective_user("Uid:\t0\t1000\t0\t0\n"), Some(1000));
        assert_eq!(effective_user("Gid:\t0\t0\t0\t0\n"), None);
    }
}
