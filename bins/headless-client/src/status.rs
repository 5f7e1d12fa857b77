//! How the running client is doing, reported over a local socket to whoever may ask.

mod names;
mod query;
mod report;
mod server;
mod view;

pub(crate) use query::run;
pub(crate) use report::{Program, Report};
pub(crate) use server::Server;

use std::path::PathBuf;

/// The socket's name in its directory.
const NAME: &str = "status";

/// Longest report that is read, in bytes: some thousand resources.
const MAX_REPORT: u64 = 16 * 1024 * 1024;

/// Where the socket is.
pub(crate) fn socket() -> PathBuf {
    local_socket::path_in(&host::places::client_sockets(), NAME)
}
