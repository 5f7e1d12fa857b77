//! Log files that are there already.

use crate::{FileFault, imp};
use std::{io, path::Path, time::SystemTime};

/// A directory of log files. It stays the same one, whatever somebody puts into its place.
#[derive(Debug)]
pub struct LogDirectory(imp::log_files::LogDirectory);

/// What a directory of log files holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its name there.
    pub name: String,
    /// Whether it is a regular file, and not a link to one.
    pub is_file: bool,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed.
    pub changed: SystemTime,
}

impl LogDirectory {
    /// The directory at this place, links followed; none if there is none.
    ///
    /// # Errors
    ///
    /// When it is no directory, and those of the system.
    pub fn open(path: &Path) -> Result<Option<Self>, FileFault> {
        Ok(imp::log_files::LogDirectory::open(path)?.map(Self))
    }

    /// The directory at this place; none if there is none.
    ///
    /// # Errors
    ///
    /// When it is no directory, or a link to one; those of the system.
    pub fn open_itself(path: &Path) -> Result<Option<Self>, FileFault> {
        Ok(imp::log_files::LogDirectory::open_itself(path)?.map(Self))
    }

    /// What is in it. Links are entries of their own.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn entries(&self) -> io::Result<Vec<LogEntry>> {
        self.0.entries()
    }

    /// Removes a file or a link; success if it is gone already.
    ///
    /// # Errors
    ///
    /// Those of the system, and if it is a directory.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
}
