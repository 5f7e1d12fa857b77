//! The thread that changes the system and watches it.
//!
//! One thread does both, one operation after the other: netlink allows one dump at a time, reverting
//! must work while dropping and thus without a runtime of the caller, and what we change ourselves
//! must not look like news. The thread lives in the network namespace of whoever made the platform.

mod job;
mod news;

use crate::{
    LinuxOptions, dns::Dns, fault, interface, link_scope, netlink::Netlink, routes, rules,
};
use job::Job;
use news::News;
use platform::{InterfacePlan, PlatformFault, WatchSender};
use std::{
    io,
    sync::mpsc as std_mpsc,
    thread::{self, JoinHandle},
};
use tokio::sync::{mpsc, oneshot};

/// The caller's side of the thread. Dropping it reverts everything and ends the thread.
pub(crate) struct Control {
    jobs: Option<mpsc::UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Starts the thread and waits until it can work.
    pub(crate) fn start(options: &LinuxOptions) -> Result<Self, PlatformFault> {
        let dns = Dns::of(options);
        let interface = options.interface.clone();
        let (jobs, receiver) = mpsc::unbounded_channel();
        let (ready, is_ready) = std_mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("network control".into())
            .spawn(move || main(interface, dns, receiver, &ready))
            .map_err(|source| fault("start the control thread", source))?;
        let control = Self {
            jobs: Some(jobs),
            thread: Some(thread),
        };
        match is_ready.recv() {
            Ok(Ok(())) => Ok(control),
            Ok(Err(source)) => Err(fault("open a netlink socket", source)),
            Err(_) => Err(gone()),
        }
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
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Err(error) = self.revert() {
            tracing::warn!(%error, "not everything could be reverted");
        }
        self.jobs = None;
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::warn!("the control thread panicked");
        }
    }
}

fn gone() -> PlatformFault {
    fault("reach the control thread", io::ErrorKind::BrokenPipe.into())
}

/// Runs the thread until all jobs are done and the caller's side is gone.
fn main(
    interface: String,
    dns: Dns,
    jobs: mpsc::UnboundedReceiver<Job>,
    ready: &std_mpsc::SyncSender<io::Result<()>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let worker = runtime.and_then(|runtime| {
        let _context = runtime.enter();
        let netlink = Netlink::open()?;
        Ok((runtime, netlink))
    });
    match worker {
        Ok((runtime, netlink)) => {
            ready.send(Ok(())).ok();
            let worker = Worker {
                netlink,
                interface,
                is_dns_ours: dns.is_set(),
                dns,
                index: None,
                is_applied: false,
            };
            runtime.block_on(worker.run(jobs));
        }
        Err(error) => {
            ready.send(Err(error)).ok();
        }
    }
}

struct Worker {
    netlink: Netlink,
    interface: String,
    dns: Dns,
    // The interface that we made, as long as we know.
    index: Option<u32>,
    is_applied: bool,
    // Whether the resolver's file should have our content, whatever others did to it since.
    is_dns_ours: bool,
}

impl Worker {
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut news = News::start(&self.netlink, &self.dns).await;
        loop {
            tokio::select! {
                job = jobs.recv() => {
                    let Some(job) = job else { return };
                    if let Job::Watch(watch) = job {
                        news.add(watch);
                    } else {
                        self.work(job).await;
                        news.on_own_change(self.is_dns_ours);
                    }
                }
                () = news.settled() => {
                    if self.is_applied {
                        self.copy_connected_networks().await;
                    }
                    news.compare(&self.netlink, &self.dns, self.index).await;
                }
            }
        }
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
            Job::FlushDns => self.dns.flush(),
            Job::Watch(_) => {}
        }
    }

    async fn prepare(&mut self) -> Result<(), PlatformFault> {
        self.index = self.find_interface().await?;
        let Some(index) = self.index else {
            return Err(PlatformFault::NoTun);
        };
        // A crashed run leaves copies of connected networks, which have interfaces of their own.
        if let Err(error) = routes::flush(&self.netlink).await {
            tracing::debug!(%error, "cannot flush old routes");
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
        self.dns.apply(plan)?;
        self.is_dns_ours = self.dns.rewrites_file() && !plan.dns_servers.is_empty();
        Ok(())
    }

    /// Removes everything of ours, and what a crashed run left, unless another client is at work.
    async fn revert(&mut self) -> Result<(), PlatformFault> {
        let found = self.find_interface().await?;
        if let Some(found) = found
            && self.index != Some(found)
        {
            tracing::debug!("another client is running; its settings stay");
            return Ok(());
        }
        self.is_applied = false;
        let dns = self.dns.revert();
        self.is_dns_ours &= dns.is_err();
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
            tracing::debug!(%error, "cannot copy routes of connected networks");
        }
    }
}
