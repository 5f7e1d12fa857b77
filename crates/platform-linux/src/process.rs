//! How this process is treated by the system.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::{fs, io};

/// Keeps this process's memory in small pages. To be called first thing in `main`.
///
/// Where the system hands out huge pages, each corner of the heap that is touched costs 2 MiB: a
/// client that uses 5 MiB seems to use 20.
pub fn use_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "Huge pages stay on");
    }
}

/// Has the system write no core dump of this process, which would hold its secrets. To be called
/// first thing in `main`.
pub fn forbid_core_dumps() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::debug!(%error, "Core dumps stay on");
    }
}

/// Raises the system's limits of socket buffers to this many bytes; needs root.
///
/// # Errors
///
/// When the system refuses.
pub fn raise_socket_buffer_limits(bytes: usize) -> io::Result<()> {
    for limit in ["rmem_max", "wmem_max"] {
        let path = format!("/proc/sys/net/core/{limit}");
        let now: usize = fs::read_to_string(&path)?.trim().parse().unwrap_or(0);
        if now < bytes {
            fs::write(&path, bytes.to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_dumps_are_off_afterwards() {
        forbid_core_dumps();
        let behavior = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(behavior, DumpableBehavior::NotDumpable);
    }

    #[test]
    fn huge_pages_are_off_afterwards() {
        use_small_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}
