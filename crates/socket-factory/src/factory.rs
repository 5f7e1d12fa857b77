//! The factories, and the one that the operating system backs.

use crate::{
    egress_cache::{Egress, EgressCache, EgressResolver},
    fault::{LoopPrevention, blames_source},
    sys,
    udp::UdpSocket,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    num::NonZeroU32,
    pin::Pin,
    sync::{Arc, Once},
};
use tokio::net::{TcpSocket, TcpStream, UdpSocket as OneShotSocket};

/// Smallest buffer asked for when larger ones are refused, in bytes. spec: platform 7.1
const BUFFER_FLOOR: usize = 64 * 1024;

/// A future on the heap, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes UDP sockets outside of the tunnel.
pub trait UdpSocketFactory: Send + Sync {
    /// Binds a socket to the given address; port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// Those of the system; see also [`LoopPrevention::is_cause_of`].
    fn bind(&self, local: SocketAddr) -> io::Result<UdpSocket>;

    /// A socket for one exchange with one server: from a port that nobody can predict, deaf to
    /// everybody else. Far cheaper than [`Self::bind`], without batches, ECN and large buffers.
    ///
    /// # Errors
    ///
    /// Those of the system; see also [`LoopPrevention::is_cause_of`].
    fn one_shot(&self, server: SocketAddr) -> io::Result<OneShotSocket>;

    /// Forgets what was learnt about the network, because it changed.
    fn reset(&self);
}

/// Makes TCP connections outside of the tunnel.
pub trait TcpSocketFactory: Send + Sync {
    /// Connects to the given address, without a time-out of its own.
    fn connect(&self, remote: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>>;

    /// Forgets what was learnt about the network, because it changed.
    fn reset(&self);
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6, and only that.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The address that stands for all local addresses of the family.
    pub fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

/// How sockets are made.
#[derive(Clone)]
pub struct Options {
    /// Mark on every socket (`SO_MARK`); failure to set it fails the socket. Linux only.
    pub mark: Option<u32>,
    /// Send buffer of UDP sockets to ask for, in bytes.
    pub send_buffer: usize,
    /// Receive buffer of UDP sockets to ask for, in bytes.
    pub receive_buffer: usize,
    /// Finds the way around the tunnel where routing tables and marks do not.
    pub egress_resolver: Option<EgressResolver>,
}

impl Default for Options {
    /// No mark, no resolver, buffers for 1 ms out and 10 ms in at 10 Gbit/s, on Windows twice that
    /// in. spec: platform 7.1, 11.3
    fn default() -> Self {
        Self {
            mark: None,
            send_buffer: 2 * 1024 * 1024,
            receive_buffer: sys::RECEIVE_BUFFER,
            egress_resolver: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("mark", &self.mark)
            .field("send_buffer", &self.send_buffer)
            .field("receive_buffer", &self.receive_buffer)
            .field("egress_resolver", &self.egress_resolver.is_some())
            .finish()
    }
}

/// Binds to the preferred port of all local addresses, or to any port if that one is taken.
///
/// # Errors
///
/// Those of the second attempt; those of the first if the socket cannot be kept out of the tunnel.
pub fn bind_preferred(
    factory: &dyn UdpSocketFactory,
    family: Family,
    preferred_port: u16,
) -> io::Result<UdpSocket> {
    let any = family.unspecified();
    match factory.bind(SocketAddr::new(any, preferred_port)) {
        Err(error) if !LoopPrevention::is_cause_of(&error) => {
            tracing::debug!(port = preferred_port, %error, "Preferred port not available");
            factory.bind(SocketAddr::new(any, 0))
        }
        result => result,
    }
}

/// Both factories on the operating system's sockets. Clones share everything.
#[derive(Clone)]
pub struct SystemSockets {
    options: Arc<Options>,
    cache: Option<Arc<EgressCache>>,
}

impl SystemSockets {
    /// A factory with an empty cache of its own.
    pub fn new(options: Options) -> Self {
        let resolver = options.egress_resolver.clone();
        Self {
            options: Arc::new(options),
            cache: resolver.map(|resolver| Arc::new(EgressCache::new(resolver))),
        }
    }

    fn forget_egress(&self) {
        if let Some(cache) = &self.cache {
            cache.reset();
        }
    }

    fn mark(&self, socket: &Socket) -> io::Result<()> {
        match self.options.mark {
            Some(mark) => sys::set_mark(socket, mark).map_err(LoopPrevention::wrap),
            None => Ok(()),
        }
    }

    fn one_shot_from(
        &self,
        egress: Option<Egress>,
        server: SocketAddr,
    ) -> io::Result<OneShotSocket> {
        let domain = Domain::for_address(server);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        self.mark(&socket)?;
        bind_to(&socket, egress)?;
        // Connecting chooses a random port, and the kernel drops what others send.
        socket.connect(&server.into())?;
        OneShotSocket::from_std(socket.into())
    }

    async fn connect_from(
        self,
        egress: Option<Egress>,
        remote: SocketAddr,
    ) -> io::Result<TcpStream> {
        let socket = Socket::new(
            Domain::for_address(remote),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        self.mark(&socket)?;
        bind_to(&socket, egress)?;
        let socket = TcpSocket::from_std_stream(socket.into());
        socket.connect(remote).await
    }
}

impl fmt::Debug for SystemSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SystemSockets").field(&self.options).finish()
    }
}

impl UdpSocketFactory for SystemSockets {
    fn bind(&self, local: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&local.into())?;
        // After bind: some systems look at the mark while binding. spec: platform 7.1
        self.mark(&socket)?;
        if local.is_ipv6()
            && let Err(error) = sys::prefer_public_source(&socket)
        {
            tracing::debug!(%error, "Temporary source addresses stay in use");
        }
        if let Err(error) = sys::ignore_icmp_errors(&socket) {
            tracing::debug!(%error, "ICMP errors stay in the way of datagrams");
        }
        size_buffers(&socket, &self.options);
        UdpSocket::new(socket.into(), self.cache.clone())
    }

    fn one_shot(&self, server: SocketAddr) -> io::Result<OneShotSocket> {
        let Some(cache) = &self.cache else {
            return self.one_shot_from(None, server);
        };
        let egress = cache.egress(server)?;
        match self.one_shot_from(egress, server) {
            Err(error) if blames_source(&error) => {
                self.one_shot_from(cache.correct(server, egress)?, server)
            }
            result => result,
        }
    }

    fn reset(&self) {
        self.forget_egress();
    }
}

impl TcpSocketFactory for SystemSockets {
    fn connect(&self, remote: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> {
        let this = self.clone();
        Box::pin(async move {
            let Some(cache) = this.cache.clone() else {
                return this.connect_from(None, remote).await;
            };
            let egress = cache.egress(remote)?;
            match this.clone().connect_from(egress, remote).await {
                Err(error) if blames_source(&error) => {
                    let egress = cache.correct(remote, egress)?;
                    this.connect_from(egress, remote).await
                }
                result => result,
            }
        })
    }

    fn reset(&self) {
        self.forget_egress();
    }
}

/// Makes a socket leave through the interface, from the address, and from any port.
fn bind_to(socket: &Socket, egress: Option<Egress>) -> io::Result<()> {
    let Some(egress) = egress else {
        return Ok(());
    };
    if let Some(interface) = egress.interface {
        pin(socket, Family::of(egress.source), interface)?;
    }
    socket.bind(&local(egress).into())
}

/// Where to bind to. A link-local address means nothing without its interface.
fn local(egress: Egress) -> SocketAddr {
    match (egress.source, egress.interface) {
        (IpAddr::V6(source), Some(interface)) if source.is_unicast_link_local() => {
            SocketAddrV6::new(source, 0, 0, interface.get()).into()
        }
        (source, _) => SocketAddr::new(source, 0),
    }
}

/// Has the routing table of one interface looked at only, where the system can do that.
fn pin(socket: &Socket, family: Family, interface: NonZeroU32) -> io::Result<()> {
    static SAID: Once = Once::new();
    match sys::set_unicast_interface(socket, family, interface) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            SAID.call_once(|| {
                tracing::warn!(
                    %error,
                    ipv6 = family == Family::V6,
                    "Sockets cannot be bound to an interface: only their source address keeps them outside of the tunnel"
                );
            });
            Ok(())
        }
        result => result,
    }
}

