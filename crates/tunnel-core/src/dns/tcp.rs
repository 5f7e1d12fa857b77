//! DNS over TCP at the sentinel addresses, on a user-space TCP stack. spec: data-plane 12.2
//!
//! Sockets come and go with connections: a listening one is made when a SYN arrives, so that an
//! idle client spends no memory on buffers.

use ip_packet::{IpPacket, Transport};
use model::SeedTree;
use rand_core::Rng as _;
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{Socket, SocketBuffer, State},
    wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Port of DNS.
const PORT: u16 = 53;

/// Connections at a time to one sentinel.
const MAX_CONNECTIONS: usize = 10;

/// Receive and send buffer of one connection, in bytes.
const SOCKET_BUFFER: usize = 16 * 1024;

/// Unsent answers of one connection, in bytes, beyond which its queries are no longer read.
const MAX_UNSENT: usize = 256 * 1024;

/// A silent connection ends after this time.
const IDLE_TIMEOUT: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(120);

/// One TCP connection to the stub resolver; numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Connection(u64);

struct Stream {
    handle: SocketHandle,
    sentinel: IpAddr,
    remote: Option<IpEndpoint>,
    received: Vec<u8>,
    unsent: VecDeque<u8>,
    used_at: Instant,
}

/// All connections to all sentinels.
pub(crate) struct TcpServer {
    interface: Interface,
    device: Queues,
    sockets: SocketSet<'static>,
    streams: BTreeMap<Connection, Stream>,
    queries: VecDeque<(Connection, IpAddr, Vec<u8>)>,
    next: u64,
    start: Instant,
    deadline: Option<Instant>,
}

