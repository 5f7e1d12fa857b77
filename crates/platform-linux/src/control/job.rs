//! What the control thread is asked to do.

use platform::{InterfacePlan, PlatformFault, WatchSender};
use std::{io, sync::mpsc};
use tokio::sync::oneshot;

/// One whole operation. Blocking callers get their answer by a channel of the standard library,
/// because they may stand in a runtime, where tokio's refuse to block.
pub(super) enum Job {
    /// Takes over the device that was just made.
    Prepare(mpsc::SyncSender<Result<(), PlatformFault>>),
    /// Makes the system look as planned.
    Apply(
        Box<InterfacePlan>,
        oneshot::Sender<Result<(), PlatformFault>>,
    ),
    /// Removes everything.
    Revert(mpsc::SyncSender<Result<(), PlatformFault>>),
    /// Has the system ask the resolvers of a link.
    Ask {
        link: u32,
        query: Vec<u8>,
        reply: oneshot::Sender<io::Result<Vec<u8>>>,
    },
    /// Adds a watch.
    Watch(WatchSender),
    /// Flushes the DNS cache.
    FlushDns,
}
