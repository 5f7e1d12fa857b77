//! The TURN server as a state machine. spec: data-plane 5

use super::{
    allocation::Allocation,
    auth::Authority,
    message::{self, Family, Kind, Refusal, Request, Response, Unusable},
};
use model::{SeedTree, limits};
use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

/// First port of allocations; the last is 65535.
const FIRST_PORT: u16 = 49152;

/// How long an allocation lives unless asked otherwise, and at most.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// Free ports that are tried before giving up.
const PORT_ATTEMPTS: usize = 64;

/// Allocations at a time; bounds memory and descriptors.
const MAX_ALLOCATIONS: usize = 8192;

/// Protocol number of UDP.
const UDP: u8 = 17;

/// Where the relay is reached, and what its passwords come from.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Public IPv4 address; at least one of the two is present.
    pub ipv4: Option<Ipv4Addr>,
    /// Public IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// What passwords are derived from; the portal knows it too.
    pub secret: SecretString,
}

/// Opens and closes the ports of allocations.
pub trait Ports {
    /// Opens a port on these families; says whether it was free.
    fn open(&mut self, port: u16, v4: bool, v6: bool) -> bool;

    /// Closes a port on both families.
    fn close(&mut self, port: u16);
}

/// What to do with a datagram from a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Forward<'a> {
    /// Nothing.
    Drop,
    /// Answer it.
    Reply(Vec<u8>),
    /// Send the payload from the port to the peer.
    ToPeer {
        /// The port of the client's allocation.
        port: u16,
        /// Where to.
        peer: SocketAddr,
        /// What; a part of the datagram.
        payload: &'a [u8],
    },
}

/// All allocations.
pub struct Server {
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
    authority: Authority,
    allocations: BTreeMap<SocketAddr, Allocation>,
    by_port: BTreeMap<u16, SocketAddr>,
    rng: ChaCha20Rng,
}

impl Server {
    /// A relay without clients.
    pub fn new(config: ServerConfig, seeds: &SeedTree) -> Self {
        Self {
            ipv4: config.ipv4,
            ipv6: config.ipv6,
            authority: Authority::new(config.secret, seeds.stream("nonces")),
            allocations: BTreeMap::new(),
            by_port: BTreeMap::new(),
            rng: seeds.stream("ports"),
        }
    }

