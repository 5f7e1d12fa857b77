//! The stub resolver inside the tunnel: what programs on this host ask at the sentinel addresses.
//! spec: data-plane 12
//!
//! Names of resources are answered at once with proxy addresses. Everything else goes to the
//! server behind the queried sentinel: as a [`DnsQuery`] to the outside, or through the tunnel if
//! the server is a part of a resource. What a server says is remembered for as long as it may be.

mod cache;
mod datagram;
mod direct;
mod llmnr;
mod pending;
mod proxy;
mod route;
mod sentinel;
mod sites;
mod stack;
mod stub;
mod tcp;
mod tunneled;
mod unpredictable;

pub(crate) use proxy::{NameId, ProxiedName};

use crate::{
    drop_reason::DropReason,
    event::{DnsFailure, DnsQuery, DnsServer, QueryId},
    gateway::Gateways,
    resource::ResourceTable,
};
use cache::Cache;
use connectivity::Wakeup;
use datagram::{PORT, UDP_HEADERS};
use direct::DirectQueries;
use dns_message::{MAX_NAME, NameBuffer, Protocol, Query, compose_truncated, rcode};
use ip_packet::{IpPacket, Transport};
use model::{DomainName, DropCounters, Interface, ResourceId, SeedTree};
use pending::{InFlight, Requestor};
use proxy::ProxyPool;
use sentinel::Sentinels;
use sites::SiteQueries;
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Instant,
};
use stub::{Decision, LocalAnswer};
use tcp::TcpServer;
use tunneled::TunneledQueries;

/// The stub resolver with all its state.
pub(crate) struct Dns {
    sentinels: Sentinels,
    pool: ProxyPool,
    cache: Cache,
    direct: DirectQueries,
    tunneled: TunneledQueries,
    sites: SiteQueries,
    in_flight: InFlight,
    tcp: TcpServer,
    replies: VecDeque<Vec<u8>>,
    intercepted: VecDeque<(ResourceId, NameId)>,
    /// The message that is being made.
    scratch: Vec<u8>,
    /// What no caller hears of.
    drops: DropCounters<DropReason>,
}

/// What the resolver has to know of the rest of the tunnel.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) resources: &'a ResourceTable,
    pub(crate) gateways: &'a Gateways,
    pub(crate) now: Instant,
}

impl Dns {
    pub(crate) fn new(seed: &SeedTree, now: Instant) -> Self {
        Self {
            sentinels: Sentinels::default(),
            pool: ProxyPool::default(),
            cache: Cache::new(),
            direct: DirectQueries::new(seed),
            tunneled: TunneledQueries::new(seed, now),
            sites: SiteQueries::default(),
            in_flight: InFlight::default(),
            tcp: TcpServer::new(seed, now),
            replies: VecDeque::new(),
            intercepted: VecDeque::new(),
            scratch: vec![],
            drops: DropCounters::default(),
        }
    }

    /// The resolvers of the operating system; says whether the sentinels changed.
    pub(crate) fn set_system_resolvers(&mut self, servers: &[DnsServer]) -> bool {
        let changed = self.sentinels.set_system(servers);
        if changed {
            self.cache.flush();
        }
        changed
    }

    /// The interface and the resolvers that the portal wants.
    pub(crate) fn set_interface(&mut self, interface: &Interface, cx: Context<'_>) {
        if self.sentinels.set_portal(interface.upstream_dns.clone()) {
            self.cache.flush();
        }
        let lost = self.tunneled.set_addresses(interface.ipv4, interface.ipv6);
        for pending in lost {
            self.finish(&pending, Err(DnsFailure::Failed), cx.now);
        }
        self.serve(cx);
    }

    /// The addresses at which the stub resolver answers.
    pub(crate) fn sentinels(&self) -> impl Iterator<Item = IpAddr> {
        self.sentinels.addresses()
    }

