//! Tells news from noise: waits until the system is quiet, compares it with what it looked like
//! before, and reports differences that a client should react to. spec: platform 5

use crate::{dns::Dns, file_watch::FileWatch, landscape::Landscape, netlink::Netlink};
use futures_util::{StreamExt as _, stream::BoxStream};
use platform::{NetworkEvent, WatchSender};
use rtnetlink::MulticastGroup;
use std::{future::pending, io, net::IpAddr};
use tokio::{
    task::JoinHandle,
    time::{Duration, Instant, sleep_until},
};

/// Quiet time after the last message before anything is compared. spec: platform 17
const QUIET: Duration = Duration::from_millis(500);

/// Longest time that continuous messages can hold up a comparison.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time until a lost source of messages is opened again.
const REOPEN: Duration = Duration::from_secs(5);

const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Sources of messages, the picture before, and who wants to know.
pub(super) struct News {
    kernel: Option<KernelMessages>,
    file: Option<FileWatch>,
    debounce: Debounce,
    landscape: Option<Landscape>,
    resolvers: Resolvers,
    watches: Vec<WatchSender>,
}

/// What a change of resolvers is recognised by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Resolvers {
    addresses: Vec<IpAddr>,
    // Another program that overwrites our file is news even if it names the same resolvers.
    are_ours: bool,
}

impl News {
    /// Opens the sources and looks at the system for the first time.
    pub(super) async fn start(netlink: &Netlink, dns: &Dns) -> Self {
        let kernel = open("network", KernelMessages::open());
        let file = open("resolvers", FileWatch::new(dns.watched_file()));
        Self {
            kernel,
            file,
            debounce: Debounce::default(),
            landscape: Landscape::look(netlink, None).await.ok(),
            resolvers: Resolvers::look(dns),
            watches: Vec::new(),
        }
    }

    /// Adds somebody who wants to know.
    pub(super) fn add(&mut self, watch: WatchSender) {
        self.watches.retain(|watch| !watch.is_closed());
        self.watches.push(watch);
    }

    /// Notes what we changed ourselves, so that it is not reported. It must be what we meant and not
    /// what the file holds: others may have written it since.
    pub(super) fn on_own_change(&mut self, are_ours: bool) {
        self.resolvers.are_ours = are_ours;
    }

    /// Completes once messages came in and the system is quiet again. Cancel-safe.
    pub(super) async fn settled(&mut self) {
        loop {
            let deadline = self.debounce.deadline();
            tokio::select! {
                message = next_message(&mut self.kernel) => {
                    if message.is_none() {
                        self.kernel = None;
                        self.debounce.at_least(REOPEN);
                    }
                    self.debounce.on_message(Instant::now());
                }
                changed = next_change(&self.file) => {
                    if changed.is_err() {
                        self.file = None;
                    }
                    self.debounce.on_message(Instant::now());
                }
                () = at(deadline) => {
                    self.debounce.clear();
                    return;
                }
            }
        }
    }

    /// Looks again and reports what differs.
    pub(super) async fn compare(&mut self, netlink: &Netlink, dns: &Dns, own: Option<u32>) {
        if self.kernel.is_none() {
            self.kernel = open("network", KernelMessages::open());
        }
        match Landscape::look(netlink, own).await {
            Ok(landscape) => {
                if self.landscape.as_ref().is_some_and(|l| *l != landscape) {
                    self.report(NetworkEvent::NetworkChanged);
                }
                self.landscape = Some(landscape);
            }
            Err(error) => tracing::debug!(%error, "cannot look at the network"),
        }
        let resolvers = Resolvers::look(dns);
        if resolvers != self.resolvers {
            self.resolvers = resolvers;
            self.report(NetworkEvent::ResolversChanged);
        }
    }

    fn report(&mut self, event: NetworkEvent) {
        tracing::debug!(?event, "news");
        self.watches.retain(|watch| watch.send(event));
    }
}

impl Resolvers {
    fn look(dns: &Dns) -> Self {
        Self {
            addresses: dns.resolvers().unwrap_or_default(),
            are_ours: dns.is_set(),
        }
    }
}

/// A netlink socket that only listens. It is not the one that asks, because under load the kernel
/// drops messages of a listening socket and would drop answers with them.
struct KernelMessages {
    messages: BoxStream<'static, ()>,
    reader: JoinHandle<()>,
}

impl KernelMessages {
    fn open() -> io::Result<Self> {
        let (connection, _, messages) = rtnetlink::new_multicast_connection(&GROUPS)?;
        Ok(Self {
            messages: messages.map(|_| ()).boxed(),
            reader: tokio::spawn(connection),
        })
    }
}

impl Drop for KernelMessages {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn open<T>(what: &str, result: io::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| tracing::warn!(%error, what, "changes will not be noticed"))
        .ok()
}

async fn next_message(kernel: &mut Option<KernelMessages>) -> Option<()> {
    match kernel {
        Some(kernel) => kernel.messages.next().await,
        None => pending().await,
    }
}

async fn next_change(file: &Option<FileWatch>) -> io::Result<()> {
    match file {
        Some(file) => file.changed().await,
        None => pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// When to compare: a while after the last message, but not too long after the first.
#[derive(Debug, Default)]
struct Debounce {
    first: Option<Instant>,
    last: Option<Instant>,
    minimum: Duration,
}

impl Debounce {
    fn on_message(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn at_least(&mut self, minimum: Duration) {
        self.minimum = minimum;
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn deadline(&self) -> Option<Instant> {
        let (first, last) = (self.first?, self.last?);
        let usual = (last + QUIET).min(first + PATIENCE);
        Some(usual.max(first + self.minimum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_waits_for_quiet_but_not_for_ever() {
        let start = Instant::now();
        let mut debounce = Debounce::default();
        assert_eq!(debounce.deadline(), None);
        debounce.on_message(start);
        assert_eq!(debounce.deadline(), Some(start + QUIET));
        let step = Duration::from_millis(400);
        debounce.on_message(start + step);
        assert_eq!(debounce.deadline(), Some(start + step + QUIET));
        for i in 2..100 {
            debounce.on_message(start + step * i);
        }
        assert_eq!(debounce.deadline(), Some(start + PATIENCE));
        debounce.clear();
        assert_eq!(debounce.deadline(), None);
    }

    #[test]
    fn lost_source_is_not_opened_again_in_a_hurry() {
        let start = Instant::now();
        let mut debounce = Debounce::default();
        debounce.at_least(REOPEN);
        debounce.on_message(start);
        assert_eq!(debounce.deadline(), Some(start + REOPEN));
    }
}
