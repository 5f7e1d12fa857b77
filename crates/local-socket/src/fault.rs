//! Why a socket cannot be used, by who can mend it.

use std::{io, path::PathBuf};

/// Why there is no socket to listen at, or nobody to talk to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketFault {
    /// Another process has claimed the directory.
    #[error("another process serves {} already: stop it first", .0.display())]
    Claimed(PathBuf),
    /// Another process listens at the socket.
    #[error("another process listens at {} already: stop it first", .0.display())]
    Taken(PathBuf),
    /// Something that is no socket has its name.
    #[error("{} is no socket: remove it", .0.display())]
    NoSocket(PathBuf),
    /// Something that this process did not make has the name of a file of its own.
    #[error("{} was put there by somebody else: remove it", .0.display())]
    Foreign(PathBuf),
    /// Nobody listens there.
    #[error("nobody listens at {}", .0.display())]
    NotListening(PathBuf),
    /// The socket is there and not for this user.
    #[error("not permitted to use {}: {remedy}", path.display())]
    NotPermitted {
        /// The socket.
        path: PathBuf,
        /// What the user can do.
        remedy: &'static str,
    },
    /// Somebody who is neither the administrator of the machine nor this user listens there.
    #[error("{} belongs to user {user}, who is not trusted", path.display())]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// Who listens there, as the system numbers or names users.
        user: String,
    },
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Os {
        /// What was tried.
        action: &'static str,
        /// With which file or socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl From<SocketFault> for io::Error {
    /// An error of the kind that the system would have for it, for callers that know no other.
    fn from(fault: SocketFault) -> Self {
        let kind = match &fault {
            SocketFault::Claimed(_) | SocketFault::Taken(_) => io::ErrorKind::AddrInUse,
            SocketFault::NoSocket(_) | SocketFault::Foreign(_) => io::ErrorKind::AlreadyExists,
            SocketFault::NotListening(_) => io::ErrorKind::NotFound,
            SocketFault::NotPermitted { .. } | SocketFault::Stranger { .. } => {
                io::ErrorKind::PermissionDenied
            }
            SocketFault::Os { source, .. } => source.kind(),
        };
        Self::new(kind, fault)
    }
}
