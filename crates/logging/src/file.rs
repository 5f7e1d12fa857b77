//! The file that is written to, and the ones that follow it. spec: client-app 8.3

use crate::{listing::Listing, options::LogFiles, time::file_stamp};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    time::SystemTime,
};

/// Size at which a file is followed by another one.
const MAX_FILE: u64 = 25 * 1024 * 1024;

/// The files of a program, one after the other.
pub(crate) struct LogFile {
    base: &'static str,
    files: LogFiles,
    max: u64,
    open: Option<Open>,
}

struct Open {
    file: File,
    path: PathBuf,
    stamp: String,
    size: u64,
}

impl LogFile {
    pub(crate) fn new(base: &'static str, files: LogFiles) -> Self {
        Self {
            base,
            files,
            max: MAX_FILE,
            open: None,
        }
    }

    pub(crate) fn base(&self) -> &'static str {
        self.base
    }

    /// Opens the directory, to look for old files.
    pub(crate) fn listing(&self) -> io::Result<Option<Box<dyn Listing>>> {
        (self.files.open)(&self.files.directory)
    }

    /// The file in use, which is made if need be.
    pub(crate) fn path(&mut self) -> io::Result<PathBuf> {
        self.current(&file_stamp(SystemTime::now()))
            .map(|open| open.path.clone())
    }

    /// Appends whole lines; whether that began another file.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<bool> {
        let before = self.open.as_ref().map(|open| open.stamp.clone());
        let open = self.current(&file_stamp(SystemTime::now()))?;
        let is_new = before.is_some_and(|stamp| stamp != open.stamp);
        let written = open.file.write_all(lines);
        open.size += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        if written.is_err() {
            self.open = None;
        }
        written.map(|()| is_new)
    }

    /// The open file, unless it is full or somebody removed it.
    fn current(&mut self, stamp: &str) -> io::Result<&mut Open> {
        let is_fit = self.open.as_ref().is_some_and(|open| {
            // Names have seconds: a second file within the same one would be the same file.
            let is_full = open.size >= self.max && open.stamp != stamp;
            !is_full && fs::symlink_metadata(&open.path).is_ok()
        });
        if !is_fit {
            self.open = None;
        }
        match &mut self.open {
            Some(open) => Ok(open),
            none => {
                let LogFiles {
                    directory, create, ..
                } = &mut self.files;
                let file = create(directory, self.base, stamp)?;
                Ok(none.insert(Open {
                    size: file.metadata()?.len(),
                    file,
                    path: directory.join(format!("{}.{stamp}.log", self.base)),
                    stamp: stamp.to_owned(),
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::OpenOptions, path::Path};
    use tempfile::TempDir;

    fn create(directory: &Path, base: &str, stamp: &str) -> io::Result<File> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{base}.{stamp}.log"));
        OpenOptions::new().append(true).create(true).open(path)
    }

    /// A log, and its folder.
    fn log_file(max: u64) -> (LogFile, TempDir) {
        let directory = TempDir::new().unwrap();
        let files = LogFiles {
            directory: directory.path().join("logs"),
            create: Box::new(create),
            open: Box::new(|_| Ok(None)),
        };
        let log = LogFile {
            max,
            ..LogFile::new("base", files)
        };
        (log, directory)
    }

    #[test]
    fn a_full_file_is_followed_by_another_one() {
        let (mut log, _directory) = log_file(4);
        for (stamp, lines, path) in [
            ("1", "four", "base.1.log"),
            ("1", "same second", "base.1.log"),
            ("2", "new", "base.2.log"),
            ("3", "fits", "base.2.log"),
            ("4", "", "base.4.log"),
        ] {
            let open = log.current(stamp).unwrap();
            assert!(
                open.path.ends_with(path),
                "{stamp}: {}",
                open.path.display()
            );
            open.size += u64::try_from(lines.len()).unwrap();
        }
    }

    #[test]
    fn a_file_that_was_removed_is_made_anew() {
        let (mut log, _directory) = log_file(MAX_FILE);
        let first = log.current("1").unwrap().path.clone();
        fs::remove_dir_all(&log.files.directory).unwrap();
        let second = log.current("2").unwrap().path.clone();
        assert_ne!(first, second);
        assert!(second.exists());
    }
}
