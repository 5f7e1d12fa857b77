//! Measures our client, alone or taking turns with another one.

use super::{figures::Figures, machine, report::Report};
use crate::{
    binaries::{Binaries, Others, Profile, other},
    interrupt, requirements,
};
use anyhow::Result;
use std::path::PathBuf;
use testbed::{self, Programs, RunDirectory};

/// How often each client is measured when two are compared.
const ROUNDS: usize = 2;

/// Options of all benches of whole programs.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Measure this client, too, taking turns, and print ratios.
    #[arg(long, value_name = "PATH")]
    versus: Option<PathBuf>,

    #[command(flatten)]
    others: Others,

    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Measures and prints. `measure` builds networks of its own.
pub(crate) fn run(
    args: &Options,
    measure: impl Fn(&Programs, &RunDirectory) -> Result<Figures>,
) -> Result<()> {
    testbed::become_root()?;
    requirements::require(true)?;
    let mut ours = Binaries::build(Profile::Release)?.programs();
    args.others.replace(&mut ours)?;
    let directory = RunDirectory::new()?;
    interrupt::end_on_signals(directory.path().to_owned())?;
    let mut own = Vec::new();
    let mut theirs = Vec::new();
    match &args.versus {
        None => own.push(measure(&ours, &directory)?),
        Some(path) => {
            let programs = Programs {
                client: other(path)?,
                ..ours.clone()
            };
            for _ in 0..ROUNDS {
                own.push(measure(&ours, &directory)?);
                theirs.push(measure(&programs, &directory)?);
            }
        }
    }
    let report = Report {
        machine: machine::description(),
        own: Figures::median(&own),
        other: (!theirs.is_empty()).then(|| Figures::median(&theirs)),
    };
    report.print(args.json);
    Ok(())
}
