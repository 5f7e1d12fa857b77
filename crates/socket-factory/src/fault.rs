//! What can go wrong with a socket, sorted by what one does about it.

use std::io;

/// The mark that keeps a socket out of the tunnel could not be set; the socket was not made.
///
/// Found with [`LoopPrevention::is_cause_of`]. It is fatal for a session: an unmarked socket would
/// send its packets into the tunnel they carry. spec: platform 7.1
#[derive(Debug, thiserror::Error)]
#[error("cannot mark a socket (grant CAP_NET_ADMIN or run as root)")]
pub struct LoopPrevention(#[source] io::Error);

impl LoopPrevention {
    pub(crate) fn wrap(error: io::Error) -> io::Error {
        io::Error::new(error.kind(), Self(error))
    }

    /// Whether the error says that a socket could not be kept out of the tunnel.
    pub fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// The kind of a failed send. spec: platform 7.2
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFault {
    /// No way there at the moment: network or host unreachable, family or source address gone.
    Unreachable,
    /// A local firewall forbids it.
    Denied,
    /// The socket's buffer is full; wait for [`crate::UdpSocket::writable`].
    WouldBlock,
    /// A datagram exceeds the MTU of the path's first link, or of UDP itself.
    TooBig,
    /// Anything else; the datagrams of the call are lost.
    Other,
}

impl SendFault {
    /// The kind of the given error of a send.
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::WouldBlock => Self::WouldBlock,
            Kind::PermissionDenied => Self::Denied,
            Kind::NetworkUnreachable
            | Kind::HostUnreachable
            | Kind::NetworkDown
            | Kind::AddrNotAvailable => Self::Unreachable,
            _ if quinn_udp::is_msg_size_err(error) => Self::TooBig,
            _ if crate::sys::is_unreachable(error) => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

/// Whether a send may have failed because the source address that we looked up is outdated.
///
/// Linux reports an address that it does not own as an invalid argument.
pub(crate) fn blames_source(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput || SendFault::of(error) == SendFault::Unreachable
}
