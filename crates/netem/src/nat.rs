//! Network address translation with the behaviours that RFC 4787 tells apart.

use crate::DropReason;
use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// The first port that is handed out in order; those below are kept for preserved ones.
const FIRST_PORT: u16 = 40_001;
/// The least port that is drawn at random.
const LEAST_PORT: u16 = 1024;

/// How a NAT behaves. Each field is a behaviour of RFC 4787; parity and contiguity of ports, and
/// ports that two mappings share, are not emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatConfig {
    /// Which remote ends share a mapping. RFC 4787 section 4.1
    pub mapping: Dependence,
    /// Which remote ends may send to a mapping. RFC 4787 section 5
    pub filtering: Dependence,
    /// How the external port is chosen. RFC 4787 section 4.2.1
    pub ports: PortAssignment,
    /// Whether internal hosts reach each other by external addresses. RFC 4787 section 6
    pub hairpinning: bool,
    /// How long a mapping, or the permission for a remote end, lasts after the last datagram outward;
    /// `None`: for ever. Datagrams inward prolong nothing. RFC 4787 section 4.3
    pub lifetime: Option<Duration>,
}

/// What of the remote end counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependence {
    /// Nothing: all remote ends are treated alike.
    EndpointIndependent,
    /// Its address.
    AddressDependent,
    /// Its address and port.
    AddressAndPortDependent,
}

/// How the external port of a mapping is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortAssignment {
    /// The internal port if it is free, else the next one in order.
    Preserving,
    /// The next one in order.
    Sequential,
    /// Any that is free.
    Random,
}

impl NatConfig {
    /// Everybody may send to a mapping, and there is one for each internal socket.
    pub const FULL_CONE: Self = Self {
        mapping: Dependence::EndpointIndependent,
        filtering: Dependence::EndpointIndependent,
        ports: PortAssignment::Sequential,
        hairpinning: false,
        lifetime: None,
    };
    /// One mapping for each internal socket; addresses that were sent to may send.
    pub const ADDRESS_RESTRICTED: Self = Self {
        filtering: Dependence::AddressDependent,
        ..Self::FULL_CONE
    };
    /// One mapping for each internal socket; remote sockets that were sent to may send.
    pub const PORT_RESTRICTED: Self = Self {
        filtering: Dependence::AddressAndPortDependent,
        ..Self::FULL_CONE
    };
    /// One mapping for each internal socket and remote socket, which may send.
    pub const SYMMETRIC: Self = Self {
        mapping: Dependence::AddressAndPortDependent,
        ..Self::PORT_RESTRICTED
    };
}

/// The part of a remote end that counts.
type Part = Option<(IpAddr, Option<u16>)>;

impl Dependence {
    fn part(self, remote: SocketAddr) -> Part {
        match self {
            Self::EndpointIndependent => None,
            Self::AddressDependent => Some((remote.ip(), None)),
            Self::AddressAndPortDependent => Some((remote.ip(), Some(remote.port()))),
        }
    }
}

/// What a mapping is for: an internal socket, and what counts of the remote end.
type Key = (SocketAddr, Part);

#[derive(Debug)]
struct Mapping {
    key: Key,
    /// When something last went outward.
    used: Instant,
    /// The remote ends that may send, with the time of the last datagram to them.
    permissions: BTreeMap<Part, Instant>,
}

/// A NAT with one external address, for hosts with addresses of the same family.
#[derive(Debug)]
pub struct Nat {
    config: NatConfig,
    external: IpAddr,
    rng: ChaCha20Rng,
    next_port: u16,
    ports: BTreeMap<Key, u16>,
    mappings: BTreeMap<u16, Mapping>,
}

impl Nat {
    /// A NAT without mappings.
    pub const fn new(external: IpAddr, config: NatConfig, rng: ChaCha20Rng) -> Self {
        Self {
            config,
            external,
            rng,
            next_port: FIRST_PORT,
            ports: BTreeMap::new(),
            mappings: BTreeMap::new(),
        }
    }

    /// The external address.
    pub const fn external(&self) -> IpAddr {
        self.external
    }

    /// How it behaves.
    pub const fn config(&self) -> NatConfig {
        self.config
    }

    /// Forgets every mapping, as a router that restarts; ports in order go on from where they were.
    pub fn forget(&mut self) {
        self.ports.clear();
        self.mappings.clear();
    }

    /// The source of a datagram outward, as the remote end sees it.
    ///
    /// # Errors
    ///
    /// [`DropReason::NoMapping`] if all ports are taken.
    pub fn outward(
        &mut self,
        internal: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<SocketAddr, DropReason> {
        self.expire(now);
        let key = (internal, self.config.mapping.part(remote));
        let port = match self.ports.get(&key) {
            Some(&port) => port,
            None => {
                let port = self
                    .free_port(internal.port())
                    .ok_or(DropReason::NoMapping)?;
                self.ports.insert(key, port);
                port
            }
        };
        let mapping = self.mappings.entry(port).or_insert_with(|| Mapping {
            key,
            used: now,
            permissions: BTreeMap::new(),
        });
        mapping.used = now;
        let permitted = self.config.filtering.part(remote);
        mapping.permissions.insert(permitted, now);
        Ok(SocketAddr::new(self.external, port))
    }

    /// The internal socket that a datagram to an external port is for.
    ///
    /// # Errors
    ///
    /// [`DropReason::NoMapping`] or [`DropReason::Filtered`].
    pub fn inward(
        &mut self,
        remote: SocketAddr,
        port: u16,
        now: Instant,
    ) -> Result<SocketAddr, DropReason> {
        self.expire(now);
        let mapping = self.mappings.get(&port).ok_or(DropReason::NoMapping)?;
        let part = self.config.filtering.part(remote);
        if !mapping.permissions.contains_key(&part) {
            return Err(DropReason::Filtered);
        }
        let (internal, _) = mapping.key;
        Ok(internal)
    }

    fn expire(&mut self, now: Instant) {
        let Some(lifetime) = self.config.lifetime else {
            return;
        };
        let is_alive = |used: Instant| now.saturating_duration_since(used) < lifetime;
        let ports = &mut self.ports;
        self.mappings.retain(|_, mapping| {
            mapping.permissions.retain(|_, used| is_alive(*used));
            let keep = is_alive(mapping.used);
            if !keep {
                ports.remove(&mapping.key);
            }
            keep
        });
    }

    fn free_port(&mut self, internal: u16) -> Option<u16> {
        let is_free = |port: &u16| !self.mappings.contains_key(port);
        match self.config.ports {
            PortAssignment::Preserving if is_free(&internal) => Some(internal),
            PortAssignment::Preserving | PortAssignment::Sequential => {
                let next = self.next_port;
                let port = (next..=u16::MAX)
                    .chain(FIRST_PORT..next)
                    .find(|port| is_free(port))?;
                self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
                Some(port)
            }
            PortAssignment::Random => {
                let count = u32::from(u16::MAX - LEAST_PORT) + 1;
                let start = u16::try_from(self.rng.next_u32() % count).ok()? + LEAST_PORT;
                (start..=u16::MAX)
                    .chain(LEAST_PORT..start)
                    .find(|port| is_free(port))
            }
        }
    }
}

#[cfg(test)]
mod tests;
