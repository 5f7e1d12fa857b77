//! What holds for queries over both transports.

use std::{net::SocketAddr, time::Duration};

/// How long a server may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Queries at a time over each transport. spec: data-plane 19
pub(crate) const MAX_PENDING: usize = 1024;

/// The address as it stands in packets: without scope.
pub(crate) fn plain(server: SocketAddr) -> SocketAddr {
    SocketAddr::new(server.ip(), server.port())
}
