//! Watches network and resolvers: waits until the system is quiet, compares it with what it looked like
//! before, and reports differences that a client should react to. spec: platform 5

use super::{debounce::Debounce, upstreams::Upstreams};
use crate::{
    dns::{Dns, ResolverState},
    file_watch::FileWatch,
    netlink::Netlink,
    network_state::NetworkState,
};
use futures_util::{StreamExt as _, stream::BoxStream};
use platform::{NetworkEvent, PlatformFault, WatchSender};
use rtnetlink::MulticastGroup;
use std::{future::pending, io};
use tokio::{
    task::JoinHandle,
    time::{Duration, Instant, sleep_until},
};

/// Quiet time after the last message before the network is compared. spec: platform 17
const NETWORK_QUIET: Duration = Duration::from_millis(500);

/// Longest time that continuous messages can hold up that comparison.
const NETWORK_PATIENCE: Duration = Duration::from_secs(2);

/// Quiet time after the last message before resolvers are compared: long enough for a program to
/// write a file, short enough that nobody misses DNS.
const RESOLVERS_QUIET: Duration = Duration::from_millis(200);

/// Longest time that continuous messages can hold up that comparison.
const RESOLVERS_PATIENCE: Duration = Duration::from_millis(600);

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
pub(super) struct NetworkMonitor {
    kernel: Option<KernelMessages>,
    file: Option<FileWatch>,
    network: Debounce,
    resolvers: Debounce,
    state: Option<NetworkState>,
    upstreams: Upstreams,
    watches: Vec<WatchSender>,
}

/// What should be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Addresses and routes.
    Network,
    /// Resolvers, the system's and ours.
    Resolvers,
}

impl NetworkMonitor {
    /// Opens the sources and looks at the system for the first time.
    pub(super) async fn start(netlink: &Netlink, dns: &mut Dns, upstreams: Upstreams) -> Self {
        let mut monitor = Self {
            kernel: open("network", KernelMessages::open()),
            file: watch(dns),
            network: Debounce::new(NETWORK_QUIET, NETWORK_PATIENCE),
            resolvers: Debounce::new(RESOLVERS_QUIET, RESOLVERS_PATIENCE),
            state: NetworkState::snapshot(netlink, None).await.ok(),
            upstreams,
            watches: Vec::new(),
        };
        monitor.on_resolver_state(dns.snapshot(netlink, None).await);
        monitor
    }

    /// Adds somebody who wants to know.
    pub(super) fn add(&mut self, watch: WatchSender) {
        self.watches.retain(|watch| !watch.is_closed());
        self.watches.push(watch);
    }

    /// Completes once messages came in and the system is quiet again. Cancel-safe.
    pub(super) async fn settled(&mut self, dns: &mut Dns) -> Due {
        loop {
            let (network, resolvers) = (self.network.deadline(), self.resolvers.deadline());
            tokio::select! {
                message = next_message(&mut self.kernel) => {
                    if message.is_none() {
                        self.kernel = None;
                        self.network.at_least(REOPEN);
                    }
                    self.network.on_message(Instant::now());
                }
                changed = next_change(&self.file) => {
                    match changed {
                        Ok(()) => self.resolvers.on_message(Instant::now()),
                        Err(_) => {
                            self.file = None;
                            self.snapshot_later();
                        }
                    }
                }
                changed = dns.changed() => {
                    match changed {
                        Ok(()) => self.resolvers.on_message(Instant::now()),
                        // Looking connects again.
                        Err(_) => self.snapshot_later(),
                    }
                }
                () = at(resolvers) => {
                    self.resolvers.clear();
                    return Due::Resolvers;
                }
                () = at(network) => {
                    self.network.clear();
                    return Due::Network;
                }
            }
        }
    }

    /// Looks at the network again and reports what differs.
    pub(super) async fn compare(&mut self, netlink: &Netlink, own: Option<u32>) {
        if self.kernel.is_none() {
            self.kernel = open("network", KernelMessages::open());
        }
        match NetworkState::snapshot(netlink, own).await {
            Ok(state) => {
                if self.state.as_ref().is_some_and(|before| *before != state) {
                    self.report(NetworkEvent::NetworkChanged);
                }
                self.state = Some(state);
            }
            Err(error) => tracing::debug!(%error, "Cannot look at the network"),
        }
    }

    /// Takes in what the resolvers look like, reports if the system's differ, and returns whether
    /// ours are lost.
    pub(super) fn on_resolver_state(
        &mut self,
        state: Result<ResolverState, PlatformFault>,
    ) -> bool {
        let is_overwritten = state.as_ref().is_ok_and(|state| state.is_overwritten);
        if self.upstreams.replace(state.map(|state| state.resolvers)) {
            self.report(NetworkEvent::ResolversChanged);
        }
        is_overwritten
    }

    /// Watches the file again if watching it failed.
    pub(super) fn reopen(&mut self, dns: &Dns) {
        if self.file.is_none() {
            self.file = watch(dns);
        }
    }

    /// Has the resolvers looked at later, without any message.
    pub(super) fn snapshot_later(&mut self) {
        self.resolvers.at_least(REOPEN);
        self.resolvers.on_message(Instant::now());
    }

    fn report(&mut self, event: NetworkEvent) {
        tracing::debug!(%event, "Reporting a change");
        self.watches.retain(|watch| watch.send(event));
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
        .inspect_err(|error| tracing::warn!(%error, what, "Changes will not be noticed"))
        .ok()
}

/// Watches the file of resolvers. Where the bus tells of changes, too, it may be missing.
fn watch(dns: &Dns) -> Option<FileWatch> {
    let file = FileWatch::new(dns.watched_file());
    if dns.has_bus() {
        return file
            .inspect_err(|error| tracing::debug!(%error, "There is no file of resolvers to watch"))
            .ok();
    }
    open("resolvers", file)
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

/// Waits for a point in time, for ever if there is none.
pub(super) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
