//! The contract between a client and the operating system.
//!
//! A [`Platform`] makes the TUN device, gives it addresses and routes, points the system's resolver
//! at the client, tells when the network changes, and hands out sockets that stay outside of the
//! tunnel. One crate per operating system implements it; the binary chooses one.
//!
//! What it is not: no operating system is named in here, and no packet is looked at.
//!
//! # Contract
//!
//! * **Whole desired state in.** [`Platform::apply`] takes all of it and replaces what was applied
//!   before. Applying the same plan twice changes nothing, except that it repairs what the system
//!   or another program took away meanwhile.
//! * **[`Platform::revert`] always works.** It may be called at any time and any number of times,
//!   also before anything was applied: then it removes what a crashed run left behind. Dropping the
//!   platform reverts.
//! * **[`Tun`] calls never wait**, they move whole batches, and they allocate nothing once warm.
//!   The device disappears when its value is dropped.
//! * **What others set becomes the upstream.** When another program replaces the system's resolvers
//!   while a plan is in force, theirs become [`Platform::system_resolvers`], the plan's are put back
//!   in front, and theirs are what remains after reverting.
//! * **[`NetworkWatch`] collapses bursts** and never ends by failing: a watch without a source of
//!   events is silent.
//!
//! # What a system owes
//!
//! A crate of its own, `platform-SYSTEM`, with a type that implements [`Platform`] and another one for
//! [`Tun`], and nothing besides. The choice is made in `cli-support/src/system.rs` and nowhere else.
//!
//! | item | what it does | callers |
//! |---|---|---|
//! | [`Platform::DnsControl`] | the methods of DNS control: names, help texts, which one is usual | command lines |
//! | [`Platform::CAPABILITY`] | how to get the rights, for people | error texts |
//! | [`Platform::open`], [`Platform::check`] | the means to change the system; a look without changing it | programs |
//! | [`Platform::create_tun`], [`Tun`] | the device, in batches that never wait | `client`, gateways |
//! | [`Platform::apply`], [`Platform::revert`] | addresses, routes, resolver: the whole wanted state in, all of it out | `client`, gateways, programs |
//! | [`Platform::watch`] | changes of network and resolvers, except for our own | `client`, tunnel service |
//! | [`Platform::system_resolvers`], [`Platform::system_exchange`] | the resolvers of the system, and how to ask those that only the system can ask | `client` |
//! | [`Platform::sockets`] | UDP and TCP outside of the tunnel: a mark, or a source address and routes to hosts | `client`, gateways |
//! | [`Platform::host_table`], [`Platform::flush_dns_cache`] | names that the system knows by itself, and what it remembers | `client` |
//!
//! [`conformance`] holds the crate to it: a system implements [`conformance::Subject`], which looks at
//! the system behind the back of the platform, and calls [`conformance::run`].
//!
//! ```
//! use platform::{InterfacePlan, PacketBatch, Platform as _, Tun as _, memory::MemoryPlatform};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let (mut platform, control) = MemoryPlatform::new();
//! platform.revert()?;
//! let mut tun = platform.create_tun()?;
//! platform
//!     .apply(&InterfacePlan {
//!         ipv4: "100.64.0.1".parse()?,
//!         ipv6: "fd00:2021:1111::1".parse()?,
//!         routes: ["100.64.0.0/11".parse()?].into(),
//!         dns_servers: vec!["100.100.111.1".parse()?],
//!         search_domain: None,
//!     })
//!     .await?;
//!
//! control.send(b"a packet of an application");
//! let mut batch = PacketBatch::new(64);
//! tun.readable().await?;
//! tun.try_read(&mut batch)?;
//! assert_eq!(batch.iter().next(), Some(&b"a packet of an application"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Decisions
//!
//! * `revert` is synchronous because it also runs while dropping.
//! * Batches hold separate slots with head room instead of one long buffer, because devices put a
//!   header in front of each packet and merge packets on the way in.
//! * Every implementation passes the same [`conformance`] suite, the [`memory`] fake included, so
//!   what tests see of the fake is what programs see of a system.

mod batch;
pub mod conformance;
mod fault;
pub mod memory;
mod options;
mod resolver;
mod watch;

pub use batch::{HEADROOM, MAX_SPLIT, PacketBatch, ROOM};
pub use fault::{PlatformFault, TunFault};
pub use model::InterfacePlan;
pub use options::{DnsMethod, Options};
pub use resolver::{ResolverTransport, SystemExchange, SystemResolver};
pub use watch::{NetworkEvent, NetworkWatch, WatchSender};

