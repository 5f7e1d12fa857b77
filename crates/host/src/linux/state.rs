//! The directory of a program's state on Linux: 0750, with files of mode 0600, or 0640 if shared.

use super::files::{
    self, CLOSE_TO_WRITERS, Links, Making, Owner, Present, WRITABLE, is_trusted, permissions,
    stranger,
};
use crate::{FileFault, Group, fault::os};
use rustix::{
    fs::{CWD, FileType, Gid, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::DirBuilder,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::Path,
};

const DIRECTORY: u32 = 0o750;
const SHARED: u32 = 0o640;
const PRIVATE: u32 = 0o600;

pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileFault> {
    let Some((file, metadata)) = files::open(path, Links::Refuse)? else {
        return Ok(None);
    };
    if !is_trusted(metadata.uid()) {
        return Err(stranger(path));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(permissions(path, WRITABLE, CLOSE_TO_WRITERS));
    }
    files::read_all(file, &metadata, path).map(Some)
}

/// Reads a file that is no secret, and sees to it that others cannot write it.
pub(crate) fn read_shared(path: &Path) -> Result<Option<Vec<u8>>, FileFault> {
    let Some((file, metadata)) = files::open(path, Links::Refuse)? else {
        return Ok(None);
    };
    // What has another name may be another program's.
    if metadata.is_file() && metadata.nlink() == 1 {
        // A service without root's rights may not own it.
        if let Err(error) = rustix::fs::fchmod(&file, Mode::from_raw_mode(SHARED)) {
            tracing::debug!(%error, "The file keeps its mode");
        }
    }
    files::read_all(file, &metadata, path).map(Some)
}

pub(crate) fn write(directory: &Path, name: &str, content: &[u8]) -> Result<(), FileFault> {
    let making = Making {
        mode: PRIVATE,
        owner: Owner::Writer,
        present: Present::Replace,
    };
    put(directory, name, content, making)
}

pub(crate) fn write_new(directory: &Path, name: &str, content: &[u8]) -> Result<(), FileFault> {
    let made = open_made(directory)?;
    set_mode(&made, DIRECTORY, directory)?;
    let making = Making {
        mode: SHARED,
        owner: Owner::Writer,
        present: Present::Keep,
    };
    put(directory, name, content, making)
}

fn put(directory: &Path, name: &str, content: &[u8], making: Making) -> Result<(), FileFault> {
    let written = files::put(directory, OsStr::new(name), content, making);
    written.map_err(|source| os("write", &directory.join(name), source))
}

pub(crate) fn share(path: &Path, group: &Group, names: &[&str]) -> Result<(), FileFault> {
    let directory = open_made(path)?;
    let found = rustix::fs::fstat(&directory).map_err(|source| os("examine", path, source))?;
    if !is_trusted(found.st_uid) {
        return Err(stranger(path));
    }
    // From here on nobody else puts anything in there, also where the group could before.
    give(&directory, DIRECTORY, group, path)?;
    for name in names {
        let path = path.join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&directory, *name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => continue,
            Err(Errno::LOOP) => return Err(FileFault::Kind(path)),
            Err(source) => return Err(os("open", &path, source)),
        };
        let found = rustix::fs::fstat(&file).map_err(|source| os("examine", &path, source))?;
        check(&found, &path)?;
        give(&file, SHARED, group, &path)?;
    }
    Ok(())
}

/// Whether a file can only be one that this program, or root, put there under no other name.
fn check(file: &Stat, path: &Path) -> Result<(), FileFault> {
    if FileType::from_raw_mode(file.st_mode) != FileType::RegularFile || file.st_nlink != 1 {
        return Err(FileFault::Kind(path.to_owned()));
    }
    match is_trusted(file.st_uid) {
        true => Ok(()),
        false => Err(stranger(path)),
    }
}

/// Lets a group in. The mode comes first: at no time can the group do more than it allows.
fn give(file: impl AsFd, mode: u32, group: &Group, path: &Path) -> Result<(), FileFault> {
    let file = file.as_fd();
    set_mode(file, mode, path)?;
    let given = rustix::fs::fchown(file, None, Some(Gid::from_raw(*group.raw())));
    given.map_err(|source| os("set the group of", path, source))
}

fn set_mode(file: impl AsFd, mode: u32, path: &Path) -> Result<(), FileFault> {
    let set = rustix::fs::fchmod(file, Mode::from_raw_mode(mode));
    set.map_err(|source| os("set the mode of", path, source))
}

/// Makes a directory if it is missing, and opens it.
fn open_made(path: &Path) -> Result<OwnedFd, FileFault> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(DIRECTORY).create(path);
    made.map_err(|source| os("create", path, source))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, path, flags, Mode::empty());
    opened.map_err(|source| os("open", path, source))
}

#[cfg(test)]
mod tests;
