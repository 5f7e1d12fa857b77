//! How this process is treated by the system, and what it is told.

use crate::imp;
use std::{io, time::Duration};

/// Has the system write no core dump of this process, which would hold its secrets. To be called
/// first thing in `main`. Best effort.
pub fn forbid_core_dumps() {
    imp::process::forbid_core_dumps();
}

/// Keeps this process's memory in small pages. To be called first thing in `main`. Best effort.
///
/// Where the system hands out huge pages, each corner of the heap that is touched costs 2 MiB: a
/// client that uses 5 MiB seems to use 20.
pub fn use_small_pages() {
    imp::process::use_small_pages();
}

/// Raises the system's limits of socket buffers to this many bytes, where it has any.
///
/// # Errors
///
/// When the system refuses; this takes the administrator.
pub fn raise_socket_buffer_limits(bytes: usize) -> io::Result<()> {
    imp::process::raise_socket_buffer_limits(bytes)
}

/// Whether this process acts as the administrator of the machine. [`crate::help::ADMINISTRATOR`]
/// says how to become that.
pub fn is_administrator() -> bool {
    imp::process::is_administrator()
}

/// How long the machine is up.
pub fn uptime() -> Duration {
    imp::process::uptime()
}
