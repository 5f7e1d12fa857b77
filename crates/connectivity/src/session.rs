//! WireGuard: our keys, and one session for each connection. spec: data-plane 6
//!
//! The only module that knows `boringtun`. That crate reads a clock and draws entropy by itself:
//! a system clock that counts suspended time, or with the feature `__virtual-time` the
//! thread-local clock of `mock_instant`. Both must advance along with the instants passed in here.

mod identity;
mod index;
mod wireguard;

pub(crate) use identity::{Handshake, Identity};
pub(crate) use index::Indices;
pub(crate) use wireguard::{Opened, Sealed, Session, Tick};

/// Length of the longest message that is no data: a handshake initiation.
pub(crate) const MAX_HANDSHAKE: usize = 148;
