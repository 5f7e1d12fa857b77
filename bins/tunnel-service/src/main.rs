//! `firezone-client-tunnel`: runs the tunnel on behalf of a GUI.
//!
//! Three steps: raw flags ([`cli`]), the machine ([`this_machine`]), [`run`]; or [`ctl`], the GUI for
//! shells.

mod cli;
mod ctl;
mod run;
mod store;
mod this_machine;
mod token;

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli_support::harden();
    // Neither the service nor its children have any use for a headless client's.
    drop(cli_support::take_token());
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        cli::Command::Ctl(ctl) => return ctl::run(ctl, &cli.runtime_dir),
        cli::Command::Install => host::service::install().map_err(Into::into),
        cli::Command::Completions { shell } => {
            cli_support::completions(&cli::Cli::command(), shell, std::io::stdout())
                .map_err(Into::into)
        }
        cli::Command::Manual => {
            cli_support::page(&cli::Cli::command(), std::io::stdout()).map_err(Into::into)
        }
        command => {
            let is_service = matches!(command, cli::Command::Run);
            let body = move || run::run(&cli.service, &cli.runtime_dir, command);
            match is_service {
                true => host::service::run(body).map_err(Into::into).flatten(),
                false => body(),
            }
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli_support::report(error),
    }
}

/// Help is success on standard output; wrong usage fails like everything else. spec: client-app 17
fn usage(error: &clap::Error) -> ExitCode {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let printed = error.print();
    match is_help && printed.is_ok() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
