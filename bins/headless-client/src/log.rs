//! Logs on standard output and, if wanted, in a file. spec: client-app 8

use crate::host;
use logging::{Format, LogFault, LogFiles, Logging, Options, StdoutTime};
use std::{io, path::Path};

/// First part of the names of log files.
const BASE: &str = "firezone-headless-client";

/// Starts logging, until the value is dropped.
pub(crate) fn start(directives: &str, directory: Option<&Path>) -> Result<Logging, LogFault> {
    let create = |directory: &Path, base: &str, stamp: &str| {
        host::create_log_file(directory, base, stamp).map_err(io::Error::other)
    };
    logging::start(Options {
        base: BASE,
        directives: directives.to_owned(),
        format: Format::Text,
        stdout_time: StdoutTime::Shown,
        file: directory.map(|directory| LogFiles {
            directory: directory.to_owned(),
            create: Box::new(create),
        }),
    })
}
