//! Where a portal finds its files.

use std::path::PathBuf;

/// Where a portal finds its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The configuration, see [`Settings`](super::Settings); written anew when a command changes it.
    pub settings: PathBuf,
    /// What is remembered over restarts; nothing means nothing is.
    pub state: Option<PathBuf>,
    /// The control socket; nothing means there is none.
    pub control: Option<PathBuf>,
}
