//! Unix sockets, unix(7). spec: client-app 13.1, 13.2

use crate::{FileId, Peer, Permissions, Program, SocketFault, Trust};
use nix::{
    errno::Errno,
    sys::socket::{getsockopt, sockopt::PeerPidfd},
    unistd::geteuid,
};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use socket2::{Domain, SockAddr, Type};
use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};
use tokio::net::UnixListener;

pub(crate) use tokio::net::UnixStream as Stream;

/// Peers that wait until they are served.
const BACKLOG: i32 = 128;

pub(crate) const REMEDY: &str = "be root, or a member of its group";

pub(crate) fn path_in(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.sock"))
}

/// A lock on a file. The file stays, since removing it would let two processes hold different ones.
#[derive(Debug)]
pub(crate) struct Claim {
    directory: PathBuf,
    _lock: File,
}

impl Claim {
    pub(crate) fn take(directory: &Path, name: &str) -> Result<Self, SocketFault> {
        let held = hold(directory)?;
        let name = format!("{name}.lock");
        let path = directory.join(&name);
        let lock = open_lock(&held, &name, &path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(SocketFault::Claimed(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(os("lock", &path)(source)),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Opens the file of a lock, and makes it if it is missing. Others must not be able to open it, because
/// everybody who can may lock it.
fn open_lock(directory: &OwnedFd, name: &str, path: &Path) -> Result<File, SocketFault> {
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let lock = match rustix::fs::openat(directory, name, flags, mode) {
        Ok(lock) => File::from(lock),
        // A link, or a pipe that nobody reads.
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => {
            return Err(SocketFault::Foreign(path.to_owned()));
        }
        Err(error) => return Err(os("open", path)(error.into())),
    };
    let found = lock.metadata().map_err(os("examine", path))?;
    match found.is_file() && found.nlink() == 1 && is_administrator(found.uid()) {
        true => Ok(lock),
        false => Err(SocketFault::Foreign(path.to_owned())),
    }
}

/// Makes a directory that everybody may look into, if there is none, and holds it: whoever owns the one
/// above can put another one in its place at any time.
fn hold(directory: &Path) -> Result<OwnedFd, SocketFault> {
    // A path without a directory is in the current one.
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(CWD, directory, flags, Mode::empty());
    let held = match open() {
        Err(rustix::io::Errno::NOENT) => {
            make_directory(directory).map_err(os("create", directory))?;
            open()
        }
        held => held,
    };
    held.map_err(|error| os("open", directory)(error.into()))
}

fn make_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)?;
    // The mask of the process must not keep others away from what we made, if it is still there.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = File::from(rustix::fs::openat(CWD, directory, flags, Mode::empty())?);
    let metadata = made.metadata()?;
    if metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o7777 != 0o755 {
        made.set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Refuses names that are in use or mean something else than a socket.
async fn make_room(path: &Path) -> Result<(), SocketFault> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => Err(SocketFault::NoSocket(path.to_owned())),
        Ok(_) => match Stream::connect(path).await {
            // A full backlog means that somebody listens, too.
            Ok(_) => Err(SocketFault::Taken(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(SocketFault::Taken(path.to_owned()))
            }
            Err(_) => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(os("examine", path)(source)),
    }
}

/// Binds a socket to a name in a directory that is held, and listens; the device and the inode of its
/// file. Nobody can connect before `listen`, so mode and group are right from the start.
fn listen(
    directory: &OwnedFd,
    path: &Path,
    permissions: &Permissions,
) -> io::Result<(UnixListener, (u64, u64))> {
    let (mode, group) = match permissions {
        Permissions::Owner => (0o600, None),
        Permissions::Group(group) => (0o660, Some(*group.raw())),
        Permissions::OwnGroup => (0o660, None),
    };
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = path.file_name().unwrap_or_default();
    let file = File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?);
    let found = file.metadata()?;
    let is_ours = found.file_type().is_socket() && found.uid() == geteuid().as_raw();
    if !is_ours || found.nlink() != 1 {
        let text = "somebody else put another file into its place";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    // What the descriptor stands for, whatever has the name by now.
    let held = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(held, fs::Permissions::from_mode(mode))?;
    // Hardened services may not even ask for what changes nothing.
    if let Some(group) = group {
        let group = rustix::fs::Gid::from_raw(group);
        rustix::fs::chownat(&file, "", None, Some(group), AtFlags::EMPTY_PATH)?;
    }
    socket.listen(BACKLOG)?;
    let id = (found.dev(), found.ino());
    Ok((UnixListener::from_std(socket.into())?, id))
}

fn remove(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn os(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketFault {
    let path = path.to_owned();
    move |source| SocketFault::Os {
        action,
        path,
        source,
    }
}

/// A listener and its file, by device and inode.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    directory: OwnedFd,
    path: PathBuf,
    id: (u64, u64),
}

impl Socket {
    pub(crate) async fn bind(path: &Path, permissions: &Permissions) -> Result<Self, SocketFault> {
        let directory = hold(path.parent().unwrap_or(Path::new("/")))?;
        make_room(path).await?;
        let temporary = path.with_added_extension("new");
        let name = temporary.file_name().unwrap_or_default();
        remove(&directory, name).map_err(os("remove", &temporary))?;
        let listening = listen(&directory, &temporary, permissions);
        let (listener, id) = listening.map_err(os("create", path))?;
        let place = path.file_name().unwrap_or_default();
        rustix::fs::renameat(&directory, name, &directory, place)
            .map_err(|error| os("create", path)(error.into()))?;
        let path = path.to_owned();
        Ok(Self {
            listener,
            directory,
            path,
            id,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Socket {
    pub(crate) async fn accept(&mut self) -> io::Result<(Stream, Peer)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            match peer(&stream) {
                Ok(peer) => return Ok((stream, peer)),
                Err(error) => tracing::debug!(%error, "A peer left before it was examined"),
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path).map(|file| (file.dev(), file.ino()));
        let name = self.path.file_name().unwrap_or_default();
        if found.is_ok_and(|found| found == self.id)
            && let Err(error) = remove(&self.directory, name)
        {
            tracing::warn!(%error, path = %self.path.display(), "The socket stays");
        }
    }
}

pub(crate) async fn connect(path: &Path, trust: Trust) -> Result<Stream, SocketFault> {
    let stream = match Stream::connect(path).await {
        Ok(stream) => stream,
        Err(error) => return Err(unreachable(path, error)),
    };
    if trust == Trust::Anyone {
        return Ok(stream);
    }
    let owner = stream.peer_cred().map_err(os("examine", path))?;
    match is_administrator(owner.uid()) {
        true => Ok(stream),
        false => Err(SocketFault::Stranger {
            path: path.to_owned(),
            user: owner.uid().to_string(),
        }),
    }
}

fn unreachable(path: &Path, source: io::Error) -> SocketFault {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            SocketFault::NotListening(path.to_owned())
        }
        io::ErrorKind::PermissionDenied => SocketFault::NotPermitted {
            path: path.to_owned(),
            remedy: REMEDY,
        },
        _ => os("connect to", path)(source),
    }
}

/// Whether this user could do to us whatever it wants anyway.
fn is_administrator(user: u32) -> bool {
    [0, geteuid().as_raw()].contains(&user)
}

fn peer(stream: &Stream) -> io::Result<Peer> {
    let credentials = stream.peer_cred()?;
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
    Ok(Peer {
        user: credentials.uid().to_string(),
        is_administrator: is_administrator(credentials.uid()),
        process: pid,
        program: match getsockopt(stream, PeerPidfd) {
            Ok(pidfd) => program_of_pidfd(pidfd.as_raw_fd(), program_of_pid),
            // Kernels before 6.5: a process may have ended and another one taken its number.
            Err(Errno::ENOPROTOOPT) => program_of_pid(pid),
            Err(error) => Program::Unknown(error.to_string()),
        },
    })
}

/// The program of a process that cannot be mistaken for another one, even if it ends meanwhile and
/// its number is given away.
fn program_of_pidfd(pidfd: i32, program_of: impl FnOnce(Option<u32>) -> Program) -> Program {
    let before = pid_of(pidfd);
    let program = program_of(before);
    match pid_of(pidfd) == before {
        true => program,
        false => Program::Unknown(ENDED.into()),
    }
}

const ENDED: &str = "the process ended";

/// The number of the process, as long as it lives.
fn pid_of(pidfd: i32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{pidfd}")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    value.trim().parse().ok()
}

fn program_of_pid(pid: Option<u32>) -> Program {
    let Some(pid) = pid else {
        return Program::Unknown(ENDED.into());
    };
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    let found = fs::read_link(&exe).and_then(|link| Ok((link, file_id(&exe)?)));
    match found {
        Ok((link, id)) => program_of_link(&link, FileId(id)),
        Err(error) => Program::Unknown(format!("cannot read {}: {error}", exe.display())),
    }
}

/// The kernel marks files that are gone by a suffix.
fn program_of_link(link: &Path, id: FileId) -> Program {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    match link.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(path) => Program::Replaced(std::ffi::OsString::from_vec(path.to_vec()).into()),
        None => Program::File {
            path: link.to_owned(),
            id,
        },
    }
}

/// Device, by its two numbers, and inode.
pub(crate) type RawFileId = (u32, u32, u64);

/// The file behind a name, in whatever mount namespace `/proc` leads to. Servers of files are not asked:
/// one may be the peer's.
pub(crate) fn file_id(path: &Path) -> io::Result<RawFileId> {
    let found = rustix::fs::statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::INO)?;
    match StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::INO) {
        true => Ok((found.stx_dev_major, found.stx_dev_minor, found.stx_ino)),
        false => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(test)]
mod strangers;
#[cfg(test)]
mod tests;
