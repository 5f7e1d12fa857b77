//! A relay without sockets: what arrives at its addresses, and what that leads to.

use devnet::relay::{Forward, Ports, Server, ServerConfig, password};
use model::{Relay, RelayId, SeedTree};
use secrecy::SecretString;
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::{Duration, Instant},
};

/// What its passwords come from; the portal knows it, too.
const SECRET: &str = "4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab";

#[derive(Debug, Default)]
struct OpenPorts(BTreeSet<u16>);

impl Ports for OpenPorts {
    fn open(&mut self, port: u16, _: bool, _: bool) -> bool {
        self.0.insert(port)
    }

    fn close(&mut self, port: u16) {
        self.0.remove(&port);
    }
}

/// A datagram that a relay sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    /// From which of its addresses.
    pub from: SocketAddr,
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub payload: Vec<u8>,
}

/// The devnet's relay at [`VirtualRelay::ADDRESS`].
pub struct VirtualRelay {
    server: Server,
    ports: OpenPorts,
}

impl VirtualRelay {
    /// Its id.
    pub const ID: RelayId = RelayId::from_bytes([0x44; 16]);
    /// Where it listens.
    pub const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 21), 3478);

    /// A relay without clients.
    pub fn new(seeds: &SeedTree) -> Self {
        let config = ServerConfig {
            ipv4: Some(*Self::ADDRESS.ip()),
            ipv6: None,
            secret: SecretString::from(SECRET),
        };
        Self {
            server: Server::new(config, seeds),
            ports: OpenPorts::default(),
        }
    }

    /// The relay as the portal lists it for a party.
    pub fn entry(party: &str) -> Relay {
        let (expiry, salt) = ("1893456000", format!("salt-of-{party}"));
        let password = password(expiry, &SecretString::from(SECRET), &salt);
        Relay {
            id: Self::ID,
            v4: Some(Self::ADDRESS),
            v6: None,
            username: format!("{expiry}:{salt}"),
            password: SecretString::from(password.as_str()),
        }
    }

    /// A datagram arrived at one of its addresses; what it sends then.
    pub fn receive(
        &mut self,
        (remote, local): (SocketAddr, SocketAddr),
        payload: &[u8],
        clock: (Instant, Duration),
    ) -> Option<Relayed> {
        if local.port() != Self::ADDRESS.port() {
            return self.receive_from_peer((remote, local), payload, clock.0);
        }
        let forward = self
            .server
            .handle_client(remote, payload, &mut self.ports, clock);
        match forward {
            Forward::Drop => None,
            Forward::Reply(payload) => Some(Relayed {
                from: local,
                to: remote,
                payload,
            }),
            Forward::ToPeer {
                port,
                peer,
                payload,
            } => Some(Relayed {
                from: SocketAddr::new(local.ip(), port),
                to: peer,
                payload: payload.to_vec(),
            }),
        }
    }

    fn receive_from_peer(
        &self,
        (remote, local): (SocketAddr, SocketAddr),
        payload: &[u8],
        now: Instant,
    ) -> Option<Relayed> {
        let (client, channel) = self.server.handle_peer(local.port(), remote, now)?;
        let length = u16::try_from(payload.len()).ok()?;
        let header = [channel.to_be_bytes(), length.to_be_bytes()].concat();
        Some(Relayed {
            from: Self::ADDRESS.into(),
            to: client,
            payload: [&header[..], payload].concat(),
        })
    }

    /// Ends allocations that were not refreshed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(&mut self.ports, now);
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.server.deadline()
    }
}
