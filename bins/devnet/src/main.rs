//! `firezone-devnet`: the parties of a Firezone network besides the client, for development,
//! and a testbed of network namespaces to run them in.

mod cli;
mod run;
mod up;

use clap::Parser as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    host::use_small_pages();
    let cli = cli::Cli::parse_from(cli::arguments(std::env::args_os()));
    match run::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "this is where errors of the program go"
)]
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("Error: {error:#}");
    ExitCode::FAILURE
}
