//! Logs on standard output and, if wanted, in a file. spec: client-app 8

use crate::cli;
use cli_support::{LOG_FILTER, log_files};
use logging::{LogError, Logging, Options, StdoutTime};

/// First part of the names of log files.
const BASE: &str = "firezone-headless-client";

/// Starts logging, until the value is dropped.
pub(crate) fn start(options: &cli::Options) -> Result<Logging, LogError> {
    let flags = &options.log;
    logging::start(Options {
        base: BASE,
        directives: flags.log_filter.as_deref().unwrap_or(LOG_FILTER).to_owned(),
        format: flags.log_format,
        stdout_time: if host::service::stamps_output() {
            StdoutTime::Omitted
        } else {
            StdoutTime::Shown
        },
        file: flags.log_dir.clone().map(log_files),
    })
}
