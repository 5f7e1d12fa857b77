//! How Linux treats this process.

use rustix::process::{DumpableBehavior, geteuid, set_dumpable_behavior};
use std::{fs, io, time::Duration};

pub(crate) fn use_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "Huge pages stay on");
    }
}

pub(crate) fn forbid_core_dumps() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::debug!(%error, "Core dumps stay on");
    }
}

pub(crate) fn raise_socket_buffer_limits(bytes: usize) -> io::Result<()> {
    for limit in ["rmem_max", "wmem_max"] {
        let path = format!("/proc/sys/net/core/{limit}");
        let now: usize = fs::read_to_string(&path)?.trim().parse().unwrap_or(0);
        if now < bytes {
            fs::write(&path, bytes.to_string())?;
        }
    }
    Ok(())
}

pub(crate) fn is_administrator() -> bool {
    geteuid().is_root()
}

pub(crate) fn uptime() -> Duration {
    let seconds = rustix::system::sysinfo().uptime;
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
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
