//! A directory of log files, as far as old ones have to go.

use std::{io, time::SystemTime};

/// The entries of one directory. It stays the same one while the value lives, also if somebody puts
/// another one into its place.
pub trait Listing {
    /// What is in it.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn entries(&self) -> io::Result<Vec<Entry>>;

    /// Removes a file or a link; success if it is gone already.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// Something in a directory. Links are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed.
    pub changed: SystemTime,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    /// A directory by its path.
    pub(crate) struct Plain(PathBuf);

    impl Plain {
        pub(crate) fn new(path: &Path) -> Self {
            Self(path.to_owned())
        }
    }

    impl Listing for Plain {
        fn entries(&self) -> io::Result<Vec<Entry>> {
            let entries = fs::read_dir(&self.0)?.map(|entry| {
                let entry = entry?;
                let metadata = entry.metadata()?;
                Ok(Entry {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    is_file: metadata.is_file(),
                    is_directory: metadata.is_dir(),
                    size: metadata.len(),
                    changed: metadata.modified()?,
                })
            });
            entries.collect()
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            fs::remove_file(self.0.join(name))
        }
    }
}
