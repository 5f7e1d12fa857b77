//! Private network and mount namespaces for one test each.

use platform::{InterfacePlan, NetworkEvent, NetworkWatch, Platform as _};
use platform_linux::{DnsControl, LinuxOptions, LinuxPlatform, ResolvConfPaths};
use rustix::{
    mount::{MountPropagationFlags, mount_change},
    thread::{UnshareFlags, gettid, unshare_unsafe},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// Content of a fresh `resolv.conf`.
pub(crate) const RESOLV_CONF: &str = "nameserver 192.0.2.53\noptions timeout:2\n";

/// Upper bound for anything that is awaited; reached only when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test on a thread of its own in fresh namespaces with the loopback interface up.
///
/// Both namespaces end with the thread; threads and programs started inside inherit them.
pub(crate) fn inside<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = thread::spawn(move || {
        leave();
        run("ip", "link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Moves this thread into fresh namespaces.
#[expect(unsafe_code, reason = "moving a thread is a matter of its program")]
fn leave() {
    let namespaces = UnshareFlags::NEWNET | UnshareFlags::NEWNS;
    // SAFETY: neither flag takes the thread's file descriptors away, and the file system context,
    // which the mount namespace implies, is used by no other thread afterwards.
    unsafe { unshare_unsafe(namespaces) }
        .expect("namespaces need root: run the tests with CAP_SYS_ADMIN and CAP_NET_ADMIN");
    // Mounts of the test must not reach the machine.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).unwrap();
}

/// Another machine: a thread in a network namespace of its own, which runs what it is given.
pub(crate) struct Peer {
    work: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<thread::JoinHandle<()>>,
    /// By which `ip link set … netns` finds it.
    pub(crate) id: i32,
}

impl Peer {
    pub(crate) fn new() -> Self {
        let (work, jobs) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            leave();
            run("ip", "link set lo up");
            tell.send(gettid().as_raw_nonzero().get()).unwrap();
            while let Ok(job) = jobs.recv() {
                job();
            }
        });
        Self {
            work: Some(work),
            thread: Some(thread),
            id: told.recv().unwrap(),
        }
    }

    /// Runs a function there and returns its result.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (reply, result) = mpsc::channel();
        let job = Box::new(move || {
            reply.send(job()).ok();
        });
        self.work.as_ref().unwrap().send(job).unwrap();
        result.recv().expect("the peer's job panicked")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.work = None;
        self.thread.take().map(|thread| thread.join().ok());
    }
}

/// Runs a program that must succeed; returns what it prints.
pub(crate) fn run(program: &str, arguments: &str) -> String {
    let (success, output) = attempt(program, arguments);
    assert!(success, "{program} {arguments}: {output}");
    output
}

/// Runs a program; returns whether it succeeded, and what it prints.
pub(crate) fn attempt(program: &str, arguments: &str) -> (bool, String) {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program} (install iproute2?): {error}"));
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// A directory with a `resolv.conf`; it goes away with its files.
pub(crate) struct Etc(pub(crate) PathBuf);

impl Etc {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("platform-linux-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("resolv.conf"), RESOLV_CONF).unwrap();
        Self(directory)
    }

    pub(crate) fn paths(&self) -> ResolvConfPaths {
        ResolvConfPaths {
            file: self.0.join("resolv.conf"),
            backup: self.0.join("resolv.conf.before-firezone"),
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.paths().file
    }

    /// Puts another file in the place of `resolv.conf`, as most programs do.
    pub(crate) fn replace(&self, text: &str) {
        let other = self.0.join("written-by-others");
        fs::write(&other, text).unwrap();
        fs::rename(&other, self.file()).unwrap();
    }

    pub(crate) fn options(&self) -> LinuxOptions {
        LinuxOptions {
            dns_control: DnsControl::EtcResolvConf,
            resolv_conf: self.paths(),
            ..LinuxOptions::default()
        }
    }

    pub(crate) fn platform(&self) -> LinuxPlatform {
        LinuxPlatform::new(self.options()).unwrap()
    }
}

impl Drop for Etc {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A plan that leads `10.0.1.0/24` and some more into the tunnel.
pub(crate) fn plan() -> InterfacePlan {
    platform::conformance::plan(1)
}

/// A plan that leads everything into the tunnel.
pub(crate) fn internet_plan() -> InterfacePlan {
    let mut plan = plan();
    plan.routes.insert("0.0.0.0/0".parse().unwrap());
    plan.routes.insert("::/0".parse().unwrap());
    plan
}

/// Everything about the network that must be as before after a revert.
pub(crate) fn network_fingerprint() -> String {
    let links: Vec<String> = run("ip", "-o link show")
        .lines()
        // Remarks of `ip` about peers are no links.
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .filter_map(|line| line.split(':').nth(1).map(|name| name.trim().to_owned()))
        .collect();
    let rest = [
        "rule show",
        "-6 rule show",
        "route show table all",
        "-6 route show table all",
    ];
    // Local routes of our interface come when the kernel has looked for duplicates of its addresses,
    // and go with them.
    let is_stable = |line: &&str| !line.contains("dev tun-firezone table local");
    let rest = rest.map(|arguments| {
        let output = run("ip", arguments);
        output
            .lines()
            .filter(is_stable)
            .collect::<Vec<_>>()
            .join("\n")
    });
    format!("{}\n{}", links.join(" "), rest.join("\n"))
}

/// Destinations in one of our tables, as `ip` prints them.
pub(crate) fn table(family: &str, number: u32) -> Vec<String> {
    // A table without routes does not exist, which `ip` takes for an error.
    let (_, output) = attempt("ip", &format!("{family} route show table {number}"));
    let mut destinations: Vec<String> = output
        .lines()
        .filter(|line| line.contains(" dev ") || line.contains("nexthop"))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    destinations.sort();
    destinations
}

/// A pair of interfaces, `near` here with an address and `far` at the peer.
pub(crate) fn connect(peer: &Peer, near: &str, far: &str) {
    let id = peer.id;
    run("ip", &format!("link add {near} type veth peer name {far}"));
    run("ip", &format!("link set {far} netns {id}"));
    rise(near);
    let far = far.to_owned();
    peer.run(move || rise(&far));
    // The kernel gives the address once it sees both ends up, then the route of its network, and last,
    // from a queue of its own, the route to the address itself.
    let deadline = Instant::now() + PATIENCE;
    let is_complete = |routes: &str| {
        let mut lines = routes.lines();
        let to_network = lines.clone().any(|line| line.starts_with("fe80::/64"));
        to_network && lines.any(|line| line.starts_with("local fe80::"))
    };
    while !is_complete(&run("ip", &format!("-6 route show table all dev {near}"))) {
        assert!(Instant::now() < deadline, "{near} has no address");
    }
}

/// Sets an interface up. Its addresses are ready at once, without a search for duplicates: routes
/// would appear while a test compares.
fn rise(interface: &str) {
    fs::write(
        format!("/proc/sys/net/ipv6/conf/{interface}/accept_dad"),
        "0",
    )
    .unwrap();
    run("ip", &format!("link set {interface} up"));
}

/// Waits until something holds, looking often; panics with its name if it never does.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for an event of this kind; others may come before.
pub(crate) async fn notified(watch: &mut NetworkWatch, event: NetworkEvent) {
    let seen = tokio::time::timeout(PATIENCE, async { while watch.next().await != event {} });
    seen.await.expect("nobody noticed");
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// A platform whose start-up revert was done, as programs do.
pub(crate) fn started(etc: &Etc) -> LinuxPlatform {
    let mut platform = etc.platform();
    platform.revert().unwrap();
    platform
}
