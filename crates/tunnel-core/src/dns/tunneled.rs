//! Queries to servers that are reached through the tunnel. spec: data-plane 12.5
//!
//! Both clients speak from the interface's own addresses. What they send takes the way of every
//! packet into the tunnel, and may ask for an authorization like any.

mod rules;
mod tcp;
mod udp;

use super::pending::{Answer, Pending, Requestor, Unasked};
use crate::drop_reason::DropReason;
use ip_packet::{Flow, IcmpError, IpPacket, Transport};
use model::SeedTree;
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};
use tcp::TcpClient;
use udp::UdpClient;

/// Both clients.
pub(crate) struct TunneledQueries {
    ours: Option<(Ipv4Addr, Ipv6Addr)>,
    udp: UdpClient,
    tcp: TcpClient,
    packets: VecDeque<Vec<u8>>,
}

impl TunneledQueries {
    pub(crate) fn new(seed: &SeedTree, now: Instant) -> Self {
        let seed = seed.branch("DNS through the tunnel");
        Self {
            ours: None,
            udp: UdpClient::new(seed.stream("udp")),
            tcp: TcpClient::new(seed.stream("tcp"), now),
            packets: VecDeque::new(),
        }
    }

    /// The addresses to speak from. Queries that spoke from others are lost and come back.
    pub(crate) fn set_addresses(&mut self, v4: Ipv4Addr, v6: Ipv6Addr) -> Vec<Pending> {
        if self.ours.replace((v4, v6)) == Some((v4, v6)) {
            return vec![];
        }
        self.drain()
    }

    /// Asks the server of a query.
    ///
    /// # Errors
    ///
    /// It cannot be asked; the query comes back.
    pub(crate) fn ask(&mut self, pending: Pending, now: Instant) -> Result<(), Box<Unasked>> {
        let Some(ours) = self.our_address(pending.server.is_ipv4()) else {
            return Err(Unasked::unsendable(pending));
        };
        match pending.requestor {
            Requestor::Udp { .. } => {
                let packet = self.udp.ask(pending, ours, now)?;
                self.packets.push_back(packet);
                Ok(())
            }
            Requestor::Tcp(_) => self.tcp.ask(pending, ours, now),
        }
    }

    /// A packet from the tunnel; says whether it was for us.
    ///
    /// # Errors
    ///
    /// It was for us, and does not answer what it claims to.
    pub(crate) fn handle_packet(
        &mut self,
        packet: &IpPacket<&[u8]>,
        now: Instant,
    ) -> Result<bool, DropReason> {
        if (self.udp.is_idle() && self.tcp.is_idle()) || !self.is_ours(packet.destination()) {
            return Ok(false);
        }
        match packet.transport() {
            Transport::Udp {
                source,
                destination,
            } => {
                let from = SocketAddr::new(packet.source(), source);
                self.udp.handle(from, destination, packet.udp_payload())
            }
            Transport::Tcp {
                source,
                destination,
            } => {
                let from = SocketAddr::new(packet.source(), source);
                let is_known = self.tcp.knows(from, destination);
                if is_known {
                    self.tcp.handle_packet(packet, now);
                }
                Ok(is_known)
            }
            Transport::IcmpError { .. } => Ok(self.handle_error(packet, now)),
            _ => Ok(false),
        }
    }

    /// Moves bytes of connections and gives up what takes too long.
    pub(crate) fn poll(&mut self, now: Instant) {
        self.udp.expire(now);
        if !self.tcp.is_idle() {
            self.tcp.poll(now);
        }
    }

    /// A query that has ended.
    pub(crate) fn poll_finished(&mut self) -> Option<(Pending, Answer)> {
        let finished = self.udp.poll_finished();
        finished.or_else(|| self.tcp.poll_finished())
    }

    /// A packet for the tunnel.
    pub(crate) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        let packet = self.packets.pop_front();
        packet.or_else(|| self.tcp.poll_packet())
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.udp.waiting() + self.tcp.waiting()
    }

    /// Forgets all connections and takes out all queries.
    pub(crate) fn drain(&mut self) -> Vec<Pending> {
        self.packets.clear();
        let mut queries = self.udp.drain();
        queries.extend(self.tcp.drain());
        queries
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let tcp = self.tcp.deadline();
        self.udp.deadline().into_iter().chain(tcp).min()
    }

    fn our_address(&self, is_v4: bool) -> Option<IpAddr> {
        let (v4, v6) = self.ours?;
        Some(if is_v4 { v4.into() } else { v6.into() })
    }

    fn is_ours(&self, address: IpAddr) -> bool {
        self.our_address(address.is_ipv4()) == Some(address)
    }

    /// An ICMP error about one of our packets ends what it belongs to.
    fn handle_error(&mut self, packet: &IpPacket<&[u8]>, now: Instant) -> bool {
        let Some(IcmpError { quoted, .. }) = IcmpError::parse(packet) else {
            return false;
        };
        if !self.is_ours(quoted.source) {
            return false;
        }
        match quoted.source_flow {
            Flow::Udp(port) => self.udp.fail(quoted.destination, port),
            Flow::Tcp(port) => self.tcp.fail(quoted.destination, port, now),
            Flow::Echo(_) => false,
        }
    }
}
