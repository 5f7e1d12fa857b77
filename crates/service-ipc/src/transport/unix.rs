//! Unix sockets, and who is at their other end. spec: client-app 13.1, 13.2

use super::{Listener, Peer, Program};
use nix::{
    errno::Errno,
    sys::socket::{getsockopt, sockopt::PeerPidfd},
    unistd::{Group, geteuid},
};
use socket2::{Domain, SockAddr, Type};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{
            DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
            PermissionsExt as _, chown,
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    time::sleep,
};

/// Peers that wait until they are served.
const BACKLOG: i32 = 128;

/// How often and how far apart a service that is starting is tried. spec: client-app 18
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Who may connect to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permissions of the file; writing is connecting.
    pub mode: u32,
    /// Group of the file; none leaves that of the process.
    pub group: Option<u32>,
}

/// Why there is no socket to listen at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindFault {
    /// Another process has claimed the directory.
    #[error("another tunnel service serves {} already: stop it first", .0.display())]
    InUse(PathBuf),
    /// Another process listens at the socket.
    #[error("another process listens at {} already: stop it first", .0.display())]
    Taken(PathBuf),
    /// Something that is no socket has its name.
    #[error("{} is no socket: remove it", .0.display())]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Os {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a service cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFault {
    /// Nothing listens there.
    #[error("no tunnel service listens at {}: is it running?", .0.display())]
    NotRunning(PathBuf),
    /// The socket is there and not for this user.
    #[error("not permitted to use {}: be root, or a member of its group", .0.display())]
    Permission(PathBuf),
    /// Somebody who is neither root nor this user listens there.
    #[error("{} belongs to user {user}, not to a tunnel service", path.display())]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// Who listens there.
        user: u32,
    },
    /// The system refused.
    #[error("cannot connect to {}", path.display())]
    Os {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The right to make the sockets of a directory. One process at a time holds it, until it ends.
///
/// The file that is locked stays, since removing it would let two processes hold different ones.
#[derive(Debug)]
pub struct Claim {
    directory: PathBuf,
    _lock: File,
}

impl Claim {
    /// Makes the directory if there is none, and claims it.
    ///
    /// # Errors
    ///
    /// [`BindFault::InUse`] while another process has it.
    pub fn take(directory: &Path) -> Result<Self, BindFault> {
        if !directory.exists() {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o755).create(directory);
            // The mask of the process must not keep the group away.
            let open = || fs::set_permissions(directory, Permissions::from_mode(0o755));
            made.and_then(|()| open())
                .map_err(os("create", directory))?;
        }
        let path = directory.join("tunnel.lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        // Others must not be able to open it, because everybody who can may lock it.
        let lock = options.open(&path).map_err(os("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(BindFault::InUse(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(os("lock", &path)(source)),
        }
    }

    /// Listens at a socket of the directory, see [`Socket::bind`].
    ///
    /// # Errors
    ///
    /// [`BindFault::Taken`] while somebody listens there without a claim, and those of the system.
    pub async fn bind(&self, name: &str, access: Access) -> Result<Socket, BindFault> {
        Socket::bind(&self.directory.join(name), access).await
    }
}

/// Refuses names that are in use or mean something else than a socket.
async fn make_room(path: &Path) -> Result<(), BindFault> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => Err(BindFault::NoSocket(path.to_owned())),
        Ok(_) => match UnixStream::connect(path).await {
            // A full backlog means that somebody listens, too.
            Ok(_) => Err(BindFault::Taken(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(BindFault::Taken(path.to_owned()))
            }
            Err(_) => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(os("examine", path)(source)),
    }
}

/// Nobody can connect before `listen`, so mode and group are right from the start.
fn listen(path: &Path, access: Access) -> io::Result<UnixListener> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(access.mode))?;
    // Hardened services may not even ask for what changes nothing.
    if access.group.is_some() {
        chown(path, None, access.group)?;
    }
    socket.listen(BACKLOG)?;
    UnixListener::from_std(socket.into())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn os(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BindFault {
    let path = path.to_owned();
    move |source| BindFault::Os {
        action,
        path,
        source,
    }
}

/// A socket that is listened at. Dropping it removes the file, if it is still ours.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    id: (u64, u64),
}

impl Socket {
    /// Listens. What a crashed process left there is replaced.
    ///
    /// The socket appears when everything about it is right, and not before.
    ///
    /// # Errors
    ///
    /// [`BindFault::Taken`] while somebody listens there, and those of the system.
    pub async fn bind(path: &Path, access: Access) -> Result<Self, BindFault> {
        make_room(path).await?;
        let temporary = path.with_added_extension("new");
        remove(&temporary).map_err(os("remove", &temporary))?;
        let listener = listen(&temporary, access).map_err(os("create", path))?;
        let id = fs::symlink_metadata(&temporary).map(|file| (file.dev(), file.ino()));
        let id = id.map_err(os("examine", &temporary))?;
        fs::rename(&temporary, path).map_err(os("create", path))?;
        let path = path.to_owned();
        Ok(Self { listener, path, id })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Listener for Socket {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Peer)> {
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
        if found.is_ok_and(|found| found == self.id)
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "The socket stays");
        }
    }
}

