//! Where peers arrive, and who they are.

use crate::imp;
use std::{
    fmt, io,
    path::{Path, PathBuf},
};
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

/// Which file of this machine it is, by whatever name and from wherever it is looked at.
///
/// Two of them are the same only as long as the file exists: a running program keeps its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(pub(crate) imp::RawFileId);

impl FileId {
    /// The file that has this name for this process; links are followed.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn of(path: &Path) -> io::Result<Self> {
        imp::file_id(path).map(Self)
    }
}

/// What a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// This file.
    File {
        /// What it is called where the process looks at it, which is up to the process: for people only.
        path: PathBuf,
        /// Which file it is.
        id: FileId,
    },
    /// This file, which was removed or replaced since.
    Replaced(PathBuf),
    /// The system does not tell, for this reason.
    Unknown(String),
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "{}", path.display()),
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