    /// Number of allocations.
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// A datagram that arrived on the listening port. Forwarding allocates no memory.
    pub fn handle_client<'a>(
        &mut self,
        from: SocketAddr,
        datagram: &'a [u8],
        ports: &mut dyn Ports,
        (now, unix_now): (Instant, Duration),
    ) -> Forward<'a> {
        match datagram.first() {
            Some(64..=79) => self.forward(from, datagram, now),
            Some(0..=3) => {
                let reply = self.handle_request(from, datagram, ports, (now, unix_now));
                reply.map_or(Forward::Drop, Forward::Reply)
            }
            _ => Forward::Drop,
        }
    }

    /// A datagram that arrived on an allocation's port: the client and the channel it goes to.
    pub fn handle_peer(
        &self,
        port: u16,
        from: SocketAddr,
        now: Instant,
    ) -> Option<(SocketAddr, u16)> {
        let client = *self.by_port.get(&port)?;
        let channel = self.allocations.get(&client)?.channel(from, now)?;
        Some((client, channel))
    }

    /// Ends allocations that were not refreshed.
    pub fn handle_timeout(&mut self, ports: &mut dyn Ports, now: Instant) {
        let expired = |(client, allocation): (&SocketAddr, &Allocation)| {
            (allocation.expires_at <= now).then_some(*client)
        };
        let expired: Vec<SocketAddr> = self.allocations.iter().filter_map(expired).collect();
        for client in expired {
            self.delete(client, ports);
        }
    }

    /// When [`Server::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.allocations
            .values()
            .map(|allocation| allocation.expires_at)
            .min()
    }

    fn forward<'a>(&self, from: SocketAddr, datagram: &'a [u8], now: Instant) -> Forward<'a> {
        let Some((header, rest)) = datagram.split_first_chunk::<{ limits::CHANNEL_HEADER }>()
        else {
            return Forward::Drop;
        };
        let number = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        // Trailing bytes are padding.
        let Some(payload) = rest.get(..length) else {
            return Forward::Drop;
        };
        let Some(allocation) = self.allocations.get(&from) else {
            return Forward::Drop;
        };
        match allocation.peer(number, now) {
            Some(peer) => Forward::ToPeer {
                port: allocation.port,
                peer,
                payload,
            },
            None => Forward::Drop,
        }
    }

    fn handle_request(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        ports: &mut dyn Ports,
        (now, unix_now): (Instant, Duration),
    ) -> Option<Vec<u8>> {
        let request = match Request::parse(datagram) {
            Ok(request) => request,
            Err(Unusable::Ignore) => return None,
            Err(Unusable::Refuse(reply)) => return Some(reply),
        };
        if request.kind == Kind::Binding {
            return Some(request.success().mapped(from).unsigned());
        }
        let response = match self.authenticate(&request, unix_now) {
            Ok(()) => self.serve(&request, from, ports, now),
            Err(refusal) => {
                let nonce = self.authority.new_nonce();
                request.refuse(refusal).challenge(nonce)
            }
        };
        let Some(username) = request.username() else {
            return Some(response.unsigned());
        };
        Some(match self.authority.password(username) {
            Some(password) => response.signed(username, &password),
            None => response.unsigned(),
        })
    }

    /// The checks in the order of the specification. spec: data-plane 5.3
    fn authenticate(&mut self, request: &Request, unix_now: Duration) -> Result<(), Refusal> {
        if !request.has_integrity() {
            return Err(message::UNAUTHORIZED);
        }
        let username = request.username().ok_or(message::UNAUTHORIZED)?;
        let nonce = request.nonce().ok_or(message::UNAUTHORIZED)?;
        let nonce = nonce.parse().map_err(|_| message::UNAUTHORIZED)?;
        if !self.authority.use_nonce(nonce) {
            return Err(message::STALE_NONCE);
        }
        let password = self
            .authority
            .password(username)
            .ok_or(message::UNAUTHORIZED)?;
        let is_genuine = request.is_signed_with(username, &password);
        if !is_genuine || !Authority::is_current(username, unix_now) {
            return Err(message::UNAUTHORIZED);
        }
        Ok(())
    }

    fn serve(
        &mut self,
        request: &Request,
        from: SocketAddr,
        ports: &mut dyn Ports,
        now: Instant,
    ) -> Response {
        let result = match request.kind {
            Kind::Allocate => self.allocate(request, from, ports, now),
            Kind::ChannelBind => self.bind_channel(request, from, now),
            Kind::Refresh => self.refresh(request, from, ports, now),
            Kind::Binding | Kind::CreatePermission => Ok(request.success()),
        };
        result.unwrap_or_else(|refusal| request.refuse(refusal))
    }

    fn allocate(
        &mut self,
        request: &Request,
        from: SocketAddr,
        ports: &mut dyn Ports,
        now: Instant,
    ) -> Result<Response, Refusal> {
        if self.allocations.contains_key(&from) {
            return Err(message::ALLOCATION_MISMATCH);
        }
        if request.transport() != Some(UDP) {
            return Err(message::BAD_REQUEST);
        }
        let families = self.families(request)?;
        let port = self
            .free_port(families, ports)
            .ok_or(message::INSUFFICIENT_CAPACITY)?;
        let username = request.username().unwrap_or_default();
        let lifetime = lifetime(request);
        let allocation = Allocation::new(port, families, username, now + lifetime);
        self.allocations.insert(from, allocation);
        self.by_port.insert(port, from);
        let mut response = request.success();
        if let Some(ipv4) = self.ipv4.filter(|_| families.0) {
            response = response.relayed(SocketAddr::new(IpAddr::V4(ipv4), port));
        }
        if let Some(ipv6) = self.ipv6.filter(|_| families.1) {
            response = response.relayed(SocketAddr::new(IpAddr::V6(ipv6), port));
        }
        Ok(response.mapped(from).lifetime(lifetime))
    }

    /// The families of an allocation, as (v4, v6). spec: data-plane 5.4
    fn families(&self, request: &Request) -> Result<(bool, bool), Refusal> {
        let (v4, v6) = (self.ipv4.is_some(), self.ipv6.is_some());
        match (request.requested_family(), request.additional_family()) {
            (Some(_), Some(_)) | (_, Some(Family::V4)) => Err(message::BAD_REQUEST),
            (None, Some(Family::V6)) => Ok((v4, v6)),
            (None | Some(Family::V4), None) if v4 => Ok((true, false)),
            (Some(Family::V6), None) if v6 => Ok((false, true)),
            _ => Err(message::FAMILY_NOT_SUPPORTED),
        }
    }

    fn free_port(&mut self, (v4, v6): (bool, bool), ports: &mut dyn Ports) -> Option<u16> {
        if self.allocations.len() >= MAX_ALLOCATIONS {
            return None;
        }
        for _ in 0..PORT_ATTEMPTS {
            let [a, b, ..] = self.rng.next_u32().to_be_bytes();
            let port = FIRST_PORT | u16::from_be_bytes([a, b]);
            if !self.by_port.contains_key(&port) && ports.open(port, v4, v6) {
                return Some(port);
            }
        }
        None
    }

    fn refresh(
        &mut self,
        request: &Request,
        from: SocketAddr,
        ports: &mut dyn Ports,
        now: Instant,
    ) -> Result<Response, Refusal> {
        let allocation = self
            .allocations
            .get_mut(&from)
            .ok_or(message::ALLOCATION_MISMATCH)?;
        let lifetime = lifetime(request);
        if lifetime.is_zero() {
            self.delete(from, ports);
        } else {
            allocation.expires_at = now + lifetime;
        }
        Ok(request.success().lifetime(lifetime))
    }

    fn bind_channel(
        &mut self,
        request: &Request,
        from: SocketAddr,
        now: Instant,
    ) -> Result<Response, Refusal> {
        let allocation = self
            .allocations
            .get_mut(&from)
            .ok_or(message::ALLOCATION_MISMATCH)?;
        let (Some(peer), Some(number)) = (request.peer(), request.channel()) else {
            return Err(message::BAD_REQUEST);
        };
        if !allocation.reaches(peer) {
            return Err(message::FAMILY_MISMATCH);
        }
        allocation
            .bind(number, peer, now)
            .map_err(|_conflict| message::BAD_REQUEST)?;
        Ok(request.success())
    }

    fn delete(&mut self, client: SocketAddr, ports: &mut dyn Ports) {
        if let Some(allocation) = self.allocations.remove(&client) {
            tracing::debug!(
                port = allocation.port,
                user = allocation.username,
                "Allocation ended"
            );
            self.by_port.remove(&allocation.port);
            ports.close(allocation.port);
        }
    }
}

fn lifetime(request: &Request) -> Duration {
    request
        .lifetime()
        .unwrap_or(DEFAULT_LIFETIME)
        .min(MAX_LIFETIME)
}
