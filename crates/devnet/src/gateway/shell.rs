//! TUN device, sockets, resolver and portal around the gateway's core.

use super::core::{Core, Lookup, Output, Received};
use super::dns;
use crate::dialer::SystemDialer;
use connectivity::{Datagram, Ecn};
use model::{InterfacePlan, Seed, ranges};
use platform::{PacketBatch, Platform, PlatformFault, Tun, TunFault};
use portal_client::{
    Channel, ChannelError, ChannelEvent, Login, LoginError, Party, RetryPolicy, v1,
    v1::gateway::FromPortal,
};
use secrecy::SecretString;
use socket_factory::{Family, Outgoing, RecvBatch, UdpSocket, bind_preferred};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::mpsc, task::JoinSet};
use url::Url;

/// How long a gateway tolerates a portal that stays away. spec: portal 4.1
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Local UDP port that is tried first. spec: data-plane 2.2
const PREFERRED_PORT: u16 = 52625;

/// How long a name may take to resolve. spec: data-plane 15.3
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Packets read from or written to the TUN device at a time.
const BATCH: usize = 128;

/// Rounds over all sources before the portal gets its turn.
const ROUNDS: usize = 64;

/// Longest sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Settings of a gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// Base URL of the portal.
    pub api_url: Url,
    /// The site's token.
    pub token: SecretString,
    /// What the portal shows.
    pub name: String,
    /// The identity of the gateway, see [`portal_client::external_id`].
    pub external_id: String,
    /// How the gateway introduces itself.
    pub user_agent: String,
    /// Entropy of keys and ids.
    pub seed: Seed,
}

