//! `cargo xtask bench dns`: speed, processor time and memory of the client's stub resolver.

mod dnsperf;
mod measure;

use super::comparison;
use anyhow::Result;
use std::time::Duration;

/// Options of `cargo xtask bench dns`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    comparison: comparison::Options,

    /// How long each load lasts.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    dnsperf::require()?;
    let time = Duration::from_secs(args.seconds);
    comparison::run(&args.comparison, |programs, directory| {
        measure::measure(programs, directory, time)
    })
}
