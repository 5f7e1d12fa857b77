//! Listening and connecting.

use crate::{Listener, Peer, SocketFault, Stream, imp};
use host::Group;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::sleep;

/// Time between two attempts to connect. spec: client-app 18
const PAUSE: Duration = Duration::from_millis(100);

/// Who may connect to a socket, besides the administrator of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permissions {
    /// The user of the process that listens.
    Owner,
    /// That user, and members of this group.
    Group(Group),
    /// That user, and members of the group that the process has.
    OwnGroup,
}

/// Who is believed to be a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Whoever listens: nothing secret is said, and answers are not relied on.
    Anyone,
    /// The administrator of the machine, and the user of this process.
    Administrators,
}

/// Where a socket of this name is: `/run/example` and `tunnel` make `/run/example/tunnel.sock` where
/// sockets are files.
pub fn path_in(directory: &Path, name: &str) -> PathBuf {
    imp::path_in(directory, name)
}

/// The right to make the sockets of a directory. One process at a time holds it, until the value is
/// dropped or the process ends.
#[derive(Debug)]
pub struct Claim(imp::Claim);

impl Claim {
    /// Makes the directory if there is none, and claims it. All who claim it use the same name.
    ///
    /// # Errors
    ///
    /// [`SocketFault::Claimed`] while another process has it, and those of the system.
    pub fn take(directory: &Path, name: &str) -> Result<Self, SocketFault> {
        imp::Claim::take(directory, name).map(Self)
    }

    /// Listens at the socket of this name in the directory, see [`path_in`] and [`Socket::bind`].
    ///
    /// # Errors
    ///
    /// [`SocketFault::Taken`] while somebody listens there without a claim, and those of the system.
    pub async fn bind(&self, name: &str, permissions: &Permissions) -> Result<Socket, SocketFault> {
        Socket::bind(&path_in(self.0.directory(), name), permissions).await
    }
}

/// A socket that is listened at. It goes with the value, unless somebody else has its place by then.
#[derive(Debug)]
pub struct Socket(imp::Socket);

impl Socket {
    /// Listens. A directory that is missing is made, for everybody to look into; what a crashed
    /// process left of a socket is replaced. Must be called in a runtime.
    ///
    /// # Errors
    ///
    /// [`SocketFault::Taken`] while somebody listens there, and those of the system.
    pub async fn bind(path: &Path, permissions: &Permissions) -> Result<Self, SocketFault> {
        imp::Socket::bind(path, permissions).await.map(Self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Listener for Socket {
    type Stream = Stream;

    async fn accept(&mut self) -> io::Result<(Stream, Peer)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((Stream::new(stream), peer))
    }
}

/// Connects to a server, also to one that is just starting: makes so many attempts, 100 ms apart, at
/// least one.
///
/// # Errors
///
/// Those of the last attempt. What waiting does not mend is reported at once.
pub async fn connect(path: &Path, trust: Trust, attempts: u32) -> Result<Stream, SocketFault> {
    for _ in 1..attempts {
        match imp::connect(path, trust).await {
            Err(SocketFault::NotListening(_) | SocketFault::Os { .. }) => sleep(PAUSE).await,
            connected => return connected.map(Stream::new),
        }
    }
    imp::connect(path, trust).await.map(Stream::new)
}
