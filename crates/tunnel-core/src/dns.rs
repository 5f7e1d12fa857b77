//! The stub resolver inside the tunnel: what programs on this host ask at the sentinel addresses.
//! spec: data-plane 12
//!
//! Names of resources are answered at once with proxy addresses. Everything else goes to the
//! server behind the queried sentinel, as a [`DnsQuery`] to the outside.

mod forward;
mod proxy;
mod sentinel;
mod stub;
mod tcp;

pub(crate) use proxy::ProxiedName;

use crate::{
    drop_reason::DropReason,
    event::{DnsFailure, DnsQuery, DnsTransport, QueryId},
    resource::ResourceTable,
};
use connectivity::Wakeup;
use forward::{Asker, Forwarder};
use hickory_proto::op::Message;
use ip_packet::{IpPacket, Transport};
use model::{DomainName, ResourceId, SeedTree};
use proxy::ProxyPool;
use sentinel::Sentinels;
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Instant,
};
use stub::Decision;
use tcp::TcpServer;

/// Port of DNS.
const PORT: u16 = 53;

/// Largest UDP payload of a packet that we make. spec: data-plane 7
const MAX_UDP_PAYLOAD: usize = 1212;

/// The stub resolver with all its state.
pub(crate) struct Dns {
    sentinels: Sentinels,
    pool: ProxyPool,
    forwarder: Forwarder,
    tcp: TcpServer,
    replies: VecDeque<Vec<u8>>,
    queries: VecDeque<DnsQuery>,
    intercepted: VecDeque<(ResourceId, DomainName)>,
}

impl Dns {
    pub(crate) fn new(seed: &SeedTree, now: Instant) -> Self {
        Self {
            sentinels: Sentinels::default(),
            pool: ProxyPool::default(),
            forwarder: Forwarder::default(),
            tcp: TcpServer::new(seed, now),
            replies: VecDeque::new(),
            queries: VecDeque::new(),
            intercepted: VecDeque::new(),
        }
    }

    /// The resolvers of the operating system; says whether the sentinels changed.
    pub(crate) fn set_system_resolvers(&mut self, servers: Vec<SocketAddr>) -> bool {
        self.sentinels.set_system(servers)
    }

    /// The resolvers that the portal wants; says whether the sentinels changed.
    pub(crate) fn set_portal_resolvers(&mut self, servers: Vec<SocketAddr>) -> bool {
        self.sentinels.set_portal(servers)
    }

    /// The addresses at which the stub resolver answers.
    pub(crate) fn sentinels(&self) -> impl Iterator<Item = IpAddr> {
        self.sentinels.addresses()
    }

