//! Completions and the manual page, from the definition of the command line.

use crate::cli::Cli;
use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::{self, ErrorKind, Write as _};

/// Prints completions.
pub(crate) fn completions(shell: Shell) -> Result<()> {
    let mut text = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut text);
    print(&text)
}

/// Prints the manual page.
pub(crate) fn page() -> Result<()> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text)?;
    print(&text)
}

fn print(text: &[u8]) -> Result<()> {
    match io::stdout().write_all(text) {
        // The other end of a pipe has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
