//! News for the application.

use crate::error::Disconnected;
use model::InterfacePlan;
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Events about single gateways that wait at most; older ones are forgotten.
const MAX_WAITING: usize = 128;

/// Something that an application may want to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The interface is configured for the first time; the value is the time since the start.
    Ready(Duration),
    /// The interface was configured; of several changes only the latest is told.
    InterfaceChanged(InterfacePlan),
    /// The list of resources or their states changed; see [`crate::Session::status`].
    ResourcesChanged,
    /// A connection to a gateway came or went.
    Gateway(tunnel_core::Event),
    /// The session is over; nothing follows.
    Disconnected(Disconnected),
}

#[derive(Debug, Default)]
struct Waiting {
    ready: Option<Duration>,
    interface: Option<InterfacePlan>,
    resources: bool,
    gateways: VecDeque<tunnel_core::Event>,
    disconnected: Option<Disconnected>,
    over: bool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Notify,
}

/// The events of a session. A slow application misses intermediate values, never the latest.
#[derive(Debug)]
pub struct EventStream(Arc<Shared>);

/// Where the session puts its events.
#[derive(Debug, Clone)]
pub(crate) struct EventSink(Arc<Shared>);

pub(crate) fn channel() -> (EventSink, EventStream) {
    let shared = Arc::new(Shared::default());
    (EventSink(Arc::clone(&shared)), EventStream(shared))
}

impl EventStream {
    /// Waits for the next event; none when the session is over. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            {
                let mut waiting = self.0.waiting.lock();
                if let Some(event) = waiting.next() {
                    return Some(event);
                }
                if waiting.over {
                    return None;
                }
            }
            self.0.news.notified().await;
        }
    }
}

impl Waiting {
    fn next(&mut self) -> Option<Event> {
        if let Some(plan) = self.interface.take() {
            return Some(Event::InterfaceChanged(plan));
        }
        if let Some(after) = self.ready.take() {
            return Some(Event::Ready(after));
        }
        if std::mem::take(&mut self.resources) {
            return Some(Event::ResourcesChanged);
        }
        if let Some(event) = self.gateways.pop_front() {
            return Some(Event::Gateway(event));
        }
        self.disconnected.take().map(Event::Disconnected)
    }
}

impl EventSink {
    pub(crate) fn send(&self, event: Event) {
        let mut waiting = self.0.waiting.lock();
        match event {
            Event::Ready(after) => waiting.ready = Some(after),
            Event::InterfaceChanged(plan) => waiting.interface = Some(plan),
            Event::ResourcesChanged => waiting.resources = true,
            Event::Gateway(event) => {
                if waiting.gateways.len() >= MAX_WAITING {
                    waiting.gateways.pop_front();
                }
                waiting.gateways.push_back(event);
            }
            Event::Disconnected(reason) => waiting.disconnected = Some(reason),
        }
        drop(waiting);
        self.0.news.notify_one();
    }

    /// Nothing follows.
    pub(crate) fn finish(&self) {
        self.0.waiting.lock().over = true;
        self.0.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_latest_value_of_each_kind_is_told_and_the_end_comes_last() {
        let (sink, mut stream) = channel();
        sink.send(Event::Disconnected(Disconnected::DataPlane("gone".into())));
        sink.send(Event::ResourcesChanged);
        sink.send(Event::ResourcesChanged);
        sink.send(Event::Ready(Duration::from_secs(1)));
        sink.finish();
        assert!(matches!(stream.next().await, Some(Event::Ready(_))));
        assert!(matches!(stream.next().await, Some(Event::ResourcesChanged)));
        assert!(matches!(stream.next().await, Some(Event::Disconnected(_))));
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn waiting_events_are_bounded() {
        let (sink, mut stream) = channel();
        for n in 0..=255 {
            let gateway = model::GatewayId::from_bytes([n; 16]);
            sink.send(Event::Gateway(tunnel_core::Event::GatewayConnected(
                gateway,
            )));
        }
        sink.finish();
        let mut count = 0;
        while stream.next().await.is_some() {
            count += 1;
        }
        assert_eq!(count, MAX_WAITING);
    }
}
