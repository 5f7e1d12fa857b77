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
    /// Held while files are written, so that an older text never replaces a newer one.
    pub(crate) writing: Mutex<()>,
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
            writing: Mutex::new(()),
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
            tracing::warn!(%connection, "Gave up a connection that does not read");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portal::{SavedState, Settings};
    use model::Seed;
    use serde_json::json;

    const TOKENS: &str = r#"{"tokens": [{"token": "t", "kind": "client", "actor": "anna"}]}"#;
    const HEARTBEAT: &str = r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":1}"#;

    fn hub() -> Hub {
        let settings = Settings::parse(TOKENS).unwrap();
        let seed = Seed::from_bytes([1; 32]);
        Hub::new(Core::new(settings, SavedState::default(), seed, moment()).unwrap())
    }

    fn connect(hub: &Hub, room: usize) -> (ConnectionId, mpsc::Receiver<Outgoing>) {
        let (sender, receiver) = mpsc::channel(room);
        let upgrade = Upgrade {
            path: "/client/websocket",
            query: "token=t&external_id=x&public_key=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE%3D",
            user_agent: "X/1 connlib/1.5.2",
            authorization: None,
            remote: [127, 0, 0, 1].into(),
        };
        (hub.upgrade(&upgrade, sender).unwrap(), receiver)
    }

    #[test]
    fn a_party_that_does_not_read_is_given_up() {
        let hub = hub();
        let (id, mut receiver) = connect(&hub, 4);
        for _ in 0..10 {
            hub.frame(id, HEARTBEAT);
        }
        for _ in 0..4 {
            assert!(matches!(receiver.try_recv(), Ok(Outgoing::Text(_))));
        }
        let end = receiver.try_recv();
        assert!(matches!(end, Err(mpsc::error::TryRecvError::Disconnected)));
    }

    #[test]
    fn the_close_is_the_last_thing_a_party_is_sent() {
        let hub = hub();
        let (id, mut receiver) = connect(&hub, 8);
        hub.frame(id, HEARTBEAT);
        let revoke = serde_json::from_value(json!({"cmd": "token_revoke", "token": "t"}));
        assert_eq!(hub.command(revoke.unwrap(), None)["ok"], true);
        hub.frame(id, HEARTBEAT);
        let mut texts = Vec::new();
        loop {
            match receiver.try_recv() {
                Ok(Outgoing::Text(text)) => texts.push(text),
                Ok(Outgoing::Close(1000)) => break,
                _ => panic!("the close is missing"),
            }
        }
        assert_eq!(texts.len(), 2);
        assert!(texts[1].contains("token_expired"));
        let end = receiver.try_recv();
        assert!(matches!(end, Err(mpsc::error::TryRecvError::Disconnected)));
    }

    #[test]
    fn what_has_changed_is_handed_out_once() {
        let hub = hub();
        assert_eq!(hub.take_unsaved(), (None, None));
        let (id, _receiver) = connect(&hub, 8);
        let (settings, state) = hub.take_unsaved();
        assert!(settings.is_none() && state.unwrap().contains("anna"));
        assert_eq!(hub.take_unsaved(), (None, None));
        assert!(hub.deadline().is_some());
        hub.closed(id);
        assert!(hub.deadline().is_none());
    }
}
