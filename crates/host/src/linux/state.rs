//! The directory of a program's state on Linux: 0750, with files of mode 0600, or 0640 if shared.

use super::files::{
    self, CLOSE_TO_WRITERS, Links, Making, Owner, Present, WRITABLE, is_trusted, permissions,
    stranger,
};
use crate::{FileFault, Group, fault::os};
use rustix::{
    fs::{CWD, Gid, Mode, OFlags},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::{File, Metadata},
    os::{fd::AsFd, unix::fs::MetadataExt as _},
    path::Path,
};

const DIRECTORY: u32 = 0o750;
const SHARED: u32 = 0o640;
const PRIVATE: u32 = 0o600;

pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileFault> {
    let Some((file, metadata)) = files::open(path, Links::Refuse)? else {
        return Ok(None);
    };
    check(&metadata, path)?;
    if metadata.mode() & 0o022 != 0 {
        return Err(permissions(path, WRITABLE, CLOSE_TO_WRITERS));
    }
    files::read_all(file, &metadata, path).map(Some)
}

/// Reads a file that is no secret, whatever its mode. See [`close`].
pub(crate) fn read_shared(path: &Path) -> Result<Option<Vec<u8>>, FileFault> {
    let Some((file, metadata)) = files::open(path, Links::Refuse)? else {
        return Ok(None);
    };
    check(&metadata, path)?;
    files::read_all(file, &metadata, path).map(Some)
}

/// Sees to it that others can write neither a directory nor a file in it, as far as they exist: older
/// programs left both open to a group.
pub(crate) fn close(directory: &Path, name: &str) -> Result<(), FileFault> {
    let held = match open_directory(directory) {
        Err(Errno::NOENT) => return Ok(()),
        held => held.map_err(|source| os("open", directory, source))?,
    };
    let found = examine(&held, directory)?;
    if !is_trusted(found.uid()) {
        return Err(stranger(directory));
    }
    if found.mode() & 0o022 != 0 {
        close_one(&held, DIRECTORY);
    }
    if let Some(file) = open_in(&held, name, &directory.join(name))? {
        close_one(&file, SHARED);
    }
    Ok(())
}

/// A service without root's rights may not own it.
fn close_one(file: impl AsFd, mode: u32) {
    if let Err(error) = rustix::fs::fchmod(file, Mode::from_raw_mode(mode)) {
        tracing::debug!(%error, "A file of the identity keeps its mode");
    }
}

pub(crate) fn write(directory: &Path, name: &str, content: &[u8]) -> Result<(), FileFault> {
    let making = Making {
        mode: PRIVATE,
        owner: Owner::Writer,
        present: Present::Replace,
    };
    put(&open_own(directory)?, directory, name, content, making)
}

pub(crate) fn write_new(directory: &Path, name: &str, content: &[u8]) -> Result<(), FileFault> {
    let made = open_made(directory)?;
    set_mode(&made, DIRECTORY, directory)?;
    let making = Making {
        mode: SHARED,
        owner: Owner::Writer,
        present: Present::Keep,
    };
    put(&made, directory, name, content, making)
}

fn put(
    held: &File,
    directory: &Path,
    name: &str,
    content: &[u8],
    making: Making,
) -> Result<(), FileFault> {
    let written = files::put(held, OsStr::new(name), content, making);
    written.map_err(|source| os("write", &directory.join(name), source))
}

pub(crate) fn share(path: &Path, group: &Group, names: &[&str]) -> Result<(), FileFault> {
    let directory = open_made(path)?;
    // From here on nobody else puts anything in there, also where the group could before.
    give(&directory, DIRECTORY, group, path)?;
    for name in names {
        let path = path.join(name);
        if let Some(file) = open_in(&directory, name, &path)? {
            give(&file, SHARED, group, &path)?;
        }
    }
    Ok(())
}

/// Opens a file of a directory that is held, if it can only be one that this program put there.
fn open_in(directory: &File, name: &str, path: &Path) -> Result<Option<File>, FileFault> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(FileFault::Kind(path.to_owned())),
        Err(source) => return Err(os("open", path, source)),
    };
    check(&examine(&file, path)?, path)?;
    Ok(Some(file))
}

/// Whether a file can only be one that this program, or root, put there under no other name.
fn check(file: &Metadata, path: &Path) -> Result<(), FileFault> {
    match (file.is_file() && file.nlink() == 1, is_trusted(file.uid())) {
        (true, true) => Ok(()),
        (true, false) => Err(stranger(path)),
        (false, _) => Err(FileFault::Kind(path.to_owned())),
    }
}

fn examine(file: &File, path: &Path) -> Result<Metadata, FileFault> {
    file.metadata()
        .map_err(|source| os("examine", path, source))
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
fn open_made(path: &Path) -> Result<File, FileFault> {
    files::make_directory(path, DIRECTORY)?;
    open_own(path)
}

/// Opens a directory that is nobody else's.
fn open_own(path: &Path) -> Result<File, FileFault> {
    let directory = open_directory(path).map_err(|source| os("open", path, source))?;
    match is_trusted(examine(&directory, path)?.uid()) {
        true => Ok(directory),
        false => Err(stranger(path)),
    }
}

fn open_directory(path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map(File::from)
}

#[cfg(test)]
mod tests;
