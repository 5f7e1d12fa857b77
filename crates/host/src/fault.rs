//! Why a file cannot be used, by who can mend it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// Others than the system allows may have read or written it.
    #[error("{} {problem}: {remedy}", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as the rest of a sentence.
        problem: &'static str,
        /// What the operator can do.
        remedy: &'static str,
    },
    /// It is no regular file, or too large.
    #[error("{} is no regular file of a reasonable size", .0.display())]
    Kind(PathBuf),
    /// It is no directory, or a link to one where that is not trusted.
    #[error("{} is no directory", .0.display())]
    NoDirectory(PathBuf),
    /// It would be too large to be read again.
    #[error("{} would have more than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The largest size of such a file, in bytes.
        limit: u64,
    },
    /// It holds something else than expected.
    #[error("{} is damaged: remove it", .0.display())]
    Damaged(PathBuf),
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

/// An error of the system.
pub(crate) fn os(action: &'static str, path: &Path, source: impl Into<io::Error>) -> FileFault {
    FileFault::Os {
        action,
        path: path.to_owned(),
        source: source.into(),
    }
}
