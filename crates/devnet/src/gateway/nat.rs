//! Translates between proxy addresses and real ones, for one client. spec: data-plane 15.4

use ip_packet::{Flow, IcmpError, IpPacket};
use model::{DomainName, ResourceId};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

/// Idle sessions end after this time.
const TCP_TTL: Duration = Duration::from_secs(2 * 3600);
const OTHER_TTL: Duration = Duration::from_secs(120);

/// Sessions of one client; further ones replace the idlest.
const MAX_SESSIONS: usize = 65_536;

/// Why a packet to a proxy address cannot be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NatFault {
    /// It is neither TCP, UDP nor an ICMP echo.
    Protocol,
    /// The proxy address stands for nothing, or the name has no address of this family.
    NoAddress,
}

/// What became of a packet from a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inbound {
    /// Its session has expired.
    Expired,
    /// It was translated; it comes from a name of this resource.
    Translated(ResourceId),
    /// No session knows it.
    Unknown,
}

/// Whose packet an ICMP error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorOrigin {
    /// One of an expired session.
    Expired,
    /// One that was sent to this proxy address from this port.
    Session(IpAddr, u16),
    /// No session knows it.
    Unknown,
}

#[derive(Debug, Clone)]
struct Mapping {
    resource: ResourceId,
    domain: DomainName,
    real: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    outside: (Flow, IpAddr),
    resource: ResourceId,
    used_at: Instant,
}

/// The sessions and mappings of one client.
#[derive(Debug, Default)]
pub(super) struct Nat {
    mappings: BTreeMap<IpAddr, Mapping>,
    by_inside: BTreeMap<(Flow, IpAddr), Session>,
    by_outside: BTreeMap<(Flow, IpAddr), (Flow, IpAddr)>,
}

impl Nat {
    /// Lets proxy addresses stand for the addresses of a name, family by family.
    ///
    /// Proxy addresses of a family that the name lacks answer that there is no route. When an
    /// address stood for another name, the client numbers anew: nothing of before is valid, and
    /// its sessions must not carry what is meant for the new name.
    pub(super) fn assign(
        &mut self,
        resource: ResourceId,
        domain: &DomainName,
        proxies: &BTreeSet<IpAddr>,
        resolved: &[IpAddr],
    ) {
        let is_taken = |proxy| {
            let mapping: Option<&Mapping> = self.mappings.get(proxy);
            mapping.is_some_and(|mapping| mapping.domain != *domain)
        };
        if proxies.iter().any(is_taken) {
            *self = Self::default();
        }
        for is_v4 in [true, false] {
            let family = |address: &&IpAddr| address.is_ipv4() == is_v4;
            let mut real = resolved.iter().filter(family).copied().cycle();
            for &proxy in proxies.iter().filter(family) {
                let mapping = Mapping {
                    resource,
                    domain: domain.clone(),
                    real: real.next(),
                };
                self.mappings.insert(proxy, mapping);
            }
        }
    }

    /// Forgets all names of a resource.
    pub(super) fn remove_resource(&mut self, resource: ResourceId) {
        self.mappings
            .retain(|_, mapping| mapping.resource != resource);
        self.by_inside
            .retain(|_, session| session.resource != resource);
        let known = &self.by_inside;
        self.by_outside
            .retain(|_, inside| known.contains_key(inside));
    }

    /// The resource that a proxy address belongs to.
    pub(super) fn resource_of(&self, proxy: IpAddr) -> Option<ResourceId> {
        self.mappings.get(&proxy).map(|mapping| mapping.resource)
    }

