//! The thread that changes the system and watches it.
//!
//! One thread does both, one operation after the other: netlink allows one dump at a time, reverting
//! must work while dropping and thus without a runtime of the caller, and what we change ourselves
//! must not be taken for a change by others. The thread lives in the network namespace of whoever made the platform.

mod debounce;
mod job;
mod monitor;
mod reapply_backoff;
mod upstreams;

use crate::{
    LinuxOptions, dns::Dns, fault, interface, link_scope, netlink::Netlink, routes, rules,
};
use job::Job;
use monitor::{Due, NetworkMonitor, at};
use platform::{InterfacePlan, PlatformFault, SystemExchange, SystemResolver, WatchSender};
use reapply_backoff::{Overwrite, ReapplyBackoff};
use std::{
    io,
    sync::{Arc, mpsc as std_mpsc},
    thread::{self, JoinHandle},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use upstreams::Upstreams;

/// The caller's side of the thread. Dropping it reverts everything and ends the thread.
pub(crate) struct Control {
    jobs: Option<mpsc::UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
    upstreams: Upstreams,
}

impl Control {
    /// Starts the thread and waits until it can work.
    pub(crate) fn start(options: &LinuxOptions) -> Result<Self, PlatformFault> {
        let upstreams = Upstreams::default();
        let (jobs, receiver) = mpsc::unbounded_channel();
        let (ready, is_ready) = std_mpsc::sync_channel(1);
        let (options, seen) = (options.clone(), upstreams.clone());
        let thread = thread::Builder::new()
            .name("network control".into())
            .spawn(move || main(&options, seen, receiver, &ready))
            .map_err(|source| fault("start the control thread", source))?;
        let control = Self {
            jobs: Some(jobs),
            thread: Some(thread),
            upstreams,
        };
        match is_ready.recv() {
            Ok(Ok(())) => Ok(control),
            Ok(Err(fault)) => {
                control.abandon();
                Err(fault)
            }
            Err(_) => Err(gone()),
        }
    }

    /// Ends without reverting, which a thread that could not start would not do anyway.
    fn abandon(mut self) {
        self.jobs = None;
        self.join();
    }

    /// Prepares the device that was just made. Blocks for a few system calls.
    pub(crate) fn prepare(&self) -> Result<(), PlatformFault> {
        self.ask(Job::Prepare)
    }

    /// Makes the system look as planned.
    pub(crate) async fn apply(&self, plan: InterfacePlan) -> Result<(), PlatformFault> {
        let (reply, answer) = oneshot::channel();
        self.submit(Job::Apply(Box::new(plan), reply));
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Removes everything. Blocks for a few system calls.
    pub(crate) fn revert(&self) -> Result<(), PlatformFault> {
        self.ask(Job::Revert)
    }

    /// Adds a watch.
    pub(crate) fn watch(&self, watch: WatchSender) {
        self.submit(Job::Watch(watch));
    }

    /// The system's resolvers as they were last seen.
    pub(crate) fn resolvers(&self) -> Result<Vec<SystemResolver>, PlatformFault> {
        self.upstreams.get()
    }

    /// Asks by way of the thread, for as long as it lives.
    pub(crate) fn exchange(&self) -> SystemExchange {
        let jobs = self.jobs.as_ref().map(mpsc::UnboundedSender::downgrade);
        Arc::new(move |link, query| {
            let (reply, answer) = oneshot::channel();
            let jobs = jobs.as_ref().and_then(mpsc::WeakUnboundedSender::upgrade);
            // A job that nobody takes drops its reply.
            if let Some(jobs) = jobs {
                jobs.send(Job::Ask { link, query, reply }).ok();
            }
            Box::pin(async move {
                let gone = |_| Err(io::ErrorKind::BrokenPipe.into());
                answer.await.unwrap_or_else(gone)
            })
        })
    }

    /// Flushes the DNS cache some time soon.
    pub(crate) fn flush_dns(&self) {
        self.submit(Job::FlushDns);
    }

    fn ask(
        &self,
        job: impl FnOnce(std_mpsc::SyncSender<Result<(), PlatformFault>>) -> Job,
    ) -> Result<(), PlatformFault> {
        let (reply, answer) = std_mpsc::sync_channel(1);
        self.submit(job(reply));
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// A job that cannot be submitted drops its reply, which the caller notices.
    fn submit(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            jobs.send(job).ok();
        }
    }

    fn join(&mut self) {
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::warn!("The control thread panicked");
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if self.jobs.is_none() {
            return;
        }
        if let Err(error) = self.revert() {
            tracing::warn!(%error, "Not everything could be reverted");
        }
        self.jobs = None;
        self.join();
    }
}

fn gone() -> PlatformFault {
    fault("reach the control thread", io::ErrorKind::BrokenPipe.into())
}

/// Runs the thread until all jobs are done and the caller's side is gone.
fn main(
    options: &LinuxOptions,
    upstreams: Upstreams,
    jobs: mpsc::UnboundedReceiver<Job>,
    ready: &std_mpsc::SyncSender<Result<(), PlatformFault>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(source) => {
            ready.send(Err(fault("start a runtime", source))).ok();
            return;
        }
    };
    runtime.block_on(async {
        match Worker::start(options, upstreams).await {
            Ok(worker) => {
                ready.send(Ok(())).ok();
                worker.run(jobs).await;
            }
            Err(fault) => {
                ready.send(Err(fault)).ok();
            }
        }
    });
}

struct Worker {
    netlink: Netlink,
    interface: String,
    dns: Dns,
    monitor: NetworkMonitor,
    // The interface that we made, as long as we know.
    index: Option<u32>,
    is_applied: bool,
    backoff: ReapplyBackoff,
    // Whether the operator knows that overwritten settings cannot be put back.
    has_complained: bool,
}

impl Worker {
    async fn start(options: &LinuxOptions, upstreams: Upstreams) -> Result<Self, PlatformFault> {
        let netlink = Netlink::open().map_err(|source| fault("open a netlink socket", source))?;
        let mut dns = Dns::start(options).await?;
        let monitor = NetworkMonitor::start(&netlink, &mut dns, upstreams).await;
        Ok(Self {
            netlink,
            interface: options.interface.clone(),
            dns,
            monitor,
            index: None,
            is_applied: false,
            backoff: ReapplyBackoff::default(),
            has_complained: false,
        })
    }

    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        loop {
            tokio::select! {
                job = jobs.recv() => {
                    let Some(job) = job else { return };
                    self.work(job).await;
                }
                due = self.monitor.settled(&mut self.dns) => match due {
                    Due::Network => {
                        if self.is_applied {
                            self.copy_connected_networks().await;
                        }
                        // Before the change of the network is reported: whoever hears of it asks for resolvers.
                        self.look_at_resolvers().await;
                        self.monitor.compare(&self.netlink, self.index).await;
                    }
                    Due::Resolvers => self.look_at_resolvers().await,
                },
                () = at(self.backoff.due()) => self.put_back().await,
            }
        }
    }

    /// Reports what others changed, and sees to it that ours come back.
    async fn look_at_resolvers(&mut self) {
        self.monitor.reopen(&self.dns);
        if self.are_resolvers_overwritten().await {
            match self.backoff.on_overwrite(Instant::now()) {
                Overwrite::Known => {}
                Overwrite::New => tracing::info!("Another program replaced the DNS settings"),
                Overwrite::Repeated => tracing::warn!(
                    "Another program keeps replacing the DNS settings; they are put back ever \
                     more slowly: choose another DNS control method, or stop that program"
                ),
            }
        }
    }

    async fn are_resolvers_overwritten(&mut self) -> bool {
        let state = self.dns.snapshot(&self.netlink, self.index).await;
        if self.dns.is_cut_off() {
            self.monitor.snapshot_later();
        }
        let is_overwritten = self.monitor.on_resolver_state(state);
        self.has_complained &= is_overwritten;
        is_overwritten
    }

    async fn put_back(&mut self) {
        // Others may have put it right, or changed it again, since.
        if self.are_resolvers_overwritten().await
            && let Err(fault) = self.dns.put_back(self.index).await
            && !std::mem::replace(&mut self.has_complained, true)
        {
            tracing::warn!(error = %fault, "Names of resources cannot be found");
        }
        self.backoff.on_attempt(Instant::now());
    }

    async fn work(&mut self, job: Job) {
        match job {
            Job::Prepare(reply) => {
                let result = self.prepare().await;
                reply.send(result).ok();
            }
            Job::Apply(plan, reply) => {
                let result = self.apply(&plan).await;
                reply.send(result).ok();
            }
            Job::Revert(reply) => {
                let result = self.revert().await;
                reply.send(result).ok();
            }
            Job::Ask { link, query, reply } => self.dns.ask(link, query, reply),
            Job::FlushDns => self.dns.flush().await,
            Job::Watch(watch) => self.monitor.add(watch),
        }
    }

    async fn prepare(&mut self) -> Result<(), PlatformFault> {
        self.index = self.find_interface().await?;
        let Some(index) = self.index else {
            return Err(PlatformFault::NoTun);
        };
        // A crashed run leaves copies of connected networks, which have interfaces of their own.
        if let Err(error) = routes::flush(&self.netlink).await {
            tracing::debug!(%error, "Cannot flush old routes");
        }
        interface::prepare(&self.netlink, index).await;
        Ok(())
    }

    async fn apply(&mut self, plan: &InterfacePlan) -> Result<(), PlatformFault> {
        let found = self.find_interface().await?;
        let index = match (found, self.index) {
            (Some(found), Some(ours)) if found == ours => ours,
            _ => return Err(PlatformFault::NoTun),
        };
        self.is_applied = true;
        let families = interface::configure(&self.netlink, index, plan).await?;
        rules::add(&self.netlink, families).await;
        routes::replace(&self.netlink, index, &plan.networks(), families).await?;
        self.copy_connected_networks().await;
        self.dns.apply(index, plan).await?;
        let state = self.dns.snapshot(&self.netlink, self.index).await;
        self.monitor.on_resolver_state(state);
        Ok(())
    }

    /// Removes everything of ours, and what a crashed run left, unless another client is at work.
    async fn revert(&mut self) -> Result<(), PlatformFault> {
        let found = self.find_interface().await?;
        if let Some(found) = found
            && self.index != Some(found)
        {
            tracing::debug!("Another client is running; its settings stay");
            return Ok(());
        }
        self.is_applied = false;
        self.backoff.end();
        let dns = self.dns.revert(found).await;
        let rules = rules::remove(&self.netlink)
            .await
            .map_err(|source| fault("remove policy rules", source));
        let routes = routes::flush(&self.netlink)
            .await
            .map_err(|source| fault("remove routes", source));
        let addresses = match found {
            Some(index) => interface::remove_addresses(&self.netlink, index, &[])
                .await
                .map_err(|source| fault("remove addresses", source)),
            None => Ok(()),
        };
        dns.and(rules).and(routes).and(addresses)
    }

    async fn find_interface(&self) -> Result<Option<u32>, PlatformFault> {
        self.netlink
            .index_of(&self.interface)
            .await
            .map_err(|source| fault("look for the interface", source))
    }

    async fn copy_connected_networks(&self) {
        if let Err(error) = link_scope::synchronise(&self.netlink, self.index).await {
            tracing::debug!(%error, "Cannot copy routes of connected networks");
        }
    }
}
