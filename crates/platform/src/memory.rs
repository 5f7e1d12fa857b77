//! A platform without an operating system: the fake that tests use.
//!
//! It behaves as the contract says, lets a test see what was applied, feed and drain the TUN device,
//! send events, and make any call fail. Sockets are the system's, meant for loopback.

use crate::{
    DnsMethod, HostTable, InterfacePlan, NetworkEvent, NetworkWatch, Options, PacketBatch,
    Platform, PlatformFault, Sockets, SystemExchange, SystemResolver, Tun, TunFault, WatchSender,
    resolver,
};
use ipnet::IpNet;
use model::limits::MTU;
use parking_lot::Mutex;
use socket_factory::SystemSockets;
use std::{
    collections::{BTreeSet, VecDeque},
    fmt, io,
    sync::Arc,
};
use tokio::sync::Notify;

/// Packets that wait on either side of the device before further ones are lost.
const QUEUE: usize = 4096;

/// The platform's side.
#[derive(Debug)]
pub struct MemoryPlatform {
    shared: Arc<Shared>,
}

/// The test's side. Clones see the same platform.
#[derive(Debug, Clone)]
pub struct MemoryControl {
    shared: Arc<Shared>,
}

/// A TUN device whose other end is a [`MemoryControl`].
#[derive(Debug)]
pub struct MemoryTun {
    shared: Arc<Shared>,
}

struct Shared {
    sockets: Sockets,
    state: Mutex<State>,
    to_tun: Queue,
    from_tun: Queue,
}

#[derive(Default)]
struct State {
    has_tun: bool,
    plan: Option<InterfacePlan>,
    routes: BTreeSet<IpNet>,
    resolvers: Vec<SystemResolver>,
    exchange: Option<SystemExchange>,
    watches: Vec<WatchSender>,
    tun_faults: VecDeque<TunFault>,
    apply_faults: VecDeque<PlatformFault>,
    revert_faults: VecDeque<PlatformFault>,
    counts: Counts,
}

/// How often calls succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// [`Platform::create_tun`].
    pub tuns: usize,
    /// [`Platform::apply`], also when it failed.
    pub applies: usize,
    /// [`Platform::revert`].
    pub reverts: usize,
    /// [`Platform::flush_dns_cache`].
    pub flushes: usize,
}

#[derive(Default)]
struct Queue {
    packets: Mutex<VecDeque<Vec<u8>>>,
    filled: Notify,
}

impl MemoryPlatform {
    /// A platform with plain sockets, and its other side.
    pub fn new() -> (Self, MemoryControl) {
        let sockets = Arc::new(SystemSockets::new(socket_factory::Options::default()));
        Self::with_sockets(Sockets {
            udp: sockets.clone(),
            tcp: sockets,
        })
    }

    /// A platform that hands out the given socket factories.
    pub fn with_sockets(sockets: Sockets) -> (Self, MemoryControl) {
        let shared = Arc::new(Shared {
            sockets,
            state: Mutex::default(),
            to_tun: Queue::default(),
            from_tun: Queue::default(),
        });
        let control = MemoryControl {
            shared: Arc::clone(&shared),
        };
        (Self { shared }, control)
    }
}

/// The resolver of no system can be controlled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MemoryDnsControl {
    /// Plans are kept and have no effect.
    #[default]
    Disabled,
}

impl DnsMethod for MemoryDnsControl {
    const ALL: &'static [Self] = &[Self::Disabled];
    const DISABLED: Self = Self::Disabled;

    fn name(self) -> &'static str {
        "disabled"
    }

    fn help(self) -> &'static str {
        "not at all"
    }
}

impl fmt::Display for MemoryDnsControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Platform for MemoryPlatform {
    type Tun = MemoryTun;
    type DnsControl = MemoryDnsControl;

    const CAPABILITY: &'static str = "nothing is needed";

    /// A platform that nobody controls; tests use [`MemoryPlatform::new`].
    fn open(options: Options<MemoryDnsControl>) -> Result<Self, PlatformFault> {
        let sockets = Arc::new(SystemSockets::new(options.sockets));
        let (platform, _) = Self::with_sockets(Sockets {
            udp: sockets.clone(),
            tcp: sockets,
        });
        Ok(platform)
    }

    fn check(_: &Options<MemoryDnsControl>) -> Result<Vec<String>, PlatformFault> {
        Ok(vec!["Everything is in memory".to_owned()])
    }

    fn create_tun(&mut self) -> Result<MemoryTun, TunFault> {
        let mut state = self.shared.state.lock();
        if let Some(fault) = state.tun_faults.pop_front() {
            return Err(fault);
        }
        if state.has_tun {
            return Err(TunFault::Held {
                name: MemoryTun::NAME.into(),
            });
        }
        state.has_tun = true;
        state.counts.tuns += 1;
        Ok(MemoryTun {
            shared: Arc::clone(&self.shared),
        })
    }

    async fn apply(&mut self, plan: &InterfacePlan) -> Result<(), PlatformFault> {
        let mut state = self.shared.state.lock();
        state.counts.applies += 1;
        if let Some(fault) = state.apply_faults.pop_front() {
            return Err(fault);
        }
        if !state.has_tun {
            return Err(PlatformFault::NoTun);
        }
        state.plan = Some(plan.clone());
        state.routes = plan.networks();
        Ok(())
    }

    fn revert(&mut self) -> Result<(), PlatformFault> {
        self.shared.state.lock().revert()
    }

