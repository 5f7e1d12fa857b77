//! A host: a thread in namespaces of its own.

use super::{
    fault::{Context as _, Fault},
    files,
    link::{self, Link},
    namespace,
};
use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    process::{Child, Command},
    sync::mpsc,
    thread::{self, JoinHandle},
};

type Job = Box<dyn FnOnce() + Send>;

/// A host of the testbed: a thread that lives in its own network, mount and host-name namespaces.
///
/// Sockets made in [`Host::run`] and programs started with [`Host::spawn`] are in the host. It has
/// private `/etc`, `/run`, `/var/lib` and `/var/log`, so nothing on it changes the machine. It
/// goes away with the value, and so do its programs.
pub struct Host {
    name: String,
    thread_id: i32,
    network: OwnedFd,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Makes a host without links whose programs ask `resolver` for names.
    pub(crate) fn new(name: &str, resolver: Option<&str>) -> Result<Self, Fault> {
        let (jobs, work) = mpsc::channel::<Job>();
        let (report, ready) = mpsc::channel();
        let (own_name, resolver) = (name.to_owned(), resolver.map(str::to_owned));
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let prepared = prepare(&own_name, resolver.as_deref());
                let usable = prepared.is_ok();
                if report.send(prepared).is_err() || !usable {
                    return;
                }
                while let Ok(job) = work.recv() {
                    job();
                }
            })
            .context(|| format!("start a thread for {name}"))?;
        let (thread_id, network) = ready
            .recv()
            .map_err(|_| Fault::Check(format!("the thread of {name} ended early")))??;
        Ok(Self {
            name: name.to_owned(),
            thread_id,
            network,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The thread whose namespaces these are: `nsenter -t` takes it.
    pub const fn thread_id(&self) -> i32 {
        self.thread_id
    }

    /// Runs something on the host and waits for it.
    ///
    /// # Errors
    ///
    /// When it panicked.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let (sender, receiver) = mpsc::channel();
        self.submit(Box::new(move || {
            // A job that panics must not take the programs of the host with it.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            drop(sender.send(result));
        }))?;
        match receiver.recv() {
            Ok(Ok(value)) => Ok(value),
            _ => Err(Fault::Check(format!("a task on {} panicked", self.name))),
        }
    }

    /// Starts something on a thread of its own on the host.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, Fault> {
        let name = self.name.clone();
        self.run(move || thread::Builder::new().name(name).spawn(job))?
            .context(|| format!("start a thread on {}", self.name))
    }

    /// Runs a future on the host and waits for it.
    ///
    /// # Errors
    ///
    /// When it fails or panics, or there is no runtime to be had; `action` is what was tried.
    pub(crate) fn block_on<T: Send + 'static, F: Future<Output = io::Result<T>>>(
        &self,
        action: &str,
        job: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, Fault> {
        self.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async { job().await })
        })?
        .context(|| format!("{action} on {}", self.name))
    }

    /// Starts a program on the host; it dies with the host.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(&self, mut command: Command) -> Result<Child, Fault> {
        namespace::tie_to_this_thread(&mut command);
        let program = command.get_program().to_string_lossy().into_owned();
        self.run(move || command.spawn())?
            .context(|| format!("start {program} on {}", self.name))
    }

    /// Lets every user of the host make TUN interfaces, with the capability that this takes; on
    /// some machines the node is for root alone. Only root can do this.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn share_tun(&self) -> Result<(), Fault> {
        self.run(files::share_tun)?
    }

    /// Shows a file of the machine at `at` on the host, below `/run`, where every user can reach it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn show(&self, file: &Path, at: &Path) -> Result<(), Fault> {
        let (file, at) = (file.to_owned(), at.to_owned());
        self.run(move || files::show(&file, &at))?
    }

    /// The links of the host with what went through them.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn links(&self) -> Result<Vec<Link>, Fault> {
        self.block_on("look at the links", link::links)
    }

    /// Everything that a tunnel may change about the host's network and must put back: links,
    /// addresses, routes and rules, a line each, and `resolv.conf`.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn network_state(&self) -> Result<Vec<String>, Fault> {
        let mut lines = self.block_on("look at the network", link::network_state)?;
        let resolv_conf = self.run(|| std::fs::read_to_string("/etc/resolv.conf"))?;
        lines.push(format!("resolv.conf {:?}", resolv_conf.ok()));
        Ok(lines)
    }

    /// The network namespace.
    pub(crate) fn network(&self) -> BorrowedFd<'_> {
        self.network.as_fd()
    }

    /// Writes kernel parameters of the host's network: `net/ipv4/ip_forward`.
    pub(crate) fn set(
        &self,
        parameters: &'static [(&'static str, &'static str)],
    ) -> Result<(), Fault> {
        self.run(move || {
            parameters.iter().try_for_each(|(name, value)| {
                std::fs::write(format!("/proc/sys/{name}"), value)
                    .context(|| format!("set {name} to {value}"))
            })
        })?
    }

    fn submit(&self, job: Job) -> Result<(), Fault> {
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(Fault::Check(format!("{} is not there any more", self.name))),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic was already reported where it happened.
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn prepare(name: &str, resolver: Option<&str>) -> Result<(i32, OwnedFd), Fault> {
    namespace::leave().map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => Fault::Missing {
            what: "the permission to make namespaces",
            remedy: "run as root, or allow user namespaces (kernel.unprivileged_userns_clone, \
                     kernel.apparmor_restrict_unprivileged_userns)"
                .to_owned(),
        },
        _ => Fault::Io {
            action: "make namespaces; the kernel must be able to".to_owned(),
            source,
        },
    })?;
    files::make_private(name, resolver)?;
    rustix::system::sethostname(name.as_bytes()).context(|| "set the host name".to_owned())?;
    // Duplicate address detection would delay every IPv6 address by a second.
    for scope in ["all", "default"] {
        let parameter = format!("/proc/sys/net/ipv6/conf/{scope}/accept_dad");
        std::fs::write(&parameter, "0").context(|| format!("write {parameter}"))?;
    }
    let network =
        File::open("/proc/thread-self/ns/net").context(|| "open a namespace".to_owned())?;
    let id = rustix::thread::gettid().as_raw_nonzero().get();
    Ok((id, network.into()))
}
