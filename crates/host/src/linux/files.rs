//! Files and their owners and modes on Linux.

use crate::{FileFault, fault::os, files::MAX_FILE};
use rustix::{
    fs::{AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Uid},
    io::Errno,
};
use secrecy::SecretSlice;
use std::{
    ffi::{OsStr, OsString},
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
};

/// Whether a name may be a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// It may: nobody but the owner of the directory could have put one there.
    Follow,
    /// It may not.
    Refuse,
}

/// Who a new file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Root and its group, whatever the directory says.
    Root,
    /// Whoever writes it.
    Writer,
}

/// What becomes of a file that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Present {
    /// It stays, and writing fails.
    Keep,
    /// It goes.
    Replace,
}

/// How a file is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making {
    pub(super) mode: u32,
    pub(super) owner: Owner,
    pub(super) present: Present,
}

pub(crate) fn read_secret(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    let Some((file, metadata)) = open(path, Links::Follow)? else {
        return Ok(None);
    };
    if metadata.uid() != 0 {
        return Err(permissions(path, "must be owned by user root", OWN));
    }
    if metadata.gid() != 0 {
        return Err(permissions(path, "must be owned by group root", OWN));
    }
    if metadata.mode() & 0o177 != 0 {
        return Err(permissions(path, PRIVATE, CLOSE));
    }
    read_all(file, &metadata, path).map(|content| Some(content.into()))
}

pub(crate) fn read_credential(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    // The group bits are the mask of an access list that names the user of the service.
    read_handed(path, 0o037, (PRIVATE, CLOSE))
}

pub(crate) fn read_container_secret(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    read_handed(path, 0o022, (WRITABLE, CLOSE_TO_WRITERS))
}

pub(crate) fn read_own_secret(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    read_handed(path, 0o077, (PRIVATE, CLOSE))
}

/// Reads a secret of root, or of the user of this process.
fn read_handed(
    path: &Path,
    forbidden: u32,
    (problem, remedy): (&'static str, &'static str),
) -> Result<Option<SecretSlice<u8>>, FileFault> {
    let Some((file, metadata)) = open(path, Links::Follow)? else {
        return Ok(None);
    };
    if !is_trusted(metadata.uid()) {
        return Err(permissions(path, STRANGER, OWN));
    }
    if metadata.mode() & forbidden != 0 {
        return Err(permissions(path, problem, remedy));
    }
    read_all(file, &metadata, path).map(|content| Some(content.into()))
}

const STRANGER: &str = "belongs to somebody else";
const PRIVATE: &str = "must have mode 0400 or 0600";
pub(super) const WRITABLE: &str = "may be written by others";
pub(super) const OWN: &str = "chown root:root it";
const CLOSE: &str = "chmod 0600 it";
pub(super) const CLOSE_TO_WRITERS: &str = "chmod go-w it";

/// Whether this user could do to us whatever it wants anyway.
pub(super) fn is_trusted(user: u32) -> bool {
    [0, rustix::process::geteuid().as_raw()].contains(&user)
}

pub(super) fn permissions(path: &Path, problem: &'static str, remedy: &'static str) -> FileFault {
    FileFault::Permissions {
        path: path.to_owned(),
        problem,
        remedy,
    }
}

pub(super) fn stranger(path: &Path) -> FileFault {
    permissions(path, STRANGER, OWN)
}

/// Opens a file to read it. Checks and reading go through one descriptor, so that the file cannot be
/// swapped meanwhile.
pub(super) fn open(path: &Path, links: Links) -> Result<Option<(File, Metadata)>, FileFault> {
    // Without waiting for somebody who writes into a pipe, and without being controlled by a terminal.
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.set(OFlags::NOFOLLOW, links == Links::Refuse);
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(FileFault::Kind(path.to_owned()));
        }
        Err(source) => return Err(os("open", path, source)),
    };
    let metadata = file
        .metadata()
        .map_err(|source| os("examine", path, source))?;
    Ok(Some((file, metadata)))
}

