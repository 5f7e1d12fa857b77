//! What a command line says about itself: completions for shells, and a manual page, both from the
//! definition that also parses it.

use clap_complete::Shell;
use std::io::{self, ErrorKind, Write};

/// Writes completions for a shell.
///
/// # Errors
///
/// Those of the writer; one that has seen enough is none.
pub fn completions(command: &clap::Command, shell: Shell, out: impl Write) -> io::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command.clone(), command.get_name(), &mut text);
    write_all(out, &text)
}

/// Writes a manual page for section 1.
///
/// # Errors
///
/// Those of the writer; one that has seen enough is none.
pub fn page(command: &clap::Command, out: impl Write) -> io::Result<()> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    write_all(out, &text)
}

/// The other end of a pipe may have seen enough.
fn write_all(mut out: impl Write, text: &[u8]) -> io::Result<()> {
    match out.write_all(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that is gone, or a disk that is full.
    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn command() -> clap::Command {
        clap::Command::new("example").arg(clap::Arg::new("option").long("some-option"))
    }

    #[test]
    fn every_shell_learns_the_options() {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let mut text = Vec::new();
            completions(&command(), shell, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("some-option"), "{shell}: {text}");
        }
    }

    #[test]
    fn only_a_reader_that_is_gone_is_no_error() {
        assert!(page(&command(), Broken(ErrorKind::BrokenPipe)).is_ok());
        assert!(page(&command(), Broken(ErrorKind::StorageFull)).is_err());
    }
}
