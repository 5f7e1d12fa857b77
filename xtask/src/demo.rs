//! `cargo xtask demo`: builds a testbed of network namespaces, runs everything in it, and uses it as
//! a user would.

mod checks;
mod table;

use crate::{
    binaries::{Binaries, Others, Profile},
    interrupt, requirements,
};
use anyhow::{Result, ensure};
use checks::Session;
use std::{thread, time::Instant};
use table::Table;
use testbed::{Deployment, Nat, Path, Programs, RunDirectory, Spec, Testbed, layout};

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the first network there when all is done, until interrupted.
    #[arg(long)]
    keep: bool,

    /// Print a JSON object a line instead of a table.
    #[arg(long)]
    json: bool,

    /// Build without optimisation: sooner there, and slower.
    #[arg(long)]
    debug: bool,

    /// Do not install nft if it is missing.
    #[arg(long)]
    no_install: bool,

    #[command(flatten)]
    others: Others,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    testbed::become_root()?;
    requirements::require(!args.no_install)?;
    let programs = programs(args)?;
    let mut directory = RunDirectory::new()?;
    interrupt::end_on_signals(directory.path().to_owned())?;
    let mut table = Table::new(args.json);
    let result = show_both(args, &programs, &directory, &mut table);
    if result.is_err() || table.failed() > 0 {
        directory.keep();
        table.note(&format!(
            "The programs' logs are in {}",
            directory.logs().display()
        ));
    }
    result?;
    ensure!(
        table.failed() == 0,
        "{} of {} checks failed",
        table.failed(),
        table.rows()
    );
    table.note(&format!(
        "All {} checks held, in {:.1} s.",
        table.rows(),
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn show_both(
    args: &Args,
    programs: &Programs,
    directory: &RunDirectory,
    table: &mut Table,
) -> Result<()> {
    table.section("client and gateway behind ordinary routers");
    show(Nat::Cone, Path::Direct, programs, directory, table)?;
    table.section("client and gateway behind symmetric routers");
    show(Nat::Symmetric, Path::Relayed, programs, directory, table)?;
    if args.keep {
        keep(programs, directory, table)?;
    }
    Ok(())
}

fn show(
    nat: Nat,
    path: Path,
    programs: &Programs,
    directory: &RunDirectory,
    table: &mut Table,
) -> Result<()> {
    let testbed = Testbed::build(spec(nat))?;
    let mut network = Deployment::start(&testbed, directory, programs.clone())?;
    let ready = network.start_client()?;
    table.started(ready);
    Session::new(&testbed, path).run(table);
    Ok(())
}

fn keep(programs: &Programs, directory: &RunDirectory, table: &Table) -> Result<()> {
    let testbed = Testbed::build(spec(Nat::Cone))?;
    let mut network = Deployment::start(&testbed, directory, programs.clone())?;
    network.start_client()?;
    let id = network.client().map_or(0, testbed::Program::id);
    table.note(&format!(
        "A network with ordinary routers stays there until you interrupt. On the client's host:\n  \
           nsenter -t {id} -a curl http://{name}/\n  \
           nsenter -t {id} -a ping {address}\n\
         Logs are in {logs}.",
        name = layout::RESOURCE_NAME,
        address = layout::RESOURCE6,
        logs = directory.logs().display(),
    ));
    loop {
        thread::park();
    }
}

fn spec(nat: Nat) -> Spec {
    Spec {
        client_nat: nat,
        gateway_nat: nat,
        ..Spec::default()
    }
}

fn programs(args: &Args) -> Result<Programs> {
    let profile = if args.debug {
        Profile::Debug
    } else {
        Profile::Release
    };
    let mut programs = Binaries::build(profile)?.programs();
    args.others.replace(&mut programs)?;
    Ok(programs)
}
