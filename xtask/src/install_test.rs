//! `cargo xtask install-test`: installs the packages that `dist` built in a small Debian under its
//! own systemd, uses them in the devnet as an administrator would, and removes them again.

mod headless_client;
mod machine;
mod root;
mod tunnel_service;

use crate::{
    binaries::{Binaries, Profile},
    interrupt,
    progress::say,
    requirements, workspace,
};
use anyhow::{Context as _, Result, bail, ensure};
use machine::Machine;
use std::{
    fs,
    path::{Path, PathBuf},
};
use testbed::{Deployment, RunDirectory, Spec, Testbed};

/// Options of `cargo xtask install-test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the packages are.
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    packages: PathBuf,

    /// Do not install what is missing.
    #[arg(long)]
    no_install: bool,
}

/// Something to try, and what it is called.
type Check = (&'static str, fn(&Machine<'_>) -> Result<()>);

/// Plays all checks; the first that fails leaves its logs.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(
        requirements::is_root(),
        "a machine with its own systemd can only be started by root"
    );
    let install = !args.no_install;
    requirements::require(install)?;
    requirements::program("debootstrap", &["--version"], "debootstrap", install)?;
    requirements::program(
        "systemd-nspawn",
        &["--version"],
        "systemd-container",
        install,
    )?;
    let packages = workspace::root().join(&args.packages);
    for program in ["firezone-headless-client", "firezone-client-tunnel"] {
        require_package(&packages, program)?;
    }
    let root = root::prepare()?;
    let programs = Binaries::build(Profile::Debug)?.programs();
    let mut directory = RunDirectory::new()?;
    interrupt::end_on_signals(directory.path().to_owned())?;
    let testbed = Testbed::build(Spec::default())?;
    let _network = Deployment::start(&testbed, &directory, programs)?;
    let result = play(&testbed, &root, &packages, &directory.logs());
    if result.is_err() {
        directory.keep();
        say(&format!("Logs are in {}", directory.logs().display()));
    }
    result
}

fn play(testbed: &Testbed, root: &Path, packages: &Path, logs: &Path) -> Result<()> {
    let mut machine = Machine::boot(testbed.client(), root, packages, logs)?;
    let mut checks = headless_client::CHECKS.iter().chain(tunnel_service::CHECKS);
    let result: Result<()> = checks.try_for_each(|(name, check)| {
        check(&machine).with_context(|| (*name).to_owned())?;
        say(&format!("      {name}: ok"));
        Ok(())
    });
    if result.is_err() {
        machine.keep_journal(logs)?;
    }
    machine.stop()?;
    result
}

/// There has to be exactly one package of a program.
fn require_package(packages: &Path, program: &str) -> Result<()> {
    let is_ours = |name: &str| name.starts_with(&format!("{program}_")) && name.ends_with(".deb");
    let entries = fs::read_dir(packages).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    match names
        .filter(|name| is_ours(&name.to_string_lossy()))
        .count()
    {
        1 => Ok(()),
        0 => bail!(
            "there is no package of {program} in {}: `cargo xtask dist` builds it",
            packages.display()
        ),
        _ => bail!(
            "there are several packages of {program} in {}",
            packages.display()
        ),
    }
}
