//! Programs of the distribution that tests run from a folder of their own, because installing their
//! packages would change the machine.

use crate::workspace;
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Places of the program in a root.
const RESOLVED: [&str; 2] = [
    "lib/systemd/systemd-resolved",
    "usr/lib/systemd/systemd-resolved",
];

/// Whether `systemd-resolved` is unpacked, or installed anyway.
pub(super) fn has_resolved() -> bool {
    let roots = [folder("systemd-resolved").ok(), Some(PathBuf::from("/"))];
    roots.into_iter().flatten().any(|root| is_in(&root))
}

fn is_in(root: &Path) -> bool {
    RESOLVED.iter().any(|program| root.join(program).is_file())
}

/// Where tests look for it: beside what cargo builds.
fn folder(name: &str) -> Result<PathBuf> {
    Ok(workspace::target()?.join("tools").join(name))
}

/// Downloads the packages and unpacks them into a folder of the first one's name.
pub(super) fn unpack(packages: &[&str]) -> Result<()> {
    let name = packages.first().context("no package")?;
    let folder = folder(name)?;
    let fresh = folder.with_added_extension(std::process::id().to_string());
    let downloads = fresh.join("packages");
    fs::create_dir_all(&downloads).context("cannot make a folder")?;
    let mut download = Command::new("apt-get");
    download
        .arg("download")
        .args(packages)
        .current_dir(&downloads);
    succeed(download)?;
    for package in fs::read_dir(&downloads)? {
        let mut extract = Command::new("dpkg-deb");
        extract.arg("--extract").arg(package?.path()).arg(&fresh);
        succeed(extract)?;
    }
    fs::remove_dir_all(&downloads)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(&fresh, &folder).context("cannot move what was unpacked")
}

fn succeed(mut command: Command) -> Result<()> {
    let status = command.status()?;
    if !status.success() {
        bail!("{command:?} failed with {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_both_layouts() {
        let root = std::env::temp_dir().join(format!("unpack-{}", std::process::id()));
        for program in RESOLVED {
            assert!(!is_in(&root));
            let program = root.join(program);
            fs::create_dir_all(program.parent().unwrap()).unwrap();
            fs::write(&program, "").unwrap();
            assert!(is_in(&root));
            fs::remove_dir_all(&root).unwrap();
        }
    }
}
