//! Bytes on disk: what is written is a regular file, and neither a link nor a pipe.

use rustix::fs::{Gid, Mode, Uid};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Largest file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// Reads a regular file, links followed; anything else could keep us waiting.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let options = options(libc::O_NONBLOCK).read(true).open(path)?;
    read_regular(options)
}

/// Reads a regular file that no link leads to.
pub(super) fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    read_regular(options(flags).read(true).open(path)?)
}

fn options(flags: i32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(flags | libc::O_NOCTTY);
    options
}

fn read_regular(file: File) -> io::Result<Vec<u8>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(io::Error::other("no regular file of a reasonable size"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes into a file that exists.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = options(flags).write(true).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    // Cut off last: a reader in between sees a whole new file and a rest, not half.
    file.write_all_at(bytes, 0)?;
    file.set_len(u64::try_from(bytes.len()).map_err(io::Error::other)?)?;
    file.sync_all()
}

/// Makes a file where there is none, with owner, group and mode of another one.
pub(super) fn create(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    // For nobody else until it is known for whom.
    let mode = like.map_or(0o644, |_| 0o600);
    let mut options = options(libc::O_NOFOLLOW);
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    if let Some(like) = like {
        make_like(&file, like)?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts a file in the place of another one, with owner, group and mode of a third.
pub(super) fn replace(path: &Path, bytes: &[u8], like: &Metadata) -> io::Result<()> {
    let temporary = path.with_added_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create(&temporary, bytes, Some(like))?;
    fs::rename(&temporary, path)
}

/// Gives a file of ours owner, group and mode of another one, as far as we may.
fn make_like(file: &File, like: &Metadata) -> io::Result<()> {
    let found = file.metadata()?;
    let mut mode = like.mode() & 0o777;
    if (found.uid(), found.gid()) != (like.uid(), like.gid()) {
        let (user, group) = (Uid::from_raw(like.uid()), Gid::from_raw(like.gid()));
        if let Err(error) = rustix::fs::fchown(file, Some(user), Some(group)) {
            tracing::debug!(%error, "A file keeps its owner");
            // What another group could write, our own cannot.
            mode &= 0o644;
        }
    }
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?)
}
