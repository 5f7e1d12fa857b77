//! A host that speaks TCP, with packets as its network.

use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{Socket, SocketBuffer},
    wire::{HardwareAddress, IpAddress, IpCidr},
};
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// Receive and send buffer of a socket that listens, in bytes.
const LISTENING_BUFFER: usize = 200_000;

/// A host with one address and a user-space TCP stack.
pub struct TcpHost {
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    address: IpAddr,
    start: Instant,
}

impl TcpHost {
    /// A host without sockets.
    pub fn new(address: IpAddr, now: Instant) -> Self {
        let mut wire = Wire::default();
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut wire, smoltcp::time::Instant::ZERO);
        let length = if address.is_ipv4() { 32 } else { 128 };
        let fits = "the library has room for an address and a route";
        interface.update_ip_addrs(|addresses| {
            let address = IpCidr::new(address.into(), length);
            addresses.push(address).expect(fits);
        });
        let routes = interface.routes_mut();
        match address {
            IpAddr::V4(address) => routes.add_default_ipv4_route(address).expect(fits),
            IpAddr::V6(address) => routes.add_default_ipv6_route(address).expect(fits),
        };
        Self {
            wire,
            interface,
            sockets: SocketSet::new(vec![]),
            address,
            start: now,
        }
    }

    /// A socket that connects from a port, with buffers of this many bytes.
    pub fn connect(&mut self, port: u16, to: SocketAddr, buffer: usize) -> SocketHandle {
        let mut socket = socket(buffer);
        let remote = (IpAddress::from(to.ip()), to.port());
        let context = self.interface.context();
        socket
            .connect(context, remote, port)
            .expect("a new socket of the same family connects");
        self.sockets.add(socket)
    }

    /// A socket that takes one connection to a port.
    pub fn listen(&mut self, port: u16) -> SocketHandle {
        let mut socket = socket(LISTENING_BUFFER);
        socket
            .listen((IpAddress::from(self.address), port))
            .expect("a new socket listens");
        self.sockets.add(socket)
    }

    /// A packet for the host.
    pub fn deliver(&mut self, packet: Vec<u8>) {
        self.wire.incoming.push_back(packet);
    }

    /// A packet from the host.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.wire.outgoing.pop_front()
    }

    /// Moves segments at this instant.
    pub fn poll(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.start).as_micros();
        let at = smoltcp::time::Instant::from_micros(i64::try_from(elapsed).unwrap_or(i64::MAX));
        self.interface.poll(at, &mut self.wire, &mut self.sockets);
    }

    /// A socket, for everything else.
    pub fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Sends a DNS message behind its length; says whether the socket took all of it.
    pub fn send(&mut self, handle: SocketHandle, message: &[u8]) -> bool {
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        let frame = [&length.to_be_bytes(), message].concat();
        self.socket(handle).send_slice(&frame) == Ok(frame.len())
    }

    /// All bytes that have arrived at a socket.
    pub fn receive(&mut self, handle: SocketHandle) -> Vec<u8> {
        let mut bytes = vec![];
        let socket = self.socket(handle);
        while let Ok(1..) = socket.recv(|data| {
            bytes.extend_from_slice(data);
            (data.len(), data.len())
        }) {}
        bytes
    }

    /// All DNS messages that have arrived at a socket.
    ///
    /// # Panics
    ///
    /// The last of them is not whole.
    pub fn messages(&mut self, handle: SocketHandle) -> Vec<Vec<u8>> {
        let bytes = self.receive(handle);
        let mut rest = &bytes[..];
        let mut messages = vec![];
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let (message, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
            messages.push(message.to_vec());
            rest = tail;
        }
        messages
    }
}

fn socket(buffer: usize) -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; buffer]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket
}

/// What goes to the host and comes from it.
#[derive(Default)]
struct Wire {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

struct Incoming(Vec<u8>);

struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl Device for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Incoming(packet), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = model::limits::MTU;
        capabilities
    }
}

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut packet = vec![0; length];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}
