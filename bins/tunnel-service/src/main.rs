//! `firezone-client-tunnel`: runs the tunnel on behalf of a GUI.
//!
//! Three steps: raw flags ([`cli`]), the machine ([`linux`]), [`run`]; or [`ctl`], the GUI for
//! shells.

mod cli;
mod ctl;
mod linux;
mod run;
mod store;
mod token;

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use platform_linux as host;
use std::{io::Write as _, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The variable that holds a headless client's token. spec: client-app 4
const TOKEN: &str = "FIREZONE_TOKEN";

fn main() -> ExitCode {
    host::forbid_core_dumps();
    host::use_small_pages();
    forget_token();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        cli::Command::Ctl(ctl) => return ctl::run(ctl, &cli.runtime_dir),
        cli::Command::Install => Err(anyhow::anyhow!(
            "installing a service is for Windows; on Linux a unit of systemd starts `run`"
        )),
        cli::Command::Completions { shell } => {
            manual::completions(&cli::Cli::command(), shell, std::io::stdout()).map_err(Into::into)
        }
        cli::Command::Manual => {
            manual::page(&cli::Cli::command(), std::io::stdout()).map_err(Into::into)
        }
        command => run::run(&cli.service, &cli.runtime_dir, command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// Services started by hand may inherit it; neither they nor their children have any use for it.
fn forget_token() {
    #[expect(unsafe_code, reason = "the standard library offers no safe way")]
    // SAFETY: No other thread exists yet that could read the environment meanwhile.
    unsafe {
        std::env::remove_var(TOKEN);
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

/// One line on standard error: what happened, and why, outermost first.
fn report(error: &anyhow::Error) -> ExitCode {
    // If there is no standard error, there is nobody to tell.
    writeln!(std::io::stderr(), "Error: {error:#}").ok();
    ExitCode::FAILURE
}
