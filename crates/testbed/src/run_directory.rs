//! Where the files of a run are.

use super::fault::{Context as _, Fault};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

const PREFIX: &str = "firezone-devnet-";

/// Held while a run lasts.
const LOCK: &str = "lock";

/// Says that a run is over and somebody may want to read its logs.
const KEPT: &str = "kept";

/// A directory for logs, sockets and configuration of one run. It is removed with the value, or,
/// if that cannot happen, when the next one is made.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    keep: bool,
    _lock: File,
}

impl RunDirectory {
    /// Makes a directory that nobody else can read, and removes those of runs that were killed.
    ///
    /// # Errors
    ///
    /// When the directory for temporary files cannot be used.
    pub fn new() -> Result<Self, Fault> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let parent = std::env::temp_dir();
        remove_stale(&parent);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let path = parent.join(name);
        let make = || -> io::Result<File> {
            DirBuilder::new().mode(0o700).create(&path)?;
            let lock = File::create(path.join(LOCK))?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            fs::create_dir(path.join("logs"))?;
            Ok(lock)
        };
        let lock = make().context(|| format!("make {}", path.display()))?;
        Ok(Self {
            path,
            keep: false,
            _lock: lock,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the programs' logs.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Leaves the directory there: something failed, and its logs may say why.
    pub fn keep(&mut self) {
        self.keep = fs::write(self.path.join(KEPT), "").is_ok();
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if !self.keep {
            // The next start removes what is left.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

/// Removes our own directories that no run holds and nobody wants to read.
fn remove_stale(parent: &Path) {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let ours = entry
            .metadata()
            .is_ok_and(|m| m.is_dir() && m.uid() == user);
        if !named || !ours || path.join(KEPT).exists() {
            continue;
        }
        let stale = File::open(path.join(LOCK))
            .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
        if stale {
            // Another start may have been faster.
            drop(fs::remove_dir_all(&path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_end_with_their_run_unless_they_are_kept() {
        let first = RunDirectory::new().unwrap();
        let path = first.path().to_owned();
        let mut second = RunDirectory::new().unwrap();
        assert!(path.join("logs").is_dir(), "a running one is not stale");
        drop(first);
        assert!(!path.exists());
        second.keep();
        let path = second.path().to_owned();
        drop(second);
        remove_stale(path.parent().unwrap());
        assert!(path.exists(), "kept");
        fs::remove_file(path.join(KEPT)).unwrap();
        remove_stale(path.parent().unwrap());
        assert!(!path.exists(), "stale");
    }
}