impl TcpServer {
    pub(crate) fn new(seed: &SeedTree, now: Instant) -> Self {
        let mut device = Queues::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed.stream("sequence numbers of DNS over TCP").next_u64();
        let mut interface = Interface::new(config, &mut device, smoltcp::time::Instant::ZERO);
        // Every sentinel is ours: any destination counts when the route leads to ourselves.
        interface.set_any_ip(true);
        let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        interface.update_ip_addrs(|addresses| {
            // The capacity of two is a constant of the library.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(v4), 32));
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv6(v6), 128));
        });
        let _ = interface.routes_mut().add_default_ipv4_route(v4);
        let _ = interface.routes_mut().add_default_ipv6_route(v6);
        Self {
            interface,
            device,
            sockets: SocketSet::new(vec![]),
            streams: BTreeMap::new(),
            queries: VecDeque::new(),
            next: 0,
            start: now,
            deadline: None,
        }
    }

    /// A TCP segment to port 53 of a sentinel.
    pub(crate) fn handle_packet(&mut self, packet: &IpPacket<&[u8]>, now: Instant) {
        if packet.tcp_syn_sequence().is_some() {
            self.listen(packet, now);
        }
        self.device.received.push_back(packet.bytes().to_vec());
    }

    /// Moves segments and bytes, reads queries, drops what has ended.
    pub(crate) fn poll(&mut self, now: Instant) {
        let at = self.time(now);
        self.interface.poll(at, &mut self.device, &mut self.sockets);
        let mut ended = vec![];
        for (&connection, stream) in &mut self.streams {
            let socket = self.sockets.get_mut::<Socket<'_>>(stream.handle);
            stream.remote = stream.remote.or(socket.remote_endpoint());
            stream.send(socket);
            if stream.receive(socket) {
                stream.used_at = now;
            }
            while let Some(message) = stream.next_message() {
                self.queries
                    .push_back((connection, stream.sentinel, message));
            }
            if socket.state() == State::CloseWait && stream.unsent.is_empty() {
                socket.close();
            }
            if socket.state() == State::Closed {
                ended.push(connection);
            }
        }
        for connection in ended {
            self.forget(connection);
        }
        self.interface.poll(at, &mut self.device, &mut self.sockets);
        let next = self.interface.poll_at(at, &self.sockets);
        self.deadline = next.map(|at| self.start + Duration::from_micros(micros(at)));
    }

    /// Answers a query; the connection may be gone.
    pub(crate) fn reply(&mut self, connection: Connection, message: &[u8]) {
        let Some(stream) = self.streams.get_mut(&connection) else {
            return;
        };
        let Ok(length) = u16::try_from(message.len()) else {
            return;
        };
        stream.unsent.extend(length.to_be_bytes());
        stream.unsent.extend(message);
        let socket = self.sockets.get_mut::<Socket<'_>>(stream.handle);
        stream.send(socket);
    }

    /// Resets a connection.
    pub(crate) fn abort(&mut self, connection: Connection) {
        if let Some(stream) = self.streams.get_mut(&connection) {
            self.sockets.get_mut::<Socket<'_>>(stream.handle).abort();
        }
    }

    /// Resets all connections.
    pub(crate) fn reset(&mut self, now: Instant) {
        let all: Vec<Connection> = self.streams.keys().copied().collect();
        for connection in all {
            self.abort(connection);
        }
        self.poll(now);
        self.queries.clear();
    }

    /// A query with the connection and the sentinel it came to.
    pub(crate) fn poll_query(&mut self) -> Option<(Connection, IpAddr, Vec<u8>)> {
        self.queries.pop_front()
    }

    /// A packet for the TUN device.
    pub(crate) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.device.sent.pop_front()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Makes a socket for a connection that is about to begin.
    fn listen(&mut self, packet: &IpPacket<&[u8]>, now: Instant) {
        let Transport::Tcp { source, .. } = packet.transport() else {
            return;
        };
        let sentinel = packet.destination();
        let remote = IpEndpoint::new(packet.source().into(), source);
        let same = |stream: &&Stream| stream.sentinel == sentinel;
        if self
            .streams
            .values()
            .any(|s| same(&s) && s.remote.is_none_or(|r| r == remote))
        {
            return;
        }
        if self.streams.values().filter(same).count() >= MAX_CONNECTIONS {
            // The connection that was silent for the longest time gives way.
            let oldest = self.streams.iter().filter(|(_, s)| s.sentinel == sentinel);
            let oldest = oldest
                .min_by_key(|(_, stream)| stream.used_at)
                .map(|(&c, _)| c);
            if let Some(connection) = oldest {
                self.abort(connection);
                self.poll(now);
            }
        }
        let buffer = || SocketBuffer::new(vec![0; SOCKET_BUFFER]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_timeout(Some(IDLE_TIMEOUT));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        if socket.listen((IpAddress::from(sentinel), PORT)).is_err() {
            return;
        }
        let handle = self.sockets.add(socket);
        let connection = Connection(self.next);
        self.next += 1;
        let (received, unsent) = (vec![], VecDeque::new());
        let stream = Stream {
            handle,
            sentinel,
            remote: None,
            received,
            unsent,
            used_at: now,
        };
        self.streams.insert(connection, stream);
    }

    fn forget(&mut self, connection: Connection) {
        if let Some(stream) = self.streams.remove(&connection) {
            self.sockets.remove(stream.handle);
        }
    }

    fn time(&self, now: Instant) -> smoltcp::time::Instant {
        let elapsed = now.saturating_duration_since(self.start);
        smoltcp::time::Instant::from_micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
    }
}

impl Stream {
    /// Hands answers to the socket, as many as fit.
    fn send(&mut self, socket: &mut Socket<'_>) {
        while !self.unsent.is_empty() && socket.can_send() {
            let (head, _) = self.unsent.as_slices();
            let Ok(count) = socket.send_slice(head) else {
                break;
            };
            self.unsent.drain(..count);
        }
    }

    /// Takes bytes from the socket; says whether there were any.
    fn receive(&mut self, socket: &mut Socket<'_>) -> bool {
        let mut any = false;
        while self.unsent.len() < MAX_UNSENT && socket.can_recv() {
            let taken = socket.recv(|bytes| {
                self.received.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            });
            any |= taken.is_ok_and(|count| count > 0);
            if self.received.len() > usize::from(u16::MAX) + 2 {
                break;
            }
        }
        any
    }

    /// The next whole message, RFC 1035 section 4.2.2.
    fn next_message(&mut self) -> Option<Vec<u8>> {
        let prefix: [u8; 2] = *self.received.first_chunk()?;
        let end = usize::from(u16::from_be_bytes(prefix)) + 2;
        let message = self.received.get(2..end)?.to_vec();
        self.received.drain(..end);
        Some(message)
    }
}

fn micros(at: smoltcp::time::Instant) -> u64 {
    u64::try_from(at.total_micros()).unwrap_or(0)
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
        capabilities.max_transmission_unit = model::ranges::MTU;
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
