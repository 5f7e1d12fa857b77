//! Sockets and the portal around the relay's state machine.
//!
//! Everything runs on one thread: a task per socket, which takes turns with the others.

use super::server::{Forward, Ports, Server, ServerConfig};
use crate::dialer::SystemDialer;
use model::{Seed, SeedTree};
use portal_client::{
    Channel, ChannelError, ChannelEvent, Login, LoginError, Party, RetryPolicy, v1,
};
use rand_chacha::rand_core::Rng as _;
use secrecy::SecretString;
use socket_factory::{
    Family, Options, Outgoing, RecvBatch, SystemSockets, UdpSocket, UdpSocketFactory as _,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::mpsc, task::AbortHandle};
use url::Url;

/// How long a relay tolerates a portal that stays away. spec: portal 4.1
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How often expired allocations are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// Largest batch for one send, in bytes.
const MAX_BATCH: usize = 60_000;

/// Datagrams in one send at most.
const MAX_SEGMENTS: usize = 64;

/// Settings of a relay.
#[derive(Debug, Clone)]
pub struct Config {
    /// Base URL of the portal.
    pub api_url: Url,
    /// The relay fleet's token.
    pub token: SecretString,
    /// What the portal shows; may be empty.
    pub name: String,
    /// Public IPv4 address; at least one of the two is needed.
    pub ipv4: Option<Ipv4Addr>,
    /// Public IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// UDP port to listen on; usually 3478.
    pub port: u16,
    /// How the relay introduces itself, `relay/x.y.z`.
    pub user_agent: String,
    /// Entropy of the secret, nonces and ports.
    pub seed: Seed,
}

