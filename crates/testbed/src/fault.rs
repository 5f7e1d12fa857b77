//! What can go wrong with a testbed.

use std::{io, path::PathBuf};

/// Why a testbed, a program in it or a check did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A check did not find what it expected.
    #[error("{0}")]
    Check(String),
    /// A check failed at the socket.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: String,
        /// What the system says.
        source: io::Error,
    },
    /// Something that a testbed needs is not there.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// What to do about it.
        remedy: String,
    },
    /// A program of the testbed did not do what it should.
    #[error("{name} {what}; its log is {}", log.display())]
    Program {
        /// Which.
        name: String,
        /// What it did or did not.
        what: String,
        /// Where it logs to.
        log: PathBuf,
    },
}

/// Says what was tried.
pub(crate) trait Context<T> {
    fn context(self, action: impl FnOnce() -> String) -> Result<T, Fault>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, action: impl FnOnce() -> String) -> Result<T, Fault> {
        self.map_err(|source| Fault::Io {
            action: action(),
            source: source.into(),
        })
    }
}