    fn watch(&mut self) -> NetworkWatch {
        let (sender, watch) = NetworkWatch::channel();
        self.shared.state.lock().watches.push(sender);
        watch
    }

    fn system_resolvers(&self) -> Result<Vec<SystemResolver>, PlatformFault> {
        Ok(self.shared.state.lock().resolvers.clone())
    }

    fn system_exchange(&self) -> SystemExchange {
        let exchange = self.shared.state.lock().exchange.clone();
        exchange.unwrap_or_else(resolver::unsupported)
    }

    fn sockets(&self) -> Sockets {
        self.shared.sockets.clone()
    }

    fn host_table(&self) -> HostTable {
        Arc::new(|_| vec![])
    }

    fn flush_dns_cache(&mut self) {
        self.shared.state.lock().counts.flushes += 1;
    }
}

impl Drop for MemoryPlatform {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.revert_faults.clear();
        // Nothing is left that could fail.
        state.revert().ok();
        state.watches.clear();
    }
}

impl State {
    fn revert(&mut self) -> Result<(), PlatformFault> {
        if let Some(fault) = self.revert_faults.pop_front() {
            return Err(fault);
        }
        self.plan = None;
        self.routes.clear();
        self.counts.reverts += 1;
        Ok(())
    }
}

impl MemoryTun {
    const NAME: &'static str = "memory";
}

impl Tun for MemoryTun {
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn readable(&self) -> io::Result<()> {
        self.shared.to_tun.wait().await;
        Ok(())
    }

    fn try_read(&mut self, batch: &mut PacketBatch) -> io::Result<()> {
        batch.clear();
        let mut packets = self.shared.to_tun.packets.lock();
        while !batch.is_full()
            && let Some(packet) = packets.pop_front()
        {
            batch.push(&packet);
        }
        if batch.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    fn try_write(&mut self, batch: &mut PacketBatch) -> io::Result<()> {
        for packet in batch.iter() {
            self.shared.from_tun.push(packet);
        }
        batch.clear();
        Ok(())
    }
}

impl Drop for MemoryTun {
    fn drop(&mut self) {
        // Addresses and routes go with the interface; DNS settings stay until reverted.
        let mut state = self.shared.state.lock();
        state.has_tun = false;
        state.routes.clear();
        self.shared.to_tun.packets.lock().clear();
    }
}

impl MemoryControl {
    /// Puts a packet where the client reads it from its TUN device.
    ///
    /// # Panics
    ///
    /// If the packet exceeds the MTU, which a TUN device never hands out.
    pub fn send(&self, packet: &[u8]) {
        assert!(packet.len() <= MTU, "{} bytes from a TUN", packet.len());
        self.shared.to_tun.push(packet);
    }

    /// Waits for the next packet that the client writes to its TUN device. Cancel-safe.
    pub async fn recv(&self) -> Vec<u8> {
        loop {
            if let Some(packet) = self.try_recv() {
                return packet;
            }
            self.shared.from_tun.wait().await;
        }
    }

    /// The next packet that the client wrote to its TUN device, if any.
    pub fn try_recv(&self) -> Option<Vec<u8>> {
        self.shared.from_tun.packets.lock().pop_front()
    }

    /// The plan in force.
    pub fn plan(&self) -> Option<InterfacePlan> {
        self.shared.state.lock().plan.clone()
    }

    /// The routes in force.
    pub fn routes(&self) -> BTreeSet<IpNet> {
        self.shared.state.lock().routes.clone()
    }

    /// Whether a TUN device exists.
    pub fn has_tun(&self) -> bool {
        self.shared.state.lock().has_tun
    }

    /// How often calls succeeded.
    pub fn counts(&self) -> Counts {
        self.shared.state.lock().counts
    }

    /// Sends an event to all watches.
    pub fn notify(&self, event: NetworkEvent) {
        let mut state = self.shared.state.lock();
        state.watches.retain(|watch| watch.send(event));
    }

    /// Sets the system's own resolvers. Sends no event.
    pub fn set_resolvers(&self, resolvers: Vec<SystemResolver>) {
        self.shared.state.lock().resolvers = resolvers;
    }

    /// Lets the system answer what only it can ask; takes effect for exchanges handed out from now on.
    pub fn set_exchange(&self, exchange: SystemExchange) {
        self.shared.state.lock().exchange = Some(exchange);
    }

    /// Drops all routes, as a system does when adapters change.
    pub fn lose_routes(&self) {
        self.shared.state.lock().routes.clear();
    }

    /// Makes a coming [`Platform::create_tun`] fail; faults queue up.
    pub fn fail_tun(&self, fault: TunFault) {
        self.shared.state.lock().tun_faults.push_back(fault);
    }

    /// Makes a coming [`Platform::apply`] fail; faults queue up.
    pub fn fail_apply(&self, fault: PlatformFault) {
        self.shared.state.lock().apply_faults.push_back(fault);
    }

    /// Makes a coming [`Platform::revert`] fail; faults queue up.
    pub fn fail_revert(&self, fault: PlatformFault) {
        self.shared.state.lock().revert_faults.push_back(fault);
    }
}

impl Queue {
    fn push(&self, packet: &[u8]) {
        let mut packets = self.packets.lock();
        if packets.len() < QUEUE {
            packets.push_back(packet.to_vec());
            self.filled.notify_one();
        }
    }

    async fn wait(&self) {
        while self.packets.lock().is_empty() {
            self.filled.notified().await;
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
