//! `cargo xtask test`: every check and every test, in one order, on one machine.
//!
//! A missing tool is installed or named before anything is built, so that no test can be left out
//! unnoticed.

mod needs;
mod steps;
mod unpack;

use crate::{progress::say, windows};
use anyhow::{Result, bail};
use std::time::{Duration, Instant};
use steps::{Step, Work};

/// Options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only name what is missing, and install nothing.
    #[arg(long)]
    no_install: bool,

    /// Only check and test what is for Windows, and say what ran and what is only type-checked.
    #[arg(long)]
    windows: bool,
}

/// Runs all steps; stops at the first that fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let steps = if args.windows {
        windows::toolchain::provide(!args.no_install)?;
        steps::windows()
    } else {
        needs::provide(!args.no_install)?;
        steps::all()
    };
    let started_at = Instant::now();
    for (index, step) in steps.iter().enumerate() {
        say(&format!("[{}/{}] {}", index + 1, steps.len(), step.name));
        let began_at = Instant::now();
        if let Err(error) = perform(step) {
            say(&line("failed", step.name, began_at.elapsed()));
            return Err(error);
        }
        say(&line("ok", step.name, began_at.elapsed()));
    }
    say(&line("ok", "everything", started_at.elapsed()));
    Ok(())
}

fn perform(step: &Step) -> Result<()> {
    match &step.work {
        Work::Cargo(cargo) => {
            say(&format!("      {cargo}"));
            let status = cargo.command().status()?;
            if !status.success() {
                bail!("{}: `{cargo}` failed with {status}", step.name);
            }
            Ok(())
        }
        Work::Task(task) => task(),
    }
}

fn line(outcome: &str, name: &str, took: Duration) -> String {
    format!("{outcome:6} {name} in {:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_ends_with_a_line_of_its_time() {
        let took = Duration::from_millis(1234);
        assert_eq!(line("ok", "format", took), "ok     format in 1.2 s");
    }

    #[test]
    fn a_step_that_fails_says_what_it_ran() {
        let step = Step::cargo("nonsense", "no-such-command --locked");
        let error = perform(&step).unwrap_err().to_string();
        assert!(
            error.starts_with("nonsense: `cargo no-such-command --locked` failed"),
            "{error}"
        );
    }
}
