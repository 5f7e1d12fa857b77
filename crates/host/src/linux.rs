//! Linux. What its items do stands in the modules of the crate's root that call them.

pub(crate) mod files;
pub(crate) mod help;
pub(crate) mod identity;
pub(crate) mod log_files;
pub(crate) mod places;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod service;
pub(crate) mod service_manager;
pub(crate) mod signals;
pub(crate) mod state;

use nix::{errno::Errno, unistd};
use std::io;

/// The number of a group.
pub(crate) type RawGroup = u32;

pub(crate) fn find_group(name: &str) -> io::Result<Option<RawGroup>> {
    match unistd::Group::from_name(name) {
        Ok(group) => Ok(group.map(|group| group.gid.as_raw())),
        Err(error) if means_absent(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a library says with this error that there is no such entry, or no list of them at all, as
/// in containers with a single program; see getgrnam(3).
fn means_absent(error: Errno) -> bool {
    matches!(
        error,
        Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name() {
        assert_eq!(find_group("root").unwrap(), Some(0));
        assert_eq!(find_group("no-such-group-here").unwrap(), None);
        assert!(means_absent(Errno::ENOENT) && !means_absent(Errno::EMFILE));
    }
}
