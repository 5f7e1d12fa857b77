//! `cargo xtask bench tunnel`: throughput, processor time, memory and latencies of the client.

mod cipher;
mod measure;

use super::comparison;
use anyhow::Result;
use std::time::Duration;

/// Options of `cargo xtask bench tunnel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    comparison: comparison::Options,

    /// How long each transfer lasts.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let time = Duration::from_secs(args.seconds);
    comparison::run(&args.comparison, |programs, directory| {
        measure::measure(programs, directory, time)
    })
}
