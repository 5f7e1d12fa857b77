//! What people install on Windows: a folder in an archive, and an installer.

mod archive;
mod driver;
mod installer;

use super::{checksums, epoch, fresh, programs};
use crate::{
    progress::say,
    requirements,
    windows::{TARGET, Wine, toolchain},
    workspace,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

/// The programs, with their ending.
const PROGRAMS: [&str; 2] = ["firezone-headless-client", "firezone-client-tunnel"];

/// What the tools are and which packages have them.
const TOOLS: [(&str, &str); 5] = [
    ("zip", "zip"),
    ("wixl", "wixl"),
    ("msiinfo", "msitools"),
    ("osslsigncode", "osslsigncode"),
    ("faketime", "faketime"),
];

/// Has a linker say nothing about the time.
const FLAGS: &str = "-C link-arg=-Wl,--no-insert-timestamp";

/// Builds all of it into a fresh folder.
pub(super) fn build(out: &Path, install: bool) -> Result<()> {
    for (tool, package) in TOOLS {
        requirements::program(tool, &["--version"], package, install)?;
    }
    toolchain::provide(install)?;
    let out = fresh(out)?;
    let epoch = epoch();
    let built = programs::build(toolchain::cargo(), TARGET, &epoch, FLAGS)?;
    let folder = out.join(format!(
        "firezone-client-{}-windows-x86_64",
        env!("CARGO_PKG_VERSION")
    ));
    lay_out(&built, &folder)?;
    date(&folder, &epoch)?;
    let archive = archive::pack(&folder)?;
    say(&format!("{}", archive.display()));
    let installer = installer::build(&folder, &out, &epoch)?;
    say(&format!("{}", installer.display()));
    fs::remove_dir_all(&folder)?;
    let sums = checksums(&out)?;
    fs::write(out.join("SHA256SUMS"), &sums)?;
    say(&sums);
    Ok(())
}

/// Puts everything where the archive and the installer take it from.
fn lay_out(built: &Path, folder: &Path) -> Result<()> {
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    let wine = Wine::start()?;
    for name in PROGRAMS {
        let program = folder.join(name).with_extension("exe");
        fs::copy(built.join(name).with_extension("exe"), &program)?;
        let text = completion(&wine, &program)?;
        fs::write(completions.join(name).with_extension("ps1"), text)?;
    }
    let driver = driver::provide()?;
    fs::copy(&driver.library, folder.join("wintun.dll"))?;
    fs::copy(&driver.licence, folder.join("wintun-LICENSE.txt"))?;
    for (from, to) in [
        ("LICENSE", "LICENSE.txt"),
        ("docs/operating.md", "operating.md"),
    ] {
        fs::copy(workspace::root().join(from), folder.join(to))
            .with_context(|| format!("cannot copy {from}"))?;
    }
    Ok(())
}

/// What the program says PowerShell should offer.
fn completion(wine: &Wine, program: &Path) -> Result<Vec<u8>> {
    let mut command = Command::new("wine");
    command.arg(program).args(["completions", "powershell"]);
    wine.enter(&mut command);
    let output = command.output().context("cannot start wine")?;
    ensure!(output.status.success(), "{command:?} failed");
    Ok(output.stdout)
}

/// Gives all files and folders the time of the commit.
fn date(folder: &Path, epoch: &str) -> Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(epoch.parse()?);
    for path in contents(folder)? {
        File::open(&path)?.set_modified(time)?;
    }
    Ok(())
}

/// Everything below a folder, in the order of the names.
fn contents(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