/// Asks for buffers and logs what was granted: the kernel cuts a request silently.
fn size_buffers(socket: &Socket, options: &Options) {
    request(options.send_buffer, |size| {
        socket.set_send_buffer_size(size)
    });
    request(options.receive_buffer, |size| {
        socket.set_recv_buffer_size(size)
    });
    tracing::debug!(
        send = socket.send_buffer_size().ok(),
        receive = socket.recv_buffer_size().ok(),
        "UDP socket buffers"
    );
}

/// Halves a refused request until it is granted or reaches the floor.
fn request(mut size: usize, set: impl Fn(usize) -> io::Result<()>) -> Option<usize> {
    loop {
        match set(size) {
            Ok(()) => return Some(size),
            Err(_) if size / 2 >= BUFFER_FLOOR => size /= 2,
            Err(error) => {
                tracing::debug!(size, %error, "Socket buffer keeps its size");
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn link_local_source_is_bound_with_its_interface() {
        for (source, interface, expected) in [
            ("fe80::1", 7, "[fe80::1%7]:0"),
            ("fe80::1", 0, "[fe80::1]:0"),
            ("2001:db8::1", 7, "[2001:db8::1]:0"),
            ("192.0.2.1", 7, "192.0.2.1:0"),
        ] {
            let egress = Egress {
                source: source.parse().unwrap(),
                interface: NonZeroU32::new(interface),
            };
            assert_eq!(local(egress).to_string(), expected);
        }
    }

    #[test]
    fn refused_buffer_is_halved_down_to_the_floor() {
        let cases = [
            (1 << 20, 1 << 20, Some(1 << 20), 1),
            (1 << 20, 300_000, Some(1 << 18), 3),
            (1 << 20, 1, None, 5),
            (1000, 1, None, 1),
        ];
        for (asked, limit, granted, attempts) in cases {
            let seen = RefCell::new(Vec::new());
            let result = request(asked, |size| {
                seen.borrow_mut().push(size);
                if size <= limit {
                    Ok(())
                } else {
                    Err(io::ErrorKind::OutOfMemory.into())
                }
            });
            assert_eq!(result, granted, "asked for {asked} of {limit}");
            assert_eq!(
                seen.borrow().len(),
                attempts,
                "asked for {asked} of {limit}"
            );
        }
    }
}
