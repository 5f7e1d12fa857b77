//! `firezone-headless-client`: a Firezone client that runs alone.
//!
//! Three steps: raw flags ([`cli`]), resolved settings ([`settings`]), [`run`].

mod cli;
mod duration;
mod environment;
mod log;
mod run;
mod settings;
mod token;

use clap::Parser as _;
use platform_linux as host;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    host::use_small_pages();
    let cli = cli::Cli::parse();
    // Before any thread starts: children and crash dumps must not see the token.
    let token = environment::take_token();
    match run::run(cli, token) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// One line on standard error: what happened, and why, outermost first.
#[expect(
    clippy::print_stderr,
    reason = "this is where errors of the program go"
)]
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("Error: {error:#}");
    ExitCode::FAILURE
}