/// Connects to a service, also to one that is just starting.
///
/// Only a service of root, or of this very user, is trusted with what is said.
///
/// # Errors
///
/// [`ConnectFault`]
pub async fn connect(path: &Path) -> Result<UnixStream, ConnectFault> {
    let mut attempt = 1;
    let stream = loop {
        match UnixStream::connect(path).await {
            Ok(stream) => break stream,
            Err(error) if attempt == ATTEMPTS => return Err(unreachable(path, error)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(ConnectFault::Permission(path.to_owned()));
            }
            Err(_) => attempt += 1,
        }
        sleep(PAUSE).await;
    };
    let owner = stream.peer_cred().map_err(|source| ConnectFault::Os {
        path: path.to_owned(),
        source,
    })?;
    match owner.uid() {
        0 => Ok(stream),
        user if user == geteuid().as_raw() => Ok(stream),
        user => Err(ConnectFault::Stranger {
            path: path.to_owned(),
            user,
        }),
    }
}

fn unreachable(path: &Path, source: io::Error) -> ConnectFault {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ConnectFault::NotRunning(path)
        }
        _ => ConnectFault::Os { path, source },
    }
}

/// The number of a group; none if there is no such group.
///
/// # Errors
///
/// Those of the system.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    match Group::from_name(name) {
        Ok(group) => Ok(group.map(|group| group.gid.as_raw())),
        Err(error) if means_absent(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a library says with this error that there is no such entry, or no list of them at all, as
/// in containers with a single program; see getgrnam(3).
fn means_absent(error: Errno) -> bool {
    matches!(
        error,
        Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM
    )
}

fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = stream.peer_cred()?;
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
    Ok(Peer {
        user: credentials.uid().to_string(),
        is_administrator: [0, geteuid().as_raw()].contains(&credentials.uid()),
        process: pid,
        program: match getsockopt(stream, PeerPidfd) {
            Ok(pidfd) => program_of_pidfd(pidfd.as_raw_fd()),
            // Kernels before 6.5: a process may have ended and another one taken its number.
            Err(Errno::ENOPROTOOPT) => program_of_pid(pid),
            Err(error) => Program::Unknown(error.to_string()),
        },
    })
}

/// The program of a process that cannot be mistaken for another one, even if it ends meanwhile.
fn program_of_pidfd(pidfd: i32) -> Program {
    let before = pid_of(pidfd);
    let program = program_of_pid(before);
    match pid_of(pidfd) == before {
        true => program,
        false => Program::Unknown("the process ended".into()),
    }
}

/// The number of the process, as long as it lives.
fn pid_of(pidfd: i32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{pidfd}")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    value.trim().parse().ok()
}

fn program_of_pid(pid: Option<u32>) -> Program {
    let Some(pid) = pid else {
        return Program::Unknown("the process ended".into());
    };
    match fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(path) => program_of_link(&path),
        Err(error) => Program::Unknown(format!("cannot read /proc/{pid}/exe: {error}")),
    }
}

/// The kernel marks files that are gone by a suffix.
fn program_of_link(link: &Path) -> Program {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    match link.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(path) => Program::Replaced(std::ffi::OsString::from_vec(path.to_vec()).into()),
        None => Program::File(link.to_owned()),
    }
}

#[cfg(test)]
mod tests;