pub(super) fn read_all(file: File, metadata: &Metadata, path: &Path) -> Result<Vec<u8>, FileFault> {
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(FileFault::Kind(path.to_owned()));
    }
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    file.take(MAX_FILE)
        .read_to_end(&mut content)
        .map_err(|source| os("read", path, source))?;
    Ok(content)
}

pub(crate) fn write_secret(path: &Path, secret: &[u8]) -> Result<(), FileFault> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    make_directory(directory, 0o755)?;
    let making = Making {
        mode: 0o600,
        owner: Owner::Root,
        present: Present::Replace,
    };
    let name = path.file_name().unwrap_or_default();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::openat(CWD, directory, flags, Mode::empty());
    let held = held.map_err(|source| os("open", directory, source))?;
    put(&held, name, secret, making).map_err(|source| os("write", path, source))
}

/// Makes a directory and its parents if they are missing. Whatever the mask of the process allows, none
/// of them can be written by others.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), FileFault> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(mode).create(path);
    made.map_err(|source| os("create", path, source))
}

/// Writes a file beside its place and moves it there, so that it is there whole or not at all.
pub(super) fn put(
    directory: impl AsFd,
    name: &OsStr,
    content: &[u8],
    making: Making,
) -> io::Result<()> {
    let directory = directory.as_fd();
    let mut temporary = OsString::from(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    // Left by a process that had the same number.
    remove(directory, &temporary)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::fs::openat(directory, &temporary, flags, mode)?;
    let placed = fill(file.into(), content, making)
        .and_then(|()| place(directory, &temporary, name, making.present));
    if placed.is_err() {
        // It may not exist any more.
        remove(directory, &temporary).ok();
    }
    placed
}

fn fill(mut file: File, content: &[u8], making: Making) -> io::Result<()> {
    if making.owner == Owner::Root {
        rustix::fs::fchown(&file, Some(Uid::ROOT), Some(Gid::ROOT))?;
    }
    file.write_all(content)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(making.mode))?;
    file.sync_all()
}

fn place(
    directory: BorrowedFd<'_>,
    temporary: &OsStr,
    name: &OsStr,
    present: Present,
) -> io::Result<()> {
    if present == Present::Replace {
        return Ok(rustix::fs::renameat(directory, temporary, directory, name)?);
    }
    let flags = RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(directory, temporary, directory, name, flags) {
        // Some file systems cannot; a link never replaces a file either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(directory, temporary, directory, name, AtFlags::empty())?;
            remove(directory, temporary)
        }
        moved => Ok(moved?),
    }
}

