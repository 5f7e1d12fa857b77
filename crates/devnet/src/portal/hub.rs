//! The core, the clock and the way out of the core, behind one lock.

use super::{
    command::Command,
    connections::ConnectionId,
    core::{Core, Moment, Output},
    upgrade::{Refusal, Upgrade},
};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    mem,
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Notify, mpsc};

/// How many frames may wait for a party before it is given up.
pub(crate) const OUTGOING: usize = 1024;

/// What a connection's task is to do.
pub(crate) enum Outgoing {
    Text(String),
    Close(u16),
    Abort,
}

/// What should be written, since somebody asked last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unsaved {
    pub(crate) settings: bool,
    pub(crate) state: bool,
}

/// What all tasks of a portal share.
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    /// The deadline of the core may have changed.
    pub(crate) rescheduled: Notify,
    /// There is something to write.
    pub(crate) unsaved: Notify,
}

struct Inner {
    core: Core,
    senders: BTreeMap<ConnectionId, mpsc::Sender<Outgoing>>,
    deadline: Option<Instant>,
    unsaved: Unsaved,
}

impl Hub {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            inner: Mutex::new(Inner {
                core,
                senders: BTreeMap::new(),
                deadline: None,
                unsaved: Unsaved::default(),
            }),
            rescheduled: Notify::new(),
            unsaved: Notify::new(),
        }
    }

    /// Admits a connection; what it is to send goes to `sender`.
    pub(crate) fn upgrade(
        &self,
        upgrade: &Upgrade<'_>,
        sender: mpsc::Sender<Outgoing>,
    ) -> Result<ConnectionId, Refusal> {
        self.with(|inner, now| {
            let id = inner.core.handle_upgrade(upgrade, now)?;
            inner.senders.insert(id, sender);
            Ok(id)
        })
    }

    pub(crate) fn frame(&self, id: ConnectionId, text: &str) {
        self.with(|inner, now| inner.core.handle_frame(id, text, now));
    }

    pub(crate) fn closed(&self, id: ConnectionId) {
        self.with(|inner, now| {
            inner.senders.remove(&id);
            inner.core.handle_closed(id, now);
        });
    }

    pub(crate) fn timeout(&self) {
        self.with(|inner, now| inner.core.handle_timeout(now));
    }

    pub(crate) fn command(&self, command: Command, file: Option<&str>) -> Value {
        self.with(|inner, now| inner.core.handle_command(command, file, now))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.inner.lock().deadline
    }

    /// The texts of what should be written: settings and state.
    pub(crate) fn take_unsaved(&self) -> (Option<String>, Option<String>) {
        let mut inner = self.inner.lock();
        let unsaved = mem::take(&mut inner.unsaved);
        let settings = || serde_json::to_string_pretty(inner.core.settings()).ok();
        let state = || serde_json::to_string_pretty(&inner.core.state()).ok();
        (
            unsaved.settings.then(settings).flatten(),
            unsaved.state.then(state).flatten(),
        )
    }

    /// Lets the core handle one input, and carries out what comes of it.
    fn with<T>(&self, handle: impl FnOnce(&mut Inner, Moment) -> T) -> T {
        let mut inner = self.inner.lock();
        let value = handle(&mut inner, moment());
        let before = inner.deadline;
        inner.drain();
        if inner.deadline != before {
            self.rescheduled.notify_one();
        }
        if inner.unsaved != Unsaved::default() {
            self.unsaved.notify_one();
        }
        value
    }
}

impl Inner {
    fn drain(&mut self) {
        loop {
            match self.core.poll() {
                Output::Send { connection, frame } => {
                    self.pass(connection, Outgoing::Text(frame.emit()));
                }
                Output::Close { connection, code } => {
                    self.pass(connection, Outgoing::Close(code));
                    self.senders.remove(&connection);
                }
                Output::Abort { connection } => {
                    self.pass(connection, Outgoing::Abort);
                    self.senders.remove(&connection);
                }
                Output::SaveSettings => self.unsaved.settings = true,
                Output::SaveState => self.unsaved.state = true,
                Output::Idle(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    /// Hands over to the connection's task. A party that does not read loses its connection: the
    /// task ends when the sender is gone.
    fn pass(&mut self, connection: ConnectionId, outgoing: Outgoing) {
        if let Some(sender) = self.senders.get(&connection)
            && sender.try_send(outgoing).is_err()
        {
            tracing::warn!(?connection, "gave up a connection that does not read");
            self.senders.remove(&connection);
        }
    }
}

fn moment() -> Moment {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment {
        at: Instant::now(),
        unix: unix.map_or(0, |since| since.as_secs()),
    }
}