/// Why a relay ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The settings cannot work.
    #[error("the settings cannot work")]
    Settings(#[from] LoginError),
    /// The listening port is taken or not permitted.
    #[error("cannot listen on UDP port {port}")]
    Bind {
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The portal ended it, or stayed away for too long.
    #[error("the session with the portal is over")]
    Portal(#[from] ChannelError),
}

struct State {
    server: Server,
    ports: PortTable,
    listeners: BTreeMap<Family, Rc<UdpSocket>>,
    outbox: Outbox,
}

/// The sockets of allocations.
struct PortTable {
    factory: SystemSockets,
    sockets: BTreeMap<(u16, Family), Rc<UdpSocket>>,
    tasks: BTreeMap<u16, Vec<AbortHandle>>,
    state: Weak<RefCell<State>>,
    received: Rc<RefCell<RecvBatch>>,
}

/// Runs until the second item of `stop`, or until no allocation is left after the first one.
///
/// Must be called on a [`tokio::task::LocalSet`].
///
/// # Errors
///
/// A port that cannot be opened, or the end of the session with the portal.
pub async fn run(config: Config, mut stop: mpsc::Receiver<()>) -> Result<(), Fault> {
    let seeds = SeedTree::new(config.seed.clone());
    let secret = new_secret(&seeds);
    let login = login(&config, &secret)?;
    let state = open(&config, secret, &seeds)?;
    let mut portal = Channel::<v1::Relay>::new(
        login,
        Arc::new(SystemDialer),
        RetryPolicy {
            budget: Some(PATIENCE),
            ..RetryPolicy::default()
        },
        config.seed,
    );
    portal.connect(None);
    loop {
        tokio::select! {
            event = portal.next() => match event? {
                ChannelEvent::Joined => tracing::info!("Joined"),
                ChannelEvent::Message(_) => tracing::debug!("The portal knows this relay"),
                ChannelEvent::Reconnecting { error, retry_in } => {
                    tracing::warn!(%error, retry_in_ms = retry_in.as_millis(), "No connection to the portal");
                }
            },
            () = tokio::time::sleep(SWEEP) => sweep(&state),
            _ = stop.recv() => break,
        }
    }
    drop(portal);
    drain(&state, &mut stop).await;
    Ok(())
}

/// Keeps forwarding until the last allocation ended. spec: portal 4.7
async fn drain(state: &Rc<RefCell<State>>, stop: &mut mpsc::Receiver<()>) {
    tracing::info!(
        allocations = state.borrow().server.allocations(),
        "Draining"
    );
    while state.borrow().server.allocations() > 0 {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => sweep(state),
            _ = stop.recv() => return,
        }
    }
}

fn sweep(state: &Rc<RefCell<State>>) {
    let State { server, ports, .. } = &mut *state.borrow_mut();
    server.handle_timeout(ports, Instant::now());
}

fn new_secret(seeds: &SeedTree) -> SecretString {
    let mut bytes = [0; 32];
    seeds.stream("stamp secret").fill_bytes(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    SecretString::from(hex)
}

fn login(config: &Config, secret: &SecretString) -> Result<Login, LoginError> {
    let party = Party::Relay {
        ipv4: config.ipv4,
        ipv6: config.ipv6,
        port: config.port,
        stamp_secret: secret.clone(),
    };
    let login = Login::new(
        &config.api_url,
        party,
        &config.token,
        "",
        &config.user_agent,
    )?;
    login.named(&config.name)
}

/// Opens the listening sockets and starts serving them.
fn open(
    config: &Config,
    secret: SecretString,
    seeds: &SeedTree,
) -> Result<Rc<RefCell<State>>, Fault> {
    let (ipv4, ipv6) = (config.ipv4, config.ipv6);
    let factory = SystemSockets::new(Options::default());
    let mut listeners = BTreeMap::new();
    let families = [ipv4.map(|_| Family::V4), ipv6.map(|_| Family::V6)];
    for family in families.into_iter().flatten() {
        let port = config.port;
        let socket = factory.bind(SocketAddr::new(family.unspecified(), port));
        let socket = socket.map_err(|source| Fault::Bind { port, source })?;
        listeners.insert(family, Rc::new(socket));
    }
    let received = Rc::new(RefCell::new(RecvBatch::new()));
    let state = Rc::new_cyclic(|state| {
        RefCell::new(State {
            server: Server::new(ServerConfig { ipv4, ipv6, secret }, seeds),
            ports: PortTable {
                factory,
                sockets: BTreeMap::new(),
                tasks: BTreeMap::new(),
                state: state.clone(),
                received: Rc::clone(&received),
            },
            listeners: listeners.clone(),
            outbox: Outbox::default(),
        })
    });
    for socket in listeners.into_values() {
        let (state, received) = (Rc::clone(&state), Rc::clone(&received));
        let _task = tokio::task::spawn_local(serve_clients(socket, state, received));
    }
    tracing::info!(port = config.port, "Listening");
    Ok(state)
}

/// Moves datagrams from clients.
async fn serve_clients(
    socket: Rc<UdpSocket>,
    state: Rc<RefCell<State>>,
    received: Rc<RefCell<RecvBatch>>,
) {
    while socket.readable().await.is_ok() {
        let mut batch = received.borrow_mut();
        if socket.try_recv(&mut batch).is_err() {
            continue;
        }
        let now = (Instant::now(), unix_now());
        let State {
            server,
            ports,
            outbox,
            ..
        } = &mut *state.borrow_mut();
        for datagram in batch.datagrams() {
            match server.handle_client(datagram.remote, datagram.payload, ports, now) {
                Forward::Drop => {}
                Forward::Reply(reply) => outbox.push(&socket, datagram.remote, &[], &reply),
                Forward::ToPeer {
                    port,
                    peer,
                    payload,
                } => {
                    if let Some(socket) = ports.sockets.get(&(port, Family::of(peer.ip()))) {
                        outbox.push(socket, peer, &[], payload);
                    }
                }
            }
        }
        outbox.flush();
    }
}

/// Moves datagrams from peers of one allocation.
async fn serve_peers(
    socket: Rc<UdpSocket>,
    port: u16,
    state: Weak<RefCell<State>>,
    received: Rc<RefCell<RecvBatch>>,
) {
    while socket.readable().await.is_ok() {
        let mut batch = received.borrow_mut();
        if socket.try_recv(&mut batch).is_err() {
            continue;
        }
        let Some(state) = state.upgrade() else { return };
        let State {
            server,
            listeners,
            outbox,
            ..
        } = &mut *state.borrow_mut();
        let now = Instant::now();
        for datagram in batch.datagrams() {
            let Some((client, channel)) = server.handle_peer(port, datagram.remote, now) else {
                continue;
            };
            let Ok(length) = u16::try_from(datagram.payload.len()) else {
                continue;
            };
            let ([a, b], [c, d]) = (channel.to_be_bytes(), length.to_be_bytes());
            if let Some(listener) = listeners.get(&Family::of(client.ip())) {
                outbox.push(listener, client, &[a, b, c, d], datagram.payload);
            }
        }
        outbox.flush();
    }
}

impl Ports for PortTable {
    fn open(&mut self, port: u16, v4: bool, v6: bool) -> bool {
        let families = [v4.then_some(Family::V4), v6.then_some(Family::V6)];
        let mut opened = vec![];
        for family in families.into_iter().flatten() {
            let address: IpAddr = family.unspecified();
            match self.factory.bind(SocketAddr::new(address, port)) {
                Ok(socket) => opened.push((family, Rc::new(socket))),
                Err(_) => return false,
            }
        }
        for (family, socket) in opened {
            let (state, received) = (self.state.clone(), Rc::clone(&self.received));
            let task = serve_peers(Rc::clone(&socket), port, state, received);
            let task = tokio::task::spawn_local(task).abort_handle();
            self.tasks.entry(port).or_default().push(task);
            self.sockets.insert((port, family), socket);
        }
        true
    }

    fn close(&mut self, port: u16) {
        for task in self.tasks.remove(&port).unwrap_or_default() {
            task.abort();
        }
        self.sockets.remove(&(port, Family::V4));
        self.sockets.remove(&(port, Family::V6));
    }
}

/// Gathers equally sized datagrams to one destination for a single send.
#[derive(Default)]
struct Outbox {
    socket: Option<Rc<UdpSocket>>,
    destination: Option<SocketAddr>,
    segment: usize,
    count: usize,
    /// A shorter datagram can only be the last one.
    closed: bool,
    buffer: Vec<u8>,
}

impl Outbox {
    fn push(&mut self, socket: &Rc<UdpSocket>, to: SocketAddr, header: &[u8], payload: &[u8]) {
        let length = header.len() + payload.len();
        let same = self
            .socket
            .as_ref()
            .is_some_and(|current| Rc::ptr_eq(current, socket))
            && self.destination == Some(to);
        let fits = !self.closed
            && length <= self.segment
            && self.count < MAX_SEGMENTS
            && self.buffer.len() + length <= MAX_BATCH;
        if !(same && fits) {
            self.flush();
            self.socket = Some(Rc::clone(socket));
            self.destination = Some(to);
            self.segment = length;
        }
        self.buffer.extend_from_slice(header);
        self.buffer.extend_from_slice(payload);
        self.count += 1;
        self.closed = length < self.segment;
    }

    fn flush(&mut self) {
        if let (Some(socket), Some(destination)) = (self.socket.take(), self.destination.take()) {
            let (segment_size, payload) = (self.segment, &self.buffer[..]);
            let outgoing = Outgoing {
                source: None,
                destination,
                ecn: 0,
                segment_size,
                payload,
            };
            if let Err(error) = socket.try_send(&outgoing) {
                tracing::debug!(%error, "Datagrams are lost");
            }
        }
        self.buffer.clear();
        (self.count, self.closed) = (0, false);
    }
}

fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