use socket_factory::{TcpSocketFactory, UdpSocketFactory};
use std::{fmt, io, net::IpAddr, sync::Arc};

/// What a client needs of the operating system's network side.
pub trait Platform: Sized + Send + 'static {
    /// The TUN device of this system.
    type Tun: Tun;

    /// The methods by which the resolver of this system can be controlled.
    type DnsControl: DnsMethod;

    /// How to let a program change the network, in one line for people.
    const CAPABILITY: &'static str;

    /// Opens the means to change the system, and changes nothing. May block for a few seconds.
    ///
    /// # Errors
    ///
    /// If the system cannot be changed at all, or if the method of DNS control does not work here.
    fn open(options: Options<Self::DnsControl>) -> Result<Self, PlatformFault>;

    /// Looks at rights, TUN device, interface and resolver without changing anything; what was
    /// found, a line each for people.
    ///
    /// # Errors
    ///
    /// The first thing without which a client would not start.
    fn check(options: &Options<Self::DnsControl>) -> Result<Vec<String>, PlatformFault>;

    /// Creates the TUN device, without addresses and routes.
    ///
    /// Must be called inside of the runtime that will wait for the device.
    ///
    /// # Errors
    ///
    /// [`TunFault::Held`] while the previous device, ours or another process's, still exists.
    fn create_tun(&mut self) -> Result<Self::Tun, TunFault>;

    /// Makes the interface and the resolver look as planned, and removes what is not planned.
    ///
    /// Routes of a family that the system does not support are left out silently.
    ///
    /// # Errors
    ///
    /// [`PlatformFault::NoTun`] without a device. After any error the state is somewhere between
    /// the old plan and the new one; applying again or reverting is safe.
    fn apply(
        &mut self,
        plan: &InterfacePlan,
    ) -> impl Future<Output = Result<(), PlatformFault>> + Send;

    /// Removes all that was applied, now or by a run that crashed. Does nothing if there is nothing.
    ///
    /// # Errors
    ///
    /// The first thing that could not be removed; the rest is removed nevertheless.
    fn revert(&mut self) -> Result<(), PlatformFault>;

    /// Starts watching the network. Each call returns an independent watch.
    fn watch(&mut self) -> NetworkWatch;

    /// The resolvers that the system would use without us, in order, possibly with duplicates.
    ///
    /// Never waits: they are those of the last [`NetworkEvent::ResolversChanged`]. Addresses of the
    /// client's own stub resolver may be among them.
    ///
    /// # Errors
    ///
    /// If they cannot be found out.
    fn system_resolvers(&self) -> Result<Vec<SystemResolver>, PlatformFault>;

    /// Asks resolvers that only the system can ask, see [`ResolverTransport::Managed`]. By default there are
    /// none.
    fn system_exchange(&self) -> SystemExchange {
        resolver::unsupported()
    }

    /// Factories whose sockets stay outside of the tunnel. All calls return the same ones.
    fn sockets(&self) -> Sockets;

    /// What the system's own table of hosts knows, without asking any server.
    fn host_table(&self) -> HostTable;

    /// Makes the system forget cached DNS answers, if it keeps any. Best effort.
    fn flush_dns_cache(&mut self);
}

/// Looks a name up in the system's own table of hosts; empty means that it is not in there.
pub type HostTable = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

/// A TUN device: IP packets of the system's network stack.
pub trait Tun: Send + 'static {
    /// Name of the interface.
    fn name(&self) -> &str;

    /// Waits until there may be a packet to read. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Replaces the content of the batch by packets that wait, at most [`model::limits::MTU`] bytes
    /// each; a larger one that the stack handed down in one piece is split.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is none. Other errors mean that the device is gone.
    fn try_read(&mut self, batch: &mut PacketBatch) -> io::Result<()>;

    /// Hands all packets of the batch to the stack, merged where the device can. The batch is empty
    /// afterwards, whatever the outcome.
    ///
    /// # Errors
    ///
    /// Those of the system; packets not handed over are lost.
    fn try_write(&mut self, batch: &mut PacketBatch) -> io::Result<()>;
}

/// Socket factories outside of the tunnel.
#[derive(Clone)]
pub struct Sockets {
    /// For UDP.
    pub udp: Arc<dyn UdpSocketFactory>,
    /// For TCP.
    pub tcp: Arc<dyn TcpSocketFactory>,
}

impl Sockets {
    /// Forgets what was learnt about the network: TCP first, then UDP. spec: client-app 11.2
    pub fn reset(&self) {
        self.tcp.reset();
        self.udp.reset();
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").finish_non_exhaustive()
    }
}
