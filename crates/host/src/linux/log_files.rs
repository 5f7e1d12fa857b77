//! Log files on Linux: mode 0640, in a directory that may belong to somebody else.
//!
//! Whoever owns the directory can put anything into it and swap it at any time. So everything goes
//! through a descriptor of it, and lines only into a file that has this one name and was made by us or
//! by root.

use super::files::{is_trusted, make_directory, remove};
use crate::{FileFault, LogEntry, fault::os};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::Path,
    time::{Duration, SystemTime},
};

/// For the owner, and for its group to read.
const MODE: Mode = Mode::from_raw_mode(0o640);

pub(crate) fn create(directory: &Path, base: &str, stamp: &str) -> Result<File, FileFault> {
    make_directory(directory, 0o755)?;
    let name = format!("{base}.{stamp}.log");
    let held = open_directory(directory).map_err(|source| os("open", directory, source))?;
    let path = directory.join(&name);
    let file = open_file(&held, &name).map_err(|error| match error {
        Errno::LOOP | Errno::NXIO | Errno::ISDIR => FileFault::Kind(path.clone()),
        error => os("create", &path, error),
    })?;
    let found = file.metadata();
    let found = found.map_err(|source| os("examine", &path, source))?;
    if !found.is_file() || found.nlink() != 1 || !is_trusted(found.uid()) {
        return Err(FileFault::Kind(path));
    }
    let set = rustix::fs::fchmod(&file, MODE);
    set.map_err(|source| os("set the mode of", &path, source))?;
    if let Err(error) = point_latest(&held, base, &name) {
        tracing::debug!(%error, "No link leads to the latest log file");
    }
    Ok(file)
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

/// Opens a file to append to it, and makes it if it is missing. Nobody who reads a pipe is waited for.
fn open_file(directory: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, MODE).map(File::from)
}

fn point_latest(directory: impl AsFd, base: &str, name: &str) -> io::Result<()> {
    let link = format!("{base}.latest");
    remove(&directory, link.as_ref())?;
    Ok(rustix::fs::symlinkat(name, &directory, &link)?)
}

/// A directory of log files, by its descriptor.
#[derive(Debug)]
pub(crate) struct LogDirectory(OwnedFd);

impl LogDirectory {
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, FileFault> {
        Self::from_opened(path, open_directory(path))
    }

    pub(crate) fn open_itself(path: &Path) -> Result<Option<Self>, FileFault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::from_opened(path, rustix::fs::openat(CWD, path, flags, Mode::empty()))
    }

    fn from_opened(path: &Path, opened: Result<OwnedFd, Errno>) -> Result<Option<Self>, FileFault> {
        match opened {
            Ok(held) => Ok(Some(Self(held))),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(FileFault::NoDirectory(path.to_owned())),
            Err(source) => Err(os("open", path, source)),
        }
    }

    pub(crate) fn entries(&self) -> io::Result<Vec<LogEntry>> {
        let mut entries = vec![];
        for found in Dir::read_from(&self.0)? {
            let name = found?.file_name().to_owned();
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            // What is gone by now, and names that are no text, are no logs.
            if let (Ok(name), Ok(stat)) =
                (name.to_str(), rustix::fs::statat(&self.0, &*name, flags))
            {
                entries.push(entry(name, &stat));
            }
        }
        entries.retain(|entry| ![".", ".."].contains(&entry.name.as_str()));
        Ok(entries)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        if name.contains('/') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        remove(&self.0, name.as_ref())
    }
}

fn entry(name: &str, stat: &Stat) -> LogEntry {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let kind = FileType::from_raw_mode(stat.st_mode);
    LogEntry {
        name: name.to_owned(),
        is_file: kind == FileType::RegularFile,
        is_directory: kind == FileType::Directory,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        changed: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
    }
}

#[cfg(test)]
mod tests;
