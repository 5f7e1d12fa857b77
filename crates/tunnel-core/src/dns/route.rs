//! Which route a query takes to its server, and the return of its answer. spec: data-plane 12.5

use super::{
    Context, Dns, Requestor,
    pending::{Answer, Pending, Unasked},
};
use crate::{
    drop_reason::DropReason,
    event::{DnsFailure, DnsTransport},
};
use dns_message::{Query, rcode};
use model::ResourceId;
use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// Port of the name server in a site. spec: data-plane 15.6
const SITE_PORT: u16 = 53535;

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Tunneled,
    Direct,
}

impl Dns {
    /// Asks a server, unless its answer is known.
    pub(super) fn ask(
        &mut self,
        requestor: Requestor,
        query: &Query<'_>,
        server: SocketAddr,
        cx: Context<'_>,
    ) {
        let is_covered = || cx.resources.by_address(server.ip()).is_some();
        let route = match self.sentinels.are_of_portal() && is_covered() {
            true => Route::Tunneled,
            false => Route::Direct,
        };
        self.ask_by(route, requestor, query, server, cx);
    }

    /// Asks the name server of a site, through the resource's gateway; without one the query
    /// waits for it.
    pub(super) fn ask_site(
        &mut self,
        requestor: Requestor,
        sentinel: IpAddr,
        query: &Query<'_>,
        resource: ResourceId,
        cx: Context<'_>,
    ) {
        let is_v4 = sentinel.is_ipv4();
        if let Some(server) = site_server(resource, is_v4, cx) {
            self.ask_by(Route::Tunneled, requestor, query, server, cx);
            return;
        }
        if !self.begin(requestor, query) {
            // The program asks again because nobody answers: so is the portal.
            self.sites.want(resource);
            return;
        }
        let nowhere = SocketAddr::new(sentinel, SITE_PORT);
        let pending = Pending::new(requestor, query, nowhere, self.cache.epoch());
        if let Err(unasked) = self.sites.hold(resource, pending, is_v4, cx.now) {
            self.refuse(&unasked, cx.now);
        }
    }

    /// A gateway of the resource was authorized: what waited for it is asked.
    pub(crate) fn handle_authorized(&mut self, resource: ResourceId, cx: Context<'_>) {
        for (mut pending, is_v4) in self.sites.release(resource) {
            let asked = match site_server(resource, is_v4, cx) {
                Some(server) => {
                    pending.server = server;
                    self.tunneled.ask(pending, cx.now)
                }
                None => Err(Unasked::unsendable(pending)),
            };
            if let Err(unasked) = asked {
                self.refuse(&unasked, cx.now);
            }
        }
        self.serve(cx);
    }

    /// No gateway of the resource can be reached: what waited for one fails.
    pub(crate) fn handle_refused(&mut self, resource: ResourceId, cx: Context<'_>) {
        let refused = self.sites.release(resource);
        if refused.is_empty() {
            return;
        }
        for (pending, _) in refused {
            self.finish(&pending, Err(DnsFailure::Failed), cx.now);
        }
        self.serve(cx);
    }

    fn ask_by(
        &mut self,
        route: Route,
        requestor: Requestor,
        query: &Query<'_>,
        server: SocketAddr,
        cx: Context<'_>,
    ) {
        self.cache.follow(cx.resources);
        let mut message = std::mem::take(&mut self.scratch);
        let is_known = self.cache.get(&mut message, query, server, cx.now);
        if is_known {
            self.reply(requestor, query, &message);
        }
        self.scratch = message;
        if is_known || !self.begin(requestor, query) {
            return;
        }
        let pending = Pending::new(requestor, query, server, self.cache.epoch());
        let asked = match route {
            Route::Tunneled => self.tunneled.ask(pending, cx.now),
            Route::Direct => {
                let access = self.sentinels.access(server);
                self.direct.ask(pending, access, cx.now)
            }
        };
        if let Err(unasked) = asked {
            self.refuse(&unasked, cx.now);
        }
    }

    /// Whether the query is new; a repeated one is dropped.
    fn begin(&mut self, requestor: Requestor, query: &Query<'_>) -> bool {
        let is_new = self.in_flight.begin(requestor, query);
        if !is_new {
            self.drops.count(DropReason::RepeatedQuery);
        }
        is_new
    }

    /// A query cannot be asked: whoever asked is told, and it is dropped.
    fn refuse(&mut self, unasked: &Unasked, now: Instant) {
        self.drops.count(unasked.reason);
        self.finish(&unasked.pending, Err(DnsFailure::Failed), now);
    }

    /// A query has ended: whoever asked is told.
    ///
    /// One over UDP that timed out stays unanswered, so that the program asks its next server.
    pub(super) fn finish(&mut self, pending: &Pending, answer: Answer, now: Instant) {
        let Some(query) = pending.query() else {
            return;
        };
        self.in_flight.end(pending.requestor, &query);
        match answer {
            Ok(message) => {
                self.cache.insert(pending, &message, now);
                self.reply(pending.requestor, &query, &message);
            }
            Err(DnsFailure::TimedOut) if pending.requestor.transport() == DnsTransport::Udp => {
                self.drops.count(DropReason::NoAnswer);
            }
            Err(DnsFailure::Failed | DnsFailure::TimedOut) => {
                self.fail(pending.requestor, &query, rcode::SERVFAIL);
            }
        }
    }
}

/// The name server behind the gateway of a resource.
fn site_server(resource: ResourceId, is_v4: bool, cx: Context<'_>) -> Option<SocketAddr> {
    let gateway = cx.resources.gateway_of(resource)?;
    let address = cx.gateways.tunnel_address(gateway, is_v4)?;
    Some(SocketAddr::new(address, SITE_PORT))
}
