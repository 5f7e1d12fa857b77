//! Logs on standard output and, if wanted, in a file. spec: client-app 8

use crate::cli;
use logging::{LogFault, LogFiles, Logging, Options, StdoutTime};
use std::{io, path::Path};

/// First part of the names of log files.
const BASE: &str = "firezone-headless-client";

/// Starts logging, until the value is dropped.
pub(crate) fn start(options: &cli::Options) -> Result<Logging, LogFault> {
    let create = |directory: &Path, base: &str, stamp: &str| {
        host::create_log_file(directory, base, stamp).map_err(io::Error::other)
    };
    logging::start(Options {
        base: BASE,
        directives: options.log_filter.clone(),
        format: options.log_format,
        stdout_time: if host::service::stamps_output() {
            StdoutTime::Omitted
        } else {
            StdoutTime::Shown
        },
        file: options.log_dir.clone().map(|directory| LogFiles {
            directory,
            create: Box::new(create),
        }),
    })
}