    /// The name that a proxy address stands for.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<&DomainName> {
        self.pool.name_of(address)
    }

    /// The proxy addresses of a name.
    pub(crate) fn proxied(&self, domain: &DomainName) -> Option<&ProxiedName> {
        self.pool.get(domain)
    }

    /// All names with proxy addresses.
    pub(crate) fn names(&self) -> impl Iterator<Item = &DomainName> {
        self.pool.names()
    }

    /// A packet to a sentinel address.
    pub(crate) fn handle_packet(
        &mut self,
        packet: &IpPacket<&[u8]>,
        resources: &ResourceTable,
        now: Instant,
    ) -> Result<(), DropReason> {
        let sentinel = packet.destination();
        if self.sentinels.upstream(sentinel).is_none() {
            return Err(DropReason::UnknownSentinel);
        }
        match packet.transport() {
            Transport::Udp {
                source,
                destination: PORT,
            } => {
                let query = parse_query(packet.udp_payload()).ok_or(DropReason::MalformedQuery)?;
                let asker = Asker::Udp {
                    from: SocketAddr::new(packet.source(), source),
                    sentinel: SocketAddr::new(sentinel, PORT),
                };
                self.handle_query(asker, sentinel, (&query, packet.udp_payload()), resources);
                Ok(())
            }
            Transport::Tcp {
                destination: PORT, ..
            } => {
                self.tcp.handle_packet(packet, now);
                self.serve_tcp(resources, now);
                Ok(())
            }
            _ => Err(DropReason::NotDns),
        }
    }

    /// The answer to a query that went outside.
    pub(crate) fn handle_answer(
        &mut self,
        id: QueryId,
        answer: Result<&[u8], DnsFailure>,
        now: Instant,
    ) {
        if let Some((asker, reply)) = self.forwarder.finish(id, answer) {
            self.reply(asker, &reply);
            self.tcp.poll(now);
        }
    }

    /// Retransmits and expires what is due.
    pub(crate) fn handle_timeout(&mut self, resources: &ResourceTable, now: Instant) {
        if self.tcp.deadline().is_some_and(|at| at <= now) {
            self.serve_tcp(resources, now);
        }
    }

    /// Forgets queries and connections; names and sentinels stay. spec: data-plane 2.17
    pub(crate) fn reset(&mut self, now: Instant) {
        self.forwarder.clear();
        self.tcp.reset(now);
        self.queries.clear();
    }

    /// A packet for the TUN device.
    pub(crate) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.replies.pop_front().or_else(|| self.tcp.poll_packet())
    }

    /// A query for a server outside the tunnel.
    pub(crate) fn poll_query(&mut self) -> Option<DnsQuery> {
        self.queries.pop_front()
    }

    /// A resource's name that was asked for.
    pub(crate) fn poll_intercepted(&mut self) -> Option<(ResourceId, DomainName)> {
        self.intercepted.pop_front()
    }

    pub(crate) fn deadline(&self) -> Option<Wakeup> {
        self.tcp.deadline().map(|at| Wakeup {
            at,
            why: "TCP connection to the stub resolver",
        })
    }

    fn serve_tcp(&mut self, resources: &ResourceTable, now: Instant) {
        self.tcp.poll(now);
        while let Some((connection, sentinel, message)) = self.tcp.poll_query() {
            match parse_query(&message) {
                Some(query) => {
                    let asker = Asker::Tcp(connection);
                    self.handle_query(asker, sentinel, (&query, &message), resources);
                }
                None => self.tcp.abort(connection),
            }
        }
        self.tcp.poll(now);
    }

    fn handle_query(
        &mut self,
        asker: Asker,
        sentinel: IpAddr,
        (query, message): (&Message, &[u8]),
        resources: &ResourceTable,
    ) {
        match stub::decide(query, &mut self.pool, resources) {
            Decision::Answer(answer) => self.reply(asker, &answer),
            Decision::Resource {
                answer,
                resource,
                domain,
            } => {
                self.intercepted.push_back((resource, domain));
                self.reply(asker, &answer);
            }
            Decision::Forward => {
                let Some(server) = self.sentinels.upstream(sentinel) else {
                    return;
                };
                let transport = match asker {
                    Asker::Tcp(_) => DnsTransport::Tcp,
                    Asker::Udp { .. } => DnsTransport::Udp,
                };
                match self.forwarder.begin(asker, message) {
                    Some(id) => {
                        let message = message.to_vec();
                        self.queries.push_back(DnsQuery {
                            id,
                            server,
                            transport,
                            message,
                        });
                    }
                    None => self.reply(asker, &stub::server_failure(message)),
                }
            }
        }
    }

    fn reply(&mut self, asker: Asker, message: &[u8]) {
        match asker {
            Asker::Tcp(connection) => self.tcp.reply(connection, message),
            Asker::Udp { from, sentinel } => {
                let mut packet = vec![0; MAX_UDP_PAYLOAD + 48];
                let cut;
                let payload = if message.len() <= MAX_UDP_PAYLOAD {
                    message
                } else {
                    cut = stub::truncated(message);
                    &cut
                };
                if let Some(length) = ip_packet::emit_udp(&mut packet, sentinel, from, payload) {
                    packet.truncate(length);
                    self.replies.push_back(packet);
                }
            }
        }
    }
}

/// A query has QR = 0 and exactly one question. spec: data-plane 12.2
fn parse_query(bytes: &[u8]) -> Option<Message> {
    use hickory_proto::op::MessageType;

    let message = Message::from_vec(bytes).ok()?;
    let is_query = message.metadata.message_type == MessageType::Query;
    (is_query && message.queries.len() == 1).then_some(message)
}

#[cfg(test)]
mod tests;
