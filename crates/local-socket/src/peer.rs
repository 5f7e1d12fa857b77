//! Where peers arrive, and who they are.

use std::{fmt, io, path::PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};

/// A place where peers arrive.
pub trait Listener: Send {
    /// What connects the two sides.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next peer. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of the system. The next call may succeed.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Which user, as the system numbers or names them.
    pub user: String,
    /// Whether that user could do to this process whatever it wants anyway: it is the administrator of
    /// the machine, or the user of this process.
    pub is_administrator: bool,
    /// Which process, if the system tells.
    pub process: Option<u32>,
    /// What the process runs.
    pub program: Program,
}

/// What a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// This file.
    File(PathBuf),
    /// This file, which was removed or replaced since.
    Replaced(PathBuf),
    /// The system does not tell, for this reason.
    Unknown(String),
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Replaced(path) => write!(f, "{}, which was replaced since", path.display()),
            Self::Unknown(reason) => write!(f, "a program that cannot be examined: {reason}"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            user,
            process,
            program,
            ..
        } = self;
        match process {
            Some(process) => write!(f, "process {process} of user {user}: {program}"),
            None => write!(f, "user {user}: {program}"),
        }
    }
}
