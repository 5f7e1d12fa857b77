//! What a program of the system has to know at its next start.

use crate::{FileFault, Group, files::check_length, imp};
use std::path::{Path, PathBuf};

/// A directory of small files that nobody but the administrator of the machine, or the user of this
/// process, can have written. Each of them is there whole, or what was there before is.
#[derive(Debug, Clone)]
pub struct StateDirectory {
    path: PathBuf,
}

impl StateDirectory {
    /// The directory at this place, whether it exists or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a file holds; none if it is missing.
    ///
    /// # Errors
    ///
    /// When others may have written it, when it is no regular file of at most 64 KiB and this one name,
    /// when reading fails.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FileFault> {
        imp::state::read(&self.path.join(name))
    }

    /// Writes a file in place of another one, readable by nobody else. The directory has to exist.
    ///
    /// # Errors
    ///
    /// When it is longer than [`StateDirectory::read`] takes, when it cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), FileFault> {
        check_length(&self.path.join(name), content)?;
        imp::state::write(&self.path, name, content)
    }

    /// Makes the directory if it is missing, and a file in it, unless there is one of this name.
    ///
    /// # Errors
    ///
    /// When the file exists, when it is longer than [`StateDirectory::read`] takes, when it cannot
    /// be written.
    pub fn write_new(&self, name: &str, content: &[u8]) -> Result<(), FileFault> {
        check_length(&self.path.join(name), content)?;
        imp::state::write_new(&self.path, name, content)
    }

    /// Makes the directory if it is missing, and lets members of a group look into it and read these
    /// files of it, as far as they exist. Nobody but the owner can write to any of them, before,
    /// meanwhile and afterwards.
    ///
    /// # Errors
    ///
    /// When the directory or a file is something else than this process made of it, such as a link,
    /// or belongs to somebody else.
    pub fn share(&self, group: &Group, files: &[&str]) -> Result<(), FileFault> {
        imp::state::share(&self.path, group, files)
    }
}
