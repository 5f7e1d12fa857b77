//! Wine's own folder, in which programs find a Windows.

use crate::{requirements::quiet, workspace};
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A library that Rust's standard library takes its random seed from and Wine 8 does not have.
const SHIM: &str = include_str!("bcryptprimitives.c");

/// Wine, for as long as the value exists.
#[derive(Debug)]
pub(crate) struct Wine {
    prefix: PathBuf,
}

impl Wine {
    /// Makes the folder if there is none, and starts Wine's server, so that no test does that and is blamed
    /// for what it leaves behind.
    pub(crate) fn start() -> Result<Self> {
        let prefix = workspace::target()?.join("windows").join("prefix");
        let wine = Self { prefix };
        let shim = wine
            .prefix
            .join("drive_c/windows/system32/bcryptprimitives.dll");
        if !shim.exists() {
            fs::create_dir_all(&wine.prefix)?;
            wine.run("wineboot", &["--init"])?;
            wine.run("wineserver", &["--wait"])?;
            compile(&shim).context("cannot build a library for Wine")?;
        }
        wine.run("wineserver", &["--persistent=60"])?;
        // Starts Wine's services, which would keep open whatever a first test writes to.
        wine.run("wine", &["cmd", "/c", "exit"])?;
        Ok(wine)
    }

    /// Has a command, and what it starts, use this Wine.
    pub(crate) fn enter(&self, command: &mut Command) {
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEDEBUG", "-all")
            // Nothing here needs .NET or a browser, and Wine would ask for them in a window.
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=");
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(program);
        quiet(command.args(arguments));
        self.enter(&mut command);
        let status = command.status();
        let status = status.with_context(|| format!("cannot start {program}"))?;
        ensure!(
            status.success(),
            "{program} {arguments:?} failed with {status}"
        );
        Ok(())
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        // Best effort: a minute after the last program it ends by itself.
        self.run("wineserver", &["--kill"]).ok();
    }
}

fn compile(library: &Path) -> Result<()> {
    let source = library.with_extension("c");
    fs::write(&source, SHIM)?;
    let mut command = Command::new("x86_64-w64-mingw32-gcc");
    command.args(["-shared", "-O2", "-s", "-o"]).arg(library);
    command.arg(&source).arg("-lbcrypt");
    let status = command.status()?;
    ensure!(status.success(), "{command:?} failed with {status}");
    Ok(())
}