pub(super) fn remove(directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, chown},
    };
    use tempfile::TempDir;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What is wrong with the permissions of the file.
    fn problem<T: std::fmt::Debug>(result: Result<T, FileFault>) -> &'static str {
        match result {
            Err(FileFault::Permissions { problem, .. }) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_files_of_root_alone_are_secrets() {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test needs root to make root's files"
        );
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        assert!(read_secret(&path).unwrap().is_none());
        fs::write(&path, "secret\n").unwrap();
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o000, true),
            (0o640, false),
            (0o604, false),
            (0o700, false),
        ] {
            set_mode(&path, mode);
            let result = read_secret(&path);
            assert_eq!(result.is_ok(), good, "{mode:o}");
            if let Ok(content) = result {
                assert_eq!(content.unwrap().expose_secret(), b"secret\n");
            }
        }
        set_mode(&path, 0o600);
        chown(&path, Some(1), Some(0)).unwrap();
        assert_eq!(problem(read_secret(&path)), "must be owned by user root");
        chown(&path, Some(0), Some(1)).unwrap();
        assert_eq!(problem(read_secret(&path)), "must be owned by group root");
        assert_eq!(problem(read_secret(directory.path())), PRIVATE);
    }

    #[test]
    fn credentials_belong_to_root_or_the_service_and_not_to_everybody() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("firezone-token");
        assert!(read_credential(&path).unwrap().is_none());
        fs::write(&path, "secret").unwrap();
        for (mode, good) in [
            (0o400, true),
            (0o440, true),
            (0o600, true),
            (0o420, false),
            (0o404, false),
        ] {
            set_mode(&path, mode);
            assert_eq!(read_credential(&path).is_ok(), good, "{mode:o}");
        }
        set_mode(&path, 0o400);
        chown(&path, Some(1), None).unwrap();
        assert_eq!(problem(read_credential(&path)), STRANGER);
    }

    #[test]
    fn files_of_containers_may_be_read_by_everybody_and_written_by_nobody_else() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        assert!(read_container_secret(&path).unwrap().is_none());
        fs::write(&path, "secret").unwrap();
        for (mode, good) in [(0o444, true), (0o644, true), (0o620, false), (0o602, false)] {
            set_mode(&path, mode);
            assert_eq!(read_container_secret(&path).is_ok(), good, "{mode:o}");
        }
        set_mode(&path, 0o444);
        chown(&path, Some(1), None).unwrap();
        assert_eq!(problem(read_container_secret(&path)), STRANGER);
    }

    #[test]
    fn a_pipe_is_no_secret_and_is_not_waited_for() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        let mode = Mode::from_raw_mode(0o600);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, &path, kind, mode, 0).unwrap();
        assert!(matches!(read_secret(&path), Err(FileFault::Kind(_))));
        assert!(matches!(read_credential(&path), Err(FileFault::Kind(_))));
    }

    #[test]
    fn a_written_secret_can_be_read_by_root_alone() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("deep/er/token");
        for secret in ["first", "second"] {
            write_secret(&path, secret.as_bytes()).unwrap();
            let content = read_secret(&path).unwrap().unwrap();
            assert_eq!(content.expose_secret(), secret.as_bytes());
            assert_eq!(mode(&path), 0o600);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_mask_that_allows_everything_opens_nothing() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("deep/er/token");
        let write = || {
            // A mask of its own, for this thread alone.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
            rustix::process::umask(Mode::empty());
            write_secret(&path, b"secret").unwrap();
        };
        std::thread::scope(|scope| scope.spawn(write).join().unwrap());
        for (name, expected) in [
            ("deep", 0o755),
            ("deep/er", 0o755),
            ("deep/er/token", 0o600),
        ] {
            assert_eq!(mode(&directory.path().join(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_written_secret_belongs_to_root_whatever_the_directory_says() {
        let directory = TempDir::new().unwrap();
        chown(directory.path(), None, Some(1)).unwrap();
        // Files in there get the group of the directory.
        set_mode(directory.path(), 0o2755);
        let path = directory.path().join("token");
        fs::write(&path, "before").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().gid(), 1);
        write_secret(&path, b"secret").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (0, 0));
    }

    #[test]
    fn a_file_that_is_larger_than_a_secret_is_none() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        let read: [fn(&Path) -> _; 4] = [
            read_secret,
            read_credential,
            read_container_secret,
            read_own_secret,
        ];
        for (excess, is_taken) in [(0, true), (1, false)] {
            let length = usize::try_from(MAX_FILE + excess).unwrap();
            write_secret(&path, &vec![b'x'; length]).unwrap();
            for read in read {
                match read(&path) {
                    Ok(Some(content)) if is_taken => {
                        assert_eq!(content.expose_secret().len(), length);
                    }
                    Err(FileFault::Kind(_)) if !is_taken => {}
                    other => panic!("{excess}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn own_secrets_are_closed_to_everybody_else() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        assert!(read_own_secret(&path).unwrap().is_none());
        fs::write(&path, "secret").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            set_mode(&path, mode);
            assert_eq!(read_own_secret(&path).is_ok(), good, "{mode:o}");
        }
        set_mode(&path, 0o600);
        chown(&path, Some(1), None).unwrap();
        assert_eq!(problem(read_own_secret(&path)), STRANGER);
    }

    #[test]
    fn what_cannot_be_placed_leaves_nothing_behind() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        fs::create_dir(&path).unwrap();
        assert!(write_secret(&path, b"secret").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
