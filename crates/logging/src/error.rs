//! Why there is no log as wanted.

use std::{io, path::PathBuf};

/// Why a log cannot be started or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The directives cannot be read.
    #[error(
        "`{directives}` is no log filter: use a level such as `debug`, or `target=level` pairs"
    )]
    Filter {
        /// What was given.
        directives: String,
        /// Where it went wrong.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// No file can be written.
    #[error("cannot write logs to {}", directory.display())]
    File {
        /// Where.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// This process logs already.
    #[error("the log was started already, or is over")]
    State,
}
