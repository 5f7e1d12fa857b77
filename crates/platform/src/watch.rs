//! Changes of the network, collapsed: however much happens, at most one event of each kind waits.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};
use tokio::sync::Notify;

/// Something a client should react to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NetworkEvent {
    /// Interfaces, addresses or routes outside of the tunnel changed: reset connections.
    NetworkChanged,
    /// The system's resolvers may have changed: read them again.
    ResolversChanged,
}

impl fmt::Display for NetworkEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkChanged => "network changed",
            Self::ResolversChanged => "resolvers changed",
        })
    }
}

impl NetworkEvent {
    fn bit(self) -> u8 {
        match self {
            Self::NetworkChanged => 0b01,
            Self::ResolversChanged => 0b10,
        }
    }
}

/// The receiving end. Owned, independent of the platform that made it.
#[derive(Debug)]
pub struct NetworkWatch {
    shared: Arc<Shared>,
}

/// The sending end; platforms keep it.
#[derive(Debug, Clone)]
pub struct WatchSender {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: AtomicU8,
    changed: Notify,
}

impl NetworkWatch {
    /// A watch and what feeds it.
    pub fn channel() -> (WatchSender, Self) {
        let shared = Arc::new(Shared::default());
        let sender = WatchSender {
            shared: Arc::clone(&shared),
        };
        (sender, Self { shared })
    }

    /// Waits for the next event. Cancel-safe. Waits for ever once nobody can send.
    ///
    /// When both kinds wait, the change of the network comes first.
    pub async fn next(&mut self) -> NetworkEvent {
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            self.shared.changed.notified().await;
        }
    }

    fn take(&self) -> Option<NetworkEvent> {
        [NetworkEvent::NetworkChanged, NetworkEvent::ResolversChanged]
            .into_iter()
            .find(|event| {
                let before = self
                    .shared
                    .pending
                    .fetch_and(!event.bit(), Ordering::AcqRel);
                before & event.bit() != 0
            })
    }
}

impl WatchSender {
    /// Reports an event; `false` if the watch is gone and the sender can be dropped.
    pub fn send(&self, event: NetworkEvent) -> bool {
        self.shared.pending.fetch_or(event.bit(), Ordering::AcqRel);
        self.shared.changed.notify_one();
        !self.is_closed()
    }

    /// Whether the watch is gone. Meaningful while a single sender exists.
    pub fn is_closed(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::Future, pin::pin, task};

    fn poll_once(watch: &mut NetworkWatch) -> Option<NetworkEvent> {
        let mut context = task::Context::from_waker(task::Waker::noop());
        match pin!(watch.next()).poll(&mut context) {
            task::Poll::Ready(event) => Some(event),
            task::Poll::Pending => None,
        }
    }

    #[test]
    fn events_have_names_for_the_log() {
        let names = [NetworkEvent::NetworkChanged, NetworkEvent::ResolversChanged];
        let names = names.map(|event| event.to_string());
        assert_eq!(names, ["network changed", "resolvers changed"]);
    }

    #[test]
    fn burst_is_one_event_of_each_kind() {
        let (sender, mut watch) = NetworkWatch::channel();
        assert_eq!(poll_once(&mut watch), None);
        for _ in 0..1000 {
            sender.send(NetworkEvent::ResolversChanged);
            sender.send(NetworkEvent::NetworkChanged);
        }
        assert_eq!(poll_once(&mut watch), Some(NetworkEvent::NetworkChanged));
        assert_eq!(poll_once(&mut watch), Some(NetworkEvent::ResolversChanged));
        assert_eq!(poll_once(&mut watch), None);
    }

    #[test]
    fn cancelled_wait_loses_nothing() {
        let (sender, mut watch) = NetworkWatch::channel();
        for _ in 0..3 {
            // Each poll registers a waiter and drops it again.
            assert_eq!(poll_once(&mut watch), None);
        }
        sender.send(NetworkEvent::NetworkChanged);
        assert_eq!(poll_once(&mut watch), Some(NetworkEvent::NetworkChanged));
    }

    #[tokio::test]
    async fn waiting_task_is_woken() {
        let (sender, mut watch) = NetworkWatch::channel();
        let task = tokio::spawn(async move { watch.next().await });
        tokio::task::yield_now().await;
        sender.send(NetworkEvent::ResolversChanged);
        assert_eq!(task.await.unwrap(), NetworkEvent::ResolversChanged);
    }

    #[test]
    fn watch_without_a_sender_is_silent() {
        let (sender, mut watch) = NetworkWatch::channel();
        sender.send(NetworkEvent::NetworkChanged);
        drop(sender);
        assert_eq!(poll_once(&mut watch), Some(NetworkEvent::NetworkChanged));
        assert_eq!(poll_once(&mut watch), None);
    }

    #[test]
    fn sender_learns_that_the_watch_is_gone() {
        let (sender, watch) = NetworkWatch::channel();
        assert!(sender.send(NetworkEvent::NetworkChanged));
        drop(watch);
        assert!(!sender.send(NetworkEvent::NetworkChanged));
    }
}
