//! Sockets between processes of one machine: for those who may use them and nobody else, with the
//! knowledge who is at the other end.
//!
//! What it is not: it knows no message, starts no service, and decides on nobody's rights.
//!
//! # Contract
//!
//! * A socket has a path. [`path_in`] makes one of a directory and a short name; what kind of thing it
//!   leads to is the system's affair.
//! * **Rights from the first moment.** A socket appears when all about it is right, and not before.
//! * **Nobody is pushed aside.** What a crashed process left is replaced, a living one is left alone.
//! * **Peers are known.** [`Listener::accept`] says who connected, and which file that program is if the
//!   system tells: names are up to the peer, [`FileId`] is not. [`connect`] can refuse to talk to a stranger who took the place of a server.
//! * Only processes of this machine can connect.
//!
//! Each system has one private module, chosen in this file and nowhere else. It owes `Claim`, `Socket`,
//! `Stream`, `RawFileId`, `file_id`, `connect` and `path_in`, as the wrappers of this crate call them; the tests in
//! `tests/contract.rs` hold it to that.
//!
//! ```
//! use local_socket::{Listener as _, Permissions, Socket, Trust, connect, path_in};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let directory = folder.path();
//! let path = path_in(directory, "example");
//! let mut socket = Socket::bind(&path, &Permissions::Owner).await?;
//! let mut client = connect(&path, Trust::Administrators, 1).await?;
//! client.write_all(b"hi").await?;
//!
//! let (mut server, peer) = socket.accept().await?;
//! assert_eq!(peer.process, Some(std::process::id()));
//! let mut text = [0; 2];
//! server.read_exact(&mut text).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fault;
mod peer;
mod socket;
mod stream;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as imp;

#[cfg(not(target_os = "linux"))]
compile_error!(
    "the crate `local-socket` knows no such system yet: write a module like `linux` that keeps the \
     contract of the crate's page, and choose it here"
);

pub use fault::SocketFault;
pub use peer::{FileId, Listener, Peer, Program};
pub use socket::{Claim, Permissions, Socket, Trust, connect, path_in};
pub use stream::Stream;