/// Why a gateway ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The settings cannot work.
    #[error("the settings cannot work")]
    Settings(#[from] LoginError),
    /// There is no TUN device.
    #[error("cannot create the tunnel interface")]
    Tun(#[from] TunFault),
    /// The interface cannot be configured.
    #[error("cannot configure the tunnel interface")]
    Platform(#[from] PlatformFault),
    /// Sockets or the device failed.
    #[error("cannot move packets")]
    Io(#[from] io::Error),
    /// The portal ended it, or stayed away for too long.
    #[error("the session with the portal is over")]
    Portal(#[from] ChannelError),
}

type Resolved = (Lookup, Option<Vec<IpAddr>>);

struct Shell<P: Platform> {
    core: Core,
    platform: P,
    tun: P::Tun,
    sockets: [UdpSocket; 2],
    portal: Channel<v1::Gateway>,
    lookups: JoinSet<Resolved>,
    servers: JoinSet<io::Result<()>>,
    packets: Packets,
}

struct Packets {
    up: PacketBatch,
    down: PacketBatch,
    received: RecvBatch,
}

/// Runs until something arrives on `stop`.
///
/// # Errors
///
/// What the host refuses, or the end of the session with the portal.
pub async fn run<P: Platform>(
    config: Config,
    mut platform: P,
    mut stop: mpsc::Receiver<()>,
) -> Result<(), Fault> {
    let login = Login::new(
        &config.api_url,
        Party::Gateway,
        &config.token,
        &config.external_id,
        &config.user_agent,
    )?;
    let login = login.named(&config.name)?;
    platform.revert()?;
    let tun = platform.create_tun()?;
    let udp = platform.sockets().udp;
    let bind = |family| bind_preferred(udp.as_ref(), family, PREFERRED_PORT);
    let policy = RetryPolicy {
        budget: Some(PATIENCE),
        ..RetryPolicy::default()
    };
    let core = Core::new(config.seed.clone(), unix_now(), Instant::now());
    let mut shell = Shell {
        sockets: [bind(Family::V4)?, bind(Family::V6)?],
        portal: Channel::new(login, Arc::new(SystemDialer), policy, config.seed),
        core,
        platform,
        tun,
        lookups: JoinSet::new(),
        servers: JoinSet::new(),
        packets: Packets {
            up: PacketBatch::new(BATCH),
            down: PacketBatch::new(BATCH),
            received: RecvBatch::new(),
        },
    };
    let result = shell.work(&mut stop).await;
    shell.platform.revert()?;
    result
}

impl<P: Platform> Shell<P> {
    async fn work(&mut self, stop: &mut mpsc::Receiver<()>) -> Result<(), Fault> {
        self.portal.connect(Some(self.core.public_key()));
        loop {
            let wakeup = self.drain();
            let [v4, v6] = &self.sockets;
            tokio::select! {
                event = self.portal.next() => self.handle_portal(event?).await?,
                Some(result) = self.lookups.join_next() => {
                    if let Ok((lookup, addresses)) = result {
                        self.core.handle_resolved(lookup, addresses.as_deref(), Instant::now());
                    }
                }
                Some(Ok(Err(error))) = self.servers.join_next() => {
                    tracing::warn!(%error, "The DNS server for clients ended");
                }
                result = self.tun.readable() => result?,
                result = v4.readable() => result?,
                result = v6.readable() => result?,
                () = tokio::time::sleep_until(wakeup.into()) => {}
                _ = stop.recv() => return Ok(()),
            }
            for _ in 0..ROUNDS {
                if !self.round()? {
                    break;
                }
            }
        }
    }

    async fn handle_portal(&mut self, event: ChannelEvent<FromPortal>) -> Result<(), Fault> {
        match event {
            ChannelEvent::Joined => tracing::info!("Joined"),
            ChannelEvent::Reconnecting { error, retry_in } => {
                tracing::warn!(%error, retry_in_ms = retry_in.as_millis(), "No connection to the portal");
            }
            ChannelEvent::Message(message) => {
                if let FromPortal::Init(init) = &message {
                    let (ipv4, ipv6) = (init.interface.ipv4, init.interface.ipv6);
                    self.apply(&InterfacePlan {
                        ipv4,
                        ipv6,
                        routes: [ranges::TUNNEL_V4.into(), ranges::TUNNEL_V6.into()].into(),
                        dns_servers: vec![],
                        search_domain: None,
                    })
                    .await?;
                }
                self.core.handle_portal(message, Instant::now());
            }
        }
        Ok(())
    }

    /// Configures the interface and starts the DNS server on its addresses.
    async fn apply(&mut self, plan: &InterfacePlan) -> Result<(), Fault> {
        self.platform.apply(plan).await?;
        if self.servers.is_empty() {
            for address in [IpAddr::V4(plan.ipv4), IpAddr::V6(plan.ipv6)] {
                self.servers
                    .spawn(dns::serve(SocketAddr::new(address, dns::PORT)));
            }
        }
        Ok(())
    }

    /// One batch from each source; says whether there was anything.
    fn round(&mut self) -> Result<bool, Fault> {
        let now = Instant::now();
        self.core.handle_timeout(now, unix_now().as_secs());
        let mut moved = false;
        let Packets { up, down, received } = &mut self.packets;
        up.clear();
        match self.tun.try_read(up) {
            Ok(()) => {
                moved = true;
                up.iter_mut()
                    .for_each(|packet| self.core.handle_tun(packet, now));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        for socket in &self.sockets {
            if socket.try_recv(received).is_err() {
                continue;
            }
            moved = true;
            for datagram in received.datagrams() {
                if down.is_full() {
                    write(&mut self.tun, down);
                }
                let datagram = Datagram {
                    local: datagram.local,
                    remote: datagram.remote,
                    ecn: Ecn::from_bits(datagram.ecn),
                    payload: datagram.payload,
                };
                match self.core.handle_udp(datagram, down.spare(), now) {
                    Received::Deliver(length) => down.commit(length),
                    Received::Consumed => {}
                }
            }
            write(&mut self.tun, down);
        }
        self.drain();
        Ok(moved)
    }

    /// Does what the core wants done; returns when to call it again.
    fn drain(&mut self) -> Instant {
        loop {
            match self.core.poll() {
                Output::Send(transmit) => {
                    let [v4, v6] = &self.sockets;
                    let socket = if transmit.destination.is_ipv4() {
                        v4
                    } else {
                        v6
                    };
                    let outgoing = Outgoing {
                        source: transmit.source.map(|source| source.ip()),
                        destination: transmit.destination,
                        ecn: transmit.ecn.bits(),
                        segment_size: transmit.segment_size,
                        payload: transmit.payload(),
                    };
                    if let Err(error) = socket.try_send(&outgoing) {
                        tracing::debug!(%error, "Datagrams are lost");
                    }
                    self.core.recycle(transmit);
                }
                Output::Tell(message) => {
                    let sent = self.portal.send(message);
                    tracing::debug!(%sent, "Told the portal");
                }
                Output::Resolve(lookup) => {
                    self.lookups.spawn(resolve(lookup));
                }
                Output::Reconnect => self.portal.connect(Some(self.core.public_key())),
                Output::Idle(wakeup) => {
                    let latest = Instant::now() + LONGEST_SLEEP;
                    return wakeup.map_or(latest, |wakeup| wakeup.at.min(latest));
                }
            }
        }
    }
}

/// Asks the system's resolver, like any program on this host.
async fn resolve(lookup: Lookup) -> Resolved {
    let host = (lookup.domain.as_str().to_owned(), 0);
    let addresses = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(host)).await;
    let addresses = match addresses {
        Ok(Ok(addresses)) => {
            let mut addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
            addresses.dedup();
            Some(addresses)
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "A name does not resolve");
            None
        }
        Err(_) => None,
    };
    (lookup, addresses)
}

fn write<T: Tun>(tun: &mut T, batch: &mut PacketBatch) {
    if batch.is_empty() {
        return;
    }
    if let Err(error) = tun.try_write(batch) {
        tracing::debug!(%error, "Packets for the TUN device are lost");
    }
}

fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