    /// The sentinels with the servers that they stand for.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = (IpAddr, SocketAddr)> {
        self.sentinels.all()
    }

    /// The name that a proxy address stands for.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<&DomainName> {
        self.pool.name_of(address)
    }

    /// A name with its proxy addresses.
    pub(crate) fn name(&self, id: NameId) -> Option<&ProxiedName> {
        self.pool.name(id)
    }

    /// The proxy addresses of a name.
    pub(crate) fn proxied(&self, domain: &DomainName) -> Option<&ProxiedName> {
        let id = self.pool.find(domain.as_str())?;
        self.pool.name(id)
    }

    /// A packet to a sentinel address.
    pub(crate) fn handle_packet(
        &mut self,
        packet: &IpPacket<&[u8]>,
        cx: Context<'_>,
    ) -> Result<(), DropReason> {
        let sentinel = packet.destination();
        let is_known = self.sentinels.upstream(sentinel).is_some();
        match packet.transport() {
            Transport::Tcp {
                destination: PORT, ..
            } if is_known || self.tcp.knows(packet) => {
                self.tcp.handle_packet(packet, cx.now);
                self.serve(cx);
                Ok(())
            }
            _ if !is_known => Err(DropReason::UnknownSentinel),
            Transport::Udp {
                source,
                destination: PORT,
            } => {
                let query =
                    Query::parse(packet.udp_payload()).map_err(|_| DropReason::MalformedQuery)?;
                let requestor = Requestor::Udp {
                    from: SocketAddr::new(packet.source(), source),
                    sentinel: SocketAddr::new(sentinel, PORT),
                };
                self.handle_query(requestor, sentinel, &query, cx);
                Ok(())
            }
            _ => Err(DropReason::NotDns),
        }
    }

    /// A packet to a multicast address.
    pub(crate) fn handle_multicast(
        &mut self,
        packet: &IpPacket<&[u8]>,
        resources: &ResourceTable,
    ) -> Result<(), DropReason> {
        let (from, group) = llmnr::recognize(packet).ok_or(DropReason::Multicast)?;
        let query = Query::parse(packet.udp_payload()).ok();
        let query = query.filter(Query::has_supported_edns);
        let query = query.ok_or(DropReason::MalformedQuery)?;
        let mut buffer: NameBuffer = [0; MAX_NAME];
        let name = query.name(&mut buffer).ok_or(DropReason::UnknownName)?;
        let decision = stub::decide(&query, name, &mut self.pool, resources);
        let answer = llmnr::answer(decision).ok_or(DropReason::UnknownName)?;
        self.intercepted.extend(answer.intercepted);
        let requestor = Requestor::Udp {
            from,
            sentinel: group,
        };
        self.answer(requestor, &query, Protocol::Llmnr, &answer);
        Ok(())
    }

    /// A packet from the tunnel; says whether it was for a query of ours.
    ///
    /// # Errors
    ///
    /// It was for one, and does not answer it.
    pub(crate) fn handle_tunneled(
        &mut self,
        packet: &IpPacket<&[u8]>,
        cx: Context<'_>,
    ) -> Result<bool, DropReason> {
        let is_ours = self.tunneled.handle_packet(packet, cx.now)?;
        if is_ours {
            self.serve(cx);
        }
        Ok(is_ours)
    }

    /// The answer to a query that went outside.
    pub(crate) fn handle_answer(
        &mut self,
        id: QueryId,
        answer: Result<&[u8], DnsFailure>,
        cx: Context<'_>,
    ) {
        if let Some((pending, answer)) = self.direct.finish(id, answer) {
            self.finish(&pending, answer, cx.now);
            self.serve(cx);
        }
    }

    /// Retransmits and expires what is due.
    pub(crate) fn handle_timeout(&mut self, cx: Context<'_>) {
        let is_due = |at: Instant| at <= cx.now;
        if self.deadline().is_some_and(|wakeup| is_due(wakeup.at)) {
            self.tunneled.poll(cx.now);
            let late = self.sites.expire(cx.now).into_iter();
            for pending in late.chain(self.direct.expire(cx.now)) {
                self.finish(&pending, Err(DnsFailure::TimedOut), cx.now);
            }
            self.serve(cx);
        }
    }

    /// Forgets queries and connections; names and sentinels stay. spec: data-plane 2.17
    pub(crate) fn reset(&mut self, now: Instant) {
        let queries = self.direct.drain().into_iter();
        let queries = queries
            .chain(self.tunneled.drain())
            .chain(self.sites.drain());
        self.drops.add(DropReason::Reset, queries.count());
        self.in_flight.clear();
        self.cache.flush();
        self.tcp.reset(now);
    }

    /// How many packets were dropped of which no caller heard, by reason.
    pub(crate) fn drops(&self) -> &DropCounters<DropReason> {
        &self.drops
    }

    /// How many queries wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.direct.waiting() + self.tunneled.waiting() + self.sites.waiting()
    }

    /// A packet for the TUN device.
    pub(crate) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.replies.pop_front().or_else(|| self.tcp.poll_packet())
    }

    /// A packet for the tunnel.
    pub(crate) fn poll_tunneled(&mut self) -> Option<Vec<u8>> {
        self.tunneled.poll_packet()
    }

    /// A query for a server outside the tunnel.
    pub(crate) fn poll_query(&mut self) -> Option<DnsQuery> {
        self.direct.poll_query()
    }

    /// A resource's name that was asked for.
    pub(crate) fn poll_intercepted(&mut self) -> Option<(ResourceId, NameId)> {
        self.intercepted.pop_front()
    }

    /// A resource that a query waits for.
    pub(crate) fn poll_wanted(&mut self) -> Option<ResourceId> {
        self.sites.poll_wanted()
    }

    pub(crate) fn deadline(&self) -> Option<Wakeup> {
        let (tcp, tunneled) = (self.tcp.deadline(), self.tunneled.deadline());
        let all = [
            (tcp, "TCP connection to the stub resolver"),
            (tunneled, "DNS query through the tunnel"),
            (self.sites.deadline(), "DNS query for a site"),
            (self.direct.deadline(), "DNS query outside the tunnel"),
        ];
        let due = all
            .into_iter()
            .filter_map(|(at, why)| Some(Wakeup { at: at?, why }));
        due.min_by_key(|wakeup| wakeup.at)
    }

    /// Moves what can move: queries of connections, and answers that arrived.
    fn serve(&mut self, cx: Context<'_>) {
        let now = cx.now;
        loop {
            while let Some((pending, answer)) = self.tunneled.poll_finished() {
                self.finish(&pending, answer, now);
            }
            self.tcp.poll(now);
            let mut is_done = true;
            while let Some((connection, sentinel, message)) = self.tcp.next_query() {
                is_done = false;
                match Query::parse(&message) {
                    Ok(query) => {
                        self.handle_query(Requestor::Tcp(connection), sentinel, &query, cx);
                    }
                    Err(_) => self.tcp.abort(connection),
                }
            }
            if is_done {
                return;
            }
        }
    }

    fn handle_query(
        &mut self,
        requestor: Requestor,
        sentinel: IpAddr,
        query: &Query<'_>,
        cx: Context<'_>,
    ) {
        if query.edns().is_some_and(|edns| edns.is_malformed) {
            self.fail(requestor, query, rcode::FORMERR);
            return;
        }
        let mut buffer: NameBuffer = [0; MAX_NAME];
        let decision = match query.name(&mut buffer) {
            Some(name) => stub::decide(query, name, &mut self.pool, cx.resources),
            None => Decision::Forward,
        };
        match decision {
            Decision::Answer(answer) => {
                self.intercepted.extend(answer.intercepted);
                self.answer(requestor, query, Protocol::Dns, &answer);
            }
            Decision::Site(resource) => self.ask_site(requestor, sentinel, query, resource, cx),
            Decision::Forward => match self.sentinels.upstream(sentinel) {
                Some(server) => self.ask(requestor, query, server, cx),
                // An old connection to a sentinel that is gone.
                None => self.fail(requestor, query, rcode::SERVFAIL),
            },
        }
    }

    /// Writes an answer of our own.
    fn answer(
        &mut self,
        requestor: Requestor,
        query: &Query<'_>,
        protocol: Protocol,
        answer: &LocalAnswer,
    ) {
        let mut message = std::mem::take(&mut self.scratch);
        stub::compose(&mut message, query, protocol, answer, &self.pool);
        self.reply(requestor, query, &message);
        self.scratch = message;
    }

    fn fail(&mut self, requestor: Requestor, query: &Query<'_>, rcode: u16) {
        self.answer(requestor, query, Protocol::Dns, &LocalAnswer::only(rcode));
    }

    /// Hands an answer to whoever asked; what does not fit is to be fetched over TCP.
    fn reply(&mut self, requestor: Requestor, query: &Query<'_>, message: &[u8]) {
        let (from, sentinel) = match requestor {
            Requestor::Tcp(connection) => return self.tcp.reply(connection, message),
            Requestor::Udp { from, sentinel } => (from, sentinel),
        };
        let mut truncated = vec![];
        let payload = if message.len() <= requestor.limit(query) {
            message
        } else {
            compose_truncated(&mut truncated, message, query);
            &truncated
        };
        let mut packet = vec![0; payload.len() + UDP_HEADERS];
        if let Some(length) = ip_packet::emit_udp(&mut packet, sentinel, from, payload) {
            packet.truncate(length);
            self.replies.push_back(packet);
        }
    }
}

#[cfg(test)]
mod tests;
