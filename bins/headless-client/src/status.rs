//! How the running client is doing, told to whoever may ask over a local socket.

mod names;
mod query;
mod report;
mod server;
mod view;

pub(crate) use query::run;
pub(crate) use report::{Program, Report};
pub(crate) use server::{accept, listen, tell};

use crate::environment;
use std::path::PathBuf;

/// Where the socket is when the service manager says nothing.
const DIRECTORY: &str = "/run/firezone-headless-client";

/// The socket's name in its directory.
const NAME: &str = "status.sock";

/// Longest report that is read, in bytes: some thousand resources.
const MAX_REPORT: u64 = 16 * 1024 * 1024;

/// Where the socket is.
fn socket() -> PathBuf {
    environment::runtime_directory()
        .unwrap_or_else(|| DIRECTORY.into())
        .join(NAME)
}
