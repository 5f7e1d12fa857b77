//! `cargo xtask bench tunnel`: throughput, processor time, memory and latencies of the client.

mod cipher;
mod machine;
mod measure;
mod report;

use crate::{
    binaries::{Binaries, Others, Profile, other},
    interrupt, requirements,
};
use anyhow::Result;
use devnet::internet::{self, Programs, RunDirectory};
use measure::{Figures, measure};
use report::Report;
use std::{path::PathBuf, time::Duration};

/// How often each client is measured when two are compared.
const ROUNDS: usize = 2;

/// Options of `cargo xtask bench tunnel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measure this client, too, taking turns, and print ratios.
    #[arg(long, value_name = "PATH")]
    versus: Option<PathBuf>,

    #[command(flatten)]
    others: Others,

    /// How long each transfer lasts.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    internet::become_root()?;
    requirements::require(true)?;
    let mut ours = Binaries::build(Profile::Release)?.programs();
    args.others.replace(&mut ours)?;
    let directory = RunDirectory::new()?;
    interrupt::end_on_signals(directory.path().to_owned())?;
    let time = Duration::from_secs(args.seconds);
    let round = |programs: &Programs| measure(programs, &directory, time);
    let mut own = Vec::new();
    let mut theirs = Vec::new();
    match &args.versus {
        None => own.push(round(&ours)?),
        Some(path) => {
            let programs = Programs {
                client: other(path)?,
                ..ours.clone()
            };
            for _ in 0..ROUNDS {
                own.push(round(&ours)?);
                theirs.push(round(&programs)?);
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