    /// Rewrites a packet to a proxy address.
    pub(super) fn translate_out<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        packet: &mut IpPacket<B>,
        now: Instant,
    ) -> Result<(), NatFault> {
        let flow = packet.transport().source().ok_or(NatFault::Protocol)?;
        let proxy = packet.destination();
        let mapping = self.mappings.get(&proxy).ok_or(NatFault::NoAddress)?;
        let (resource, real) = (mapping.resource, mapping.real);
        let inside = (flow, proxy);
        let outside = match self.by_inside.get_mut(&inside) {
            Some(session) if is_alive(flow, session.used_at, now) => {
                session.used_at = now;
                session.outside
            }
            _ => self.open(inside, (resource, real), now)?,
        };
        packet.set_destination(outside.1);
        packet.set_source_port(number(outside.0));
        if packet.is_tcp_reset() {
            self.close(inside);
        }
        Ok(())
    }

    /// Rewrites a packet from a real address, if it belongs to a session.
    pub(super) fn translate_in<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        packet: &mut IpPacket<B>,
        now: Instant,
    ) -> Inbound {
        let Some(flow) = packet.transport().destination() else {
            return Inbound::Unknown;
        };
        let Some(&inside) = self.by_outside.get(&(flow, packet.source())) else {
            return Inbound::Unknown;
        };
        let Some(session) = self.by_inside.get_mut(&inside) else {
            return Inbound::Unknown;
        };
        if !is_alive(flow, session.used_at, now) {
            return Inbound::Expired;
        }
        session.used_at = now;
        let resource = session.resource;
        packet.set_source(inside.1);
        packet.set_destination_port(number(inside.0));
        if packet.is_tcp_reset() {
            self.close(inside);
        }
        Inbound::Translated(resource)
    }

    /// The proxy address and port behind an ICMP error about a translated packet.
    pub(super) fn origin_of_error(&self, error: &IcmpError<'_>, now: Instant) -> ErrorOrigin {
        let key = (error.quoted.source_flow, error.quoted.destination);
        let Some(inside) = self.by_outside.get(&key) else {
            return ErrorOrigin::Unknown;
        };
        match self.by_inside.get(inside) {
            Some(session) if is_alive(inside.0, session.used_at, now) => {
                ErrorOrigin::Session(inside.1, number(inside.0))
            }
            _ => ErrorOrigin::Expired,
        }
    }

    /// Starts a session at the same port where that is free. spec: data-plane 15.4
    fn open(
        &mut self,
        inside: (Flow, IpAddr),
        (resource, real): (ResourceId, Option<IpAddr>),
        now: Instant,
    ) -> Result<(Flow, IpAddr), NatFault> {
        self.close(inside);
        let real = real.ok_or(NatFault::NoAddress)?;
        self.make_room(now);
        let first = number(inside.0);
        let free = (first..=u16::MAX)
            .chain(1..first)
            .map(|port| (with_number(inside.0, port), real))
            .find(|outside| !self.by_outside.contains_key(outside));
        let outside = free.ok_or(NatFault::NoAddress)?;
        let session = Session {
            outside,
            resource,
            used_at: now,
        };
        self.by_inside.insert(inside, session);
        self.by_outside.insert(outside, inside);
        Ok(outside)
    }

    fn make_room(&mut self, now: Instant) {
        if self.by_inside.len() < MAX_SESSIONS {
            return;
        }
        self.by_inside
            .retain(|(flow, _), session| is_alive(*flow, session.used_at, now));
        if self.by_inside.len() >= MAX_SESSIONS {
            let idlest = self
                .by_inside
                .iter()
                .min_by_key(|(_, session)| session.used_at);
            if let Some(&inside) = idlest.map(|(inside, _)| inside) {
                self.by_inside.remove(&inside);
            }
        }
        let known = &self.by_inside;
        self.by_outside
            .retain(|_, inside| known.contains_key(inside));
    }

    fn close(&mut self, inside: (Flow, IpAddr)) {
        if let Some(session) = self.by_inside.remove(&inside) {
            self.by_outside.remove(&session.outside);
        }
    }
}

fn is_alive(flow: Flow, used_at: Instant, now: Instant) -> bool {
    let ttl = match flow {
        Flow::Tcp(_) => TCP_TTL,
        Flow::Udp(_) | Flow::Echo(_) => OTHER_TTL,
    };
    now.saturating_duration_since(used_at) < ttl
}

fn number(flow: Flow) -> u16 {
    match flow {
        Flow::Tcp(number) | Flow::Udp(number) | Flow::Echo(number) => number,
    }
}

fn with_number(flow: Flow, number: u16) -> Flow {
    match flow {
        Flow::Tcp(_) => Flow::Tcp(number),
        Flow::Udp(_) => Flow::Udp(number),
        Flow::Echo(_) => Flow::Echo(number),
    }
}

#[cfg(test)]
mod tests;
