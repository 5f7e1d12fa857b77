//! Why a session cannot start, and why it ends; sorted by who can mend it.

use platform::{PlatformFault, TunFault};
use portal_client::{ChannelError, LoginError};
use std::io;

/// Why a session cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFault {
    /// The settings cannot work.
    #[error("the settings cannot work")]
    Settings(#[from] LoginError),
    /// What an earlier run left behind cannot be removed.
    #[error("cannot undo what an earlier run left behind")]
    Revert(#[from] PlatformFault),
    /// There is no TUN device.
    #[error("cannot create the tunnel interface")]
    Tun(#[from] TunFault),
    /// The operating system refused something else.
    #[error("cannot {action}")]
    Os {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a session ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnected {
    /// The portal ended it, or stayed away for too long.
    #[error("the session with the portal is over")]
    Portal(#[from] ChannelError),
    /// The interface cannot be configured.
    #[error("the interface cannot be configured")]
    Platform(#[from] PlatformFault),
    /// Packets can no longer be moved.
    #[error("the data plane ended: {0}")]
    DataPlane(String),
}

impl Disconnected {
    /// Whether the user has to sign in again: the token is not accepted. spec: client-app 10
    pub const fn needs_sign_in(&self) -> bool {
        matches!(self, Self::Portal(ChannelError::TokenInvalid(_)))
    }
}
