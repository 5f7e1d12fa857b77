//! `cargo xtask`: says what tasks there are and what is about to happen, then has cargo build and run
//! the task.

use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    process::{Command, ExitCode},
};
use xtask_launcher::{is_of_package, overview, purpose};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let is_question = |argument: &OsString| ["-h", "--help", "help"].iter().any(|q| argument == q);
    if arguments.iter().take(1).all(is_question) && arguments.len() <= 1 {
        // Whoever reads no further is served, too.
        write!(io::stdout(), "{}", overview()).ok();
        return ExitCode::SUCCESS;
    }
    announce(&arguments);
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let names = env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| is_of_package(name)) {
        command.env_remove(name);
    }
    command
        .args(["run", "--package", "xtask", "--"])
        .args(arguments);
    let Err(error) = replace(&mut command);
    say(&format!("Error: cannot run cargo: {error}"));
    ExitCode::FAILURE
}

/// Tells on standard error what the task is, because the first build takes a while.
fn announce(arguments: &[OsString]) {
    let name = arguments.first().and_then(|name| name.to_str());
    if let Some(purpose) = name.and_then(purpose) {
        say(&format!(
            "{purpose}. First cargo builds the task, as far as it is not there yet:"
        ));
    }
}

fn say(line: &str) {
    // Without standard error there is nobody to tell.
    writeln!(io::stderr(), "{line}").ok();
}

/// Lets the command take the place of this process, so that signals reach it.
#[cfg(unix)]
fn replace(command: &mut Command) -> Result<std::convert::Infallible, io::Error> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec())
}

/// Runs the command and ends as it does.
#[cfg(not(unix))]
fn replace(command: &mut Command) -> Result<std::convert::Infallible, io::Error> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(1))
}
