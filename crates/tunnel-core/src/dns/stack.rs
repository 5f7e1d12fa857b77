//! A user-space TCP stack that owns every address, and packets as its network.

use dns_message::Frames;
use ip_packet::IpPacket;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{ConnectError, Socket, SocketBuffer},
    wire::{HardwareAddress, IpAddress, IpCidr},
};
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

/// Receive and send buffer of one connection, in bytes.
const SOCKET_BUFFER: usize = 16 * 1024;

/// Sockets with what moves their segments.
pub(crate) struct Stack {
    interface: Interface,
    device: Queues,
    sockets: SocketSet<'static>,
    start: Instant,
}

impl Stack {
    pub(crate) fn new(rng: &mut ChaCha20Rng, now: Instant) -> Self {
        let mut device = Queues::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = rng.next_u64();
        let mut interface = Interface::new(config, &mut device, smoltcp::time::Instant::ZERO);
        own_every_address(&mut interface);
        Self {
            interface,
            device,
            sockets: SocketSet::new(vec![]),
            start: now,
        }
    }

    /// A segment from the network.
    pub(crate) fn receive(&mut self, packet: &IpPacket<&[u8]>) {
        self.device.received.push_back(packet.bytes().to_vec());
    }

    /// A segment for the network.
    pub(crate) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.device.sent.pop_front()
    }

    /// Moves segments.
    pub(crate) fn poll(&mut self, now: Instant) {
        let at = self.time(now);
        self.interface.poll(at, &mut self.device, &mut self.sockets);
    }

    /// When to poll again.
    pub(crate) fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let at = self.time(now);
        let next = self.interface.poll_at(at, &self.sockets)?;
        let micros = u64::try_from(next.total_micros()).unwrap_or(0);
        Some(self.start + Duration::from_micros(micros))
    }

    /// A socket that waits for one connection; none if the address cannot be listened at.
    pub(crate) fn listen(&mut self, at: SocketAddr, timeout: Duration) -> Option<SocketHandle> {
        let mut socket = new_socket(timeout);
        let endpoint = (IpAddress::from(at.ip()), at.port());
        socket.listen(endpoint).ok()?;
        Some(self.sockets.add(socket))
    }

    /// A socket that connects.
    ///
    /// # Errors
    ///
    /// The addresses cannot be connected.
    pub(crate) fn connect(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        timeout: Duration,
    ) -> Result<SocketHandle, ConnectError> {
        let mut socket = new_socket(timeout);
        let local = (IpAddress::from(from.ip()), from.port());
        let remote = (IpAddress::from(to.ip()), to.port());
        socket.connect(self.interface.context(), remote, local)?;
        Ok(self.sockets.add(socket))
    }

    pub(crate) fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub(crate) fn remove(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }

    fn time(&self, now: Instant) -> smoltcp::time::Instant {
        let elapsed = now.saturating_duration_since(self.start);
        smoltcp::time::Instant::from_micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Hands unsent bytes to a socket, as many as fit; says whether there were any.
pub(crate) fn send(frames: &mut Frames, socket: &mut Socket<'_>) -> bool {
    let mut any = false;
    while !frames.unsent().is_empty() && socket.can_send() {
        let Ok(count) = socket.send_slice(frames.unsent()) else {
            break;
        };
        frames.sent(count);
        any = true;
    }
    any
}

/// Takes bytes from a socket, no more than there is room for; says whether there were any.
pub(crate) fn receive(frames: &mut Frames, socket: &mut Socket<'_>) -> bool {
    let mut any = false;
    while frames.room() > 0 && socket.can_recv() {
        let received = socket.recv(|bytes| {
            let count = frames.receive(bytes);
            (count, count)
        });
        any |= received.is_ok_and(|count| count > 0);
    }
    any
}

fn new_socket(timeout: Duration) -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; SOCKET_BUFFER]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_timeout(Some(timeout.into()));
    socket.set_nagle_enabled(false);
    socket
}

/// Any destination counts as ours when the route leads to ourselves.
fn own_every_address(interface: &mut Interface) {
    let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    interface.set_any_ip(true);
    let mut fits = true;
    interface.update_ip_addrs(|addresses| {
        for (address, length) in [(IpAddr::V4(v4), 32), (IpAddr::V6(v6), 128)] {
            fits &= addresses.push(IpCidr::new(address.into(), length)).is_ok();
        }
    });
    fits &= interface.routes_mut().add_default_ipv4_route(v4).is_ok();
    fits &= interface.routes_mut().add_default_ipv6_route(v6).is_ok();
    debug_assert!(
        fits,
        "the library has room for two addresses and two routes"
    );
}

/// The network device of the stack: two queues.
#[derive(Default)]
struct Queues {
    received: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);

struct Sender<'a>(&'a mut VecDeque<Vec<u8>>);

impl Device for Queues {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Sender<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Received(packet), Sender(&mut self.sent)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Sender<'_>> {
        Some(Sender(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = model::limits::MTU;
        capabilities
    }
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut packet = vec![0; length];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}
