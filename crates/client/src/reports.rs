//! What the data plane tells the control task.
//!
//! The data plane never waits for the control task, which may be busy with the operating system
//! for a while, and nothing that changes state may be lost meanwhile. So there is no queue of
//! everything: of plan and key only the newest matters, candidates add up, and what is worthless
//! when late has a bound.

use crate::candidates::Candidates;
use model::{InterfacePlan, PublicKey, ResourceId};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::Notify;
use tunnel_core::{DnsQuery, Event, PortalRequest};

/// Queries that wait to be forwarded; as many as the forwarder asks at a time.
/// spec: data-plane 12.5
const MAX_QUERIES: usize = 1000;

/// Requests for flows that wait, the oldest first out: traffic repeats them.
const MAX_FLOWS: usize = 256;

/// Events about gateways that wait, the oldest first out: what is so is seen in the status.
const MAX_EVENTS: usize = 1024;

/// All that was told since the control task last looked.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// The tunnel has a new key after a reset, and the portal has to know. All else here is newer.
    pub(crate) key: Option<PublicKey>,
    /// A new connection to the portal is wanted, for the relays that it brings.
    pub(crate) reconnect: bool,
    /// Resources that access is wanted to.
    pub(crate) flows: VecDeque<PortalRequest>,
    /// Addresses that lead to us, or no longer do.
    pub(crate) candidates: Candidates,
    /// DNS servers outside the tunnel are to be asked.
    pub(crate) queries: VecDeque<DnsQuery>,
    /// The list of resources, or the state of one, changed.
    pub(crate) resources_changed: bool,
    /// What became of gateways.
    pub(crate) events: VecDeque<Event>,
    /// What the interface should look like.
    pub(crate) plan: Option<InterfacePlan>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Notify,
    closed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    reports: Reports,
    has_news: bool,
    is_over: bool,
}

/// The end of the data plane.
#[derive(Debug)]
pub(crate) struct ReportSink(Arc<Shared>);

/// The end of the control task.
#[derive(Debug)]
pub(crate) struct ReportStream(Arc<Shared>);

pub(crate) fn channel() -> (ReportSink, ReportStream) {
    let shared = Arc::new(Shared::default());
    (ReportSink(Arc::clone(&shared)), ReportStream(shared))
}

impl ReportSink {
    /// The interface is to be configured like this.
    pub(crate) fn plan(&self, plan: InterfacePlan) {
        self.tell(|reports| reports.plan = Some(plan));
    }

    /// The tunnel was reset: what it asked the portal and DNS servers for before is void.
    pub(crate) fn reset(&self, key: PublicKey) {
        self.tell(|reports| {
            reports.key = Some(key);
            reports.reconnect = false;
            reports.flows.clear();
            reports.candidates = Candidates::default();
            reports.queries.clear();
        });
    }

    /// The portal is to be told.
    pub(crate) fn request(&self, request: PortalRequest) {
        self.tell(|reports| match request {
            PortalRequest::Reconnect => reports.reconnect = true,
            PortalRequest::CreateFlow { resource, .. } => {
                reports.flows.retain(|waiting| !is_for(waiting, resource));
                push(&mut reports.flows, request, MAX_FLOWS);
            }
            PortalRequest::AddCandidates {
                gateway,
                candidates,
            } => reports.candidates.add(gateway, candidates),
            PortalRequest::RemoveCandidates {
                gateway,
                candidates,
            } => reports.candidates.remove(gateway, candidates),
        });
    }

    /// The application may want to know.
    pub(crate) fn event(&self, event: Event) {
        self.tell(|reports| match event {
            Event::ResourcesChanged => reports.resources_changed = true,
            event => push(&mut reports.events, event, MAX_EVENTS),
        });
    }

    /// A DNS server outside the tunnel is to be asked; gives the query back if too many wait.
    pub(crate) fn query(&self, query: DnsQuery) -> Option<DnsQuery> {
        self.tell(|reports| {
            if reports.queries.len() >= MAX_QUERIES {
                return Some(query);
            }
            reports.queries.push_back(query);
            None
        })
    }

    /// Waits until nobody listens any more. Cancel-safe.
    pub(crate) async fn closed(&self) {
        while !self.0.waiting.lock().is_over {
            self.0.closed.notified().await;
        }
    }

    fn tell<R>(&self, change: impl FnOnce(&mut Reports) -> R) -> R {
        let mut waiting = self.0.waiting.lock();
        let result = change(&mut waiting.reports);
        waiting.has_news = true;
        drop(waiting);
        self.0.news.notify_one();
        result
    }
}

impl ReportStream {
    /// Waits for news; all that there is, none once the data plane has ended. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Reports> {
        loop {
            {
                let mut waiting = self.0.waiting.lock();
                if std::mem::take(&mut waiting.has_news) {
                    return Some(std::mem::take(&mut waiting.reports));
                }
                if waiting.is_over {
                    return None;
                }
            }
            self.0.news.notified().await;
        }
    }
}

impl Drop for ReportSink {
    fn drop(&mut self) {
        self.0.waiting.lock().is_over = true;
        self.0.news.notify_one();
    }
}

impl Drop for ReportStream {
    fn drop(&mut self) {
        self.0.waiting.lock().is_over = true;
        self.0.closed.notify_one();
    }
}

fn is_for(request: &PortalRequest, wanted: ResourceId) -> bool {
    matches!(request, PortalRequest::CreateFlow { resource, .. } if *resource == wanted)
}

/// Adds to a queue that the oldest entry leaves when it is full.
fn push<T>(queue: &mut VecDeque<T>, item: T, limit: usize) {
    if queue.len() >= limit {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests;
