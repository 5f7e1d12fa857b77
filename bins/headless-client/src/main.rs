//! `firezone-headless-client`: a Firezone client that runs alone.
//!
//! Three steps: raw flags ([`cli`]), resolved settings ([`settings`]), [`run`].

mod account;
mod check;
mod cli;
mod log;
mod run;
mod settings;
mod status;
mod token;

use clap::{CommandFactory as _, Parser as _};
use cli::{Cli, Command};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli_support::harden();
    let cli = Cli::parse();
    match start(&cli) {
        Ok(code) => code,
        Err(error) => cli_support::report(error),
    }
}

fn start(cli: &Cli) -> anyhow::Result<ExitCode> {
    let options = &cli.options;
    let token_file = || {
        options
            .token_path
            .clone()
            .unwrap_or_else(host::places::token)
    };
    match &cli.command {
        Some(Command::SignIn(sign_in)) => account::sign_in(sign_in, &token_file())?,
        Some(Command::SignOut(sign_out)) => account::sign_out(sign_out, &token_file())?,
        Some(Command::Status(status)) => return status::run(status),
        Some(Command::Completions { shell }) => {
            cli_support::completions(&Cli::command(), *shell, std::io::stdout())?;
        }
        Some(Command::Manual) => cli_support::page(&Cli::command(), std::io::stdout())?,
        None | Some(Command::Standalone(_)) => {
            // Before any thread starts: children and crash dumps must not see the token.
            let token = cli_support::take_token();
            let _logging = log::start(options)?;
            tracing::info!(
                arch = std::env::consts::ARCH,
                os = std::env::consts::OS,
                version = env!("CARGO_PKG_VERSION"),
                "Starting"
            );
            options.log_options();
            if cli.early().check {
                check::run(options, token)?;
            } else {
                run::run(cli, token)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
