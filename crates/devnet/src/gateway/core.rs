//! The gateway's data plane, without I/O. spec: data-plane 15

use super::client::{Client, FromResource};
use connectivity::{
    Authorization, Connectivity, Datagram, Event, NoRelay, Role, Transmit, Upsert, Verdict, Wakeup,
};
use ip_packet::{Control, DomainStatus, IpPacket, MAX_CONTROL, emit_unreachable};
use model::{
    Candidate, ClientId, DomainName, Pattern, PublicKey, Relay, RelayId, Resource, ResourceId,
    Seed, limits, ranges,
};
use portal_client::v1::gateway::{AuthorizeFlow, CandidatesForClients, FromPortal, ToPortal};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Names that are resolved at a time. spec: data-plane 15.3
const MAX_LOOKUPS: usize = 1000;

/// How often expired access is looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// A name to be resolved for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Who asked.
    pub client: ClientId,
    /// The resource whose pattern the name matches.
    pub resource: ResourceId,
    /// The name.
    pub domain: DomainName,
    /// The addresses that stand for it.
    pub proxy_ips: BTreeSet<IpAddr>,
}

/// What the core wants done.
#[derive(Debug)]
pub enum Output {
    /// Send datagrams; give the buffer back with [`Core::recycle`].
    Send(Transmit),
    /// Tell the portal.
    Tell(ToPortal),
    /// Resolve a name and call [`Core::handle_resolved`].
    Resolve(Lookup),
    /// Connect to the portal anew: no relay is usable.
    Reconnect,
    /// Nothing more; call again at this time.
    Idle(Option<Wakeup>),
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The buffer holds a packet of this many bytes for the TUN device.
    Deliver(usize),
    /// It went no further.
    Consumed,
}

/// All clients of a gateway.
pub struct Core {
    connectivity: Connectivity,
    ours: Option<(Ipv4Addr, Ipv6Addr)>,
    clients: BTreeMap<ClientId, Client>,
    /// Clients by the addresses that packets to them have.
    by_address: BTreeMap<IpAddr, ClientId>,
    lookups: usize,
    outputs: VecDeque<Output>,
    swept_at: Instant,
}

impl Core {
    /// A gateway without clients. `unix_time` is the wall clock at `now`.
    pub fn new(seed: Seed, unix_time: Duration, now: Instant) -> Self {
        Self {
            connectivity: Connectivity::new(Role::Gateway, seed, unix_time, now),
            ours: None,
            clients: BTreeMap::new(),
            by_address: BTreeMap::new(),
            lookups: 0,
            outputs: VecDeque::new(),
            swept_at: now,
        }
    }

    /// Our WireGuard key, for the portal.
    pub fn public_key(&self) -> PublicKey {
        self.connectivity.public_key()
    }

    /// Something the portal said.
    pub fn handle_portal(&mut self, message: FromPortal, now: Instant) {
        match message {
            FromPortal::Init(init) => {
                self.update_relays(&[], init.relays, now);
                self.ours = Some((init.interface.ipv4, init.interface.ipv6));
                let listed: BTreeSet<_> = init
                    .authorizations
                    .iter()
                    .map(|a| (a.client_id, a.resource_id))
                    .collect();
                self.retain(|client, resource| listed.contains(&(client, resource)));
            }
            FromPortal::AuthorizeFlow(flow) => self.authorize(*flow, now),
            FromPortal::RejectAccess {
                client_id,
                resource_id,
            } => {
                self.retain(|client, resource| (client, resource) != (client_id, resource_id));
            }
            FromPortal::ResourceUpdated(resource) => {
                for client in self.clients.values_mut() {
                    client.access.update(&resource);
                }
            }
            FromPortal::AccessAuthorizationExpiryUpdated(of) => {
                if let Some(client) = self.clients.get_mut(&of.client_id) {
                    client.access.set_expiry(of.resource_id, of.expires_at);
                }
            }
            FromPortal::IceCandidates(of) => {
                self.each(
                    of.client_id,
                    &of.candidates,
                    now,
                    Connectivity::add_remote_candidate,
                );
            }
            FromPortal::InvalidateIceCandidates(of) => {
                self.each(
                    of.client_id,
                    &of.candidates,
                    now,
                    Connectivity::remove_remote_candidate,
                );
            }
            FromPortal::RelaysPresence(presence) => {
                self.update_relays(&presence.disconnected_ids, presence.connected, now);
            }
        }
    }

    /// A datagram from the network; a packet for the TUN device is written into `plain`.
    pub fn handle_udp(
        &mut self,
        datagram: Datagram<'_>,
        plain: &mut [u8],
        now: Instant,
    ) -> Received {
        let connectivity::Received::Packet { peer, len } =
            self.connectivity.handle_datagram(datagram, plain, now)
        else {
            return Received::Consumed;
        };
        let Ok(packet) = IpPacket::parse(&mut plain[..len]) else {
            return Received::Consumed;
        };
        match self.admit(peer.into(), packet, now) {
            true => Received::Deliver(len),
            false => Received::Consumed,
        }
    }

    /// A packet from the TUN device, changed in place on its way to a client.
    pub fn handle_tun(&mut self, packet: &mut [u8], now: Instant) {
        let Ok(mut packet) = IpPacket::parse(packet) else {
            return;
        };
        let Some(&id) = self.by_address.get(&packet.destination()) else {
            return;
        };
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        // Answers of our own DNS server need no resource.
        let instead;
        let bytes = if self
            .ours
            .is_some_and(|ours| is_one_of(packet.source(), ours))
        {
            packet.bytes()
        } else {
            match client.inbound(&mut packet, now) {
                FromResource::Send => packet.bytes(),
                FromResource::SendInstead(bytes) => {
                    instead = bytes;
                    &instead
                }
                FromResource::Drop => return,
            }
        };
        let _verdict: Verdict = self.connectivity.send(id.into(), bytes, now);
    }

    /// A name was resolved, or was not.
    pub fn handle_resolved(&mut self, lookup: Lookup, addresses: Option<&[IpAddr]>, now: Instant) {
        self.lookups = self.lookups.saturating_sub(1);
        let Some(client) = self.clients.get_mut(&lookup.client) else {
            return;
        };
        let status = match addresses {
            Some(addresses) if client.access.get(lookup.resource).is_some() => {
                let Lookup {
                    resource,
                    domain,
                    proxy_ips,
                    ..
                } = &lookup;
                client.nat.assign(*resource, domain, proxy_ips, addresses);
                DomainStatus::Active
            }
            _ => DomainStatus::Inactive,
        };
        self.answer(&lookup, status, now);
    }

    /// Does what is due; `unix_now` is the wall clock in seconds.
    pub fn handle_timeout(&mut self, now: Instant, unix_now: u64) {
        self.connectivity.handle_timeout(now);
        if now.saturating_duration_since(self.swept_at) < SWEEP {
            return;
        }
        self.swept_at = now;
        for client in self.clients.values_mut() {
            for resource in client.access.expire(unix_now) {
                client.nat.remove_resource(resource);
            }
        }
        self.forget_idle(now);
    }

    /// The next thing to do; call until [`Output::Idle`].
    pub fn poll(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            match self.connectivity.poll() {
                connectivity::Output::Send(transmit) => return Output::Send(transmit),
                connectivity::Output::Event(event) => self.handle_event(event),
                connectivity::Output::Idle(wakeup) => return Output::Idle(wakeup),
            }
        }
    }

    /// Gives the buffer of a sent batch back.
    pub fn recycle(&mut self, transmit: Transmit) {
        self.connectivity.recycle(transmit);
    }

    fn update_relays(&mut self, gone: &[RelayId], listed: Vec<Relay>, now: Instant) {
        self.connectivity.update_relays(gone, listed, now);
    }

    fn each(
        &mut self,
        client: ClientId,
        candidates: &[Candidate],
        now: Instant,
        f: fn(&mut Connectivity, model::PeerId, &Candidate, Instant),
    ) {
        for candidate in candidates {
            f(&mut self.connectivity, client.into(), candidate, now);
        }
    }

    /// Lets a client in, then says so. spec: portal 8.1
    fn authorize(&mut self, flow: AuthorizeFlow, now: Instant) {
        let id = flow.client.id;
        let authorization = Authorization {
            public_key: flow.client.public_key,
            preshared_key: flow.client.preshared_key,
            local_ice: flow.gateway_ice_credentials,
            remote_ice: flow.client_ice_credentials,
        };
        match self.connectivity.upsert(id.into(), authorization, now) {
            Ok(Upsert::Created | Upsert::Reused) => {}
            Err(NoRelay) => {
                self.outputs.push_back(Output::Reconnect);
                return;
            }
        }
        let (ipv4, ipv6) = (flow.client.ipv4, flow.client.ipv6);
        let client = self
            .clients
            .entry(id)
            .or_insert_with(|| Client::new(ipv4, ipv6));
        (client.ipv4, client.ipv6) = (ipv4, ipv6);
        client.access.grant(flow.resource, flow.expires_at);
        self.by_address.retain(|_, owner| *owner != id);
        self.by_address.insert(ipv4.into(), id);
        self.by_address.insert(ipv6.into(), id);
        let reference = flow.reference;
        self.outputs
            .push_back(Output::Tell(ToPortal::FlowAuthorized { reference }));
    }

    /// Whether the packet goes to the TUN device. spec: data-plane 15.1
    fn admit(&mut self, id: ClientId, mut packet: IpPacket<&mut [u8]>, now: Instant) -> bool {
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        if Control::recognize(&packet) {
            let control = Control::parse(&packet);
            self.handle_control(id, control, now);
            return false;
        }
        let refusal = if !client.owns(packet.source()) {
            Err(Some(ip_packet::Unreachable::Prohibited))
        } else if self
            .ours
            .is_some_and(|ours| is_one_of(packet.destination(), ours))
        {
            Ok(())
        } else if ranges::is_tunnel(packet.destination()) {
            Err(Some(ip_packet::Unreachable::Prohibited))
        } else {
            client.outbound(&mut packet, now)
        };
        if let Err(Some(reason)) = refusal {
            let mut buffer = [0; limits::MTU];
            if let Some(length) = emit_unreachable(&mut buffer, &packet, reason) {
                let _verdict = self.connectivity.send(id.into(), &buffer[..length], now);
            }
        }
        refusal.is_ok()
    }

    fn handle_control(&mut self, id: ClientId, control: Option<Control>, now: Instant) {
        match control {
            Some(Control::AssignedIps {
                resource,
                domain,
                proxy_ips,
            }) => {
                let lookup = Lookup {
                    client: id,
                    resource,
                    domain,
                    proxy_ips,
                };
                if self.may_resolve(&lookup) && self.lookups < MAX_LOOKUPS {
                    self.lookups += 1;
                    self.outputs.push_back(Output::Resolve(lookup));
                } else {
                    self.answer(&lookup, DomainStatus::Inactive, now);
                }
            }
            Some(Control::Goodbye) => {
                self.connectivity.remove(id.into(), now);
                self.forget(id);
            }
            Some(Control::DomainStatus { .. }) | None => {}
        }
    }

    /// The resource must be granted, and proxy addresses must be such. spec: data-plane 15.3
    fn may_resolve(&self, lookup: &Lookup) -> bool {
        let granted = self
            .clients
            .get(&lookup.client)
            .and_then(|c| c.access.get(lookup.resource));
        let covers = |address: &str| {
            Pattern::parse(address).is_ok_and(|pattern| pattern.matches(lookup.domain.as_str()))
        };
        matches!(granted, Some(Resource::Dns(dns)) if covers(&dns.address))
            && lookup.proxy_ips.len() <= 8
            && lookup
                .proxy_ips
                .iter()
                .all(|address| ranges::is_proxy(*address))
    }

    fn answer(&mut self, lookup: &Lookup, status: DomainStatus, now: Instant) {
        let (resource, domain) = (lookup.resource, lookup.domain.clone());
        let mut buffer = [0; MAX_CONTROL];
        if let Ok(length) = (Control::DomainStatus {
            resource,
            domain,
            status,
        })
        .emit(&mut buffer)
        {
            let _verdict = self
                .connectivity
                .send(lookup.client.into(), &buffer[..length], now);
        }
    }

    fn retain(&mut self, keep: impl Fn(ClientId, ResourceId) -> bool) {
        for (&id, client) in &mut self.clients {
            for resource in client.access.retain(|resource| keep(id, resource)) {
                client.nat.remove_resource(resource);
            }
        }
    }

    /// Drops clients whose last resource went.
    fn forget_idle(&mut self, now: Instant) {
        let idle = |(id, client): (&ClientId, &Client)| client.access.is_empty().then_some(*id);
        let idle: Vec<ClientId> = self.clients.iter().filter_map(idle).collect();
        for id in idle {
            self.connectivity.remove(id.into(), now);
            self.forget(id);
        }
    }

    fn forget(&mut self, id: ClientId) {
        self.clients.remove(&id);
        self.by_address.retain(|_, client| *client != id);
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::CandidatesAdded { peer, candidates } => {
                let of = CandidatesForClients {
                    client_ids: vec![peer.into()],
                    candidates,
                };
                self.outputs
                    .push_back(Output::Tell(ToPortal::BroadcastIceCandidates(of)));
            }
            Event::CandidatesRemoved { peer, candidates } => {
                let of = CandidatesForClients {
                    client_ids: vec![peer.into()],
                    candidates,
                };
                let message = ToPortal::BroadcastInvalidatedIceCandidates(of);
                self.outputs.push_back(Output::Tell(message));
            }
            Event::Established { peer } => tracing::info!(client = %peer, "Connected"),
            Event::Closed { peer, reason } => {
                tracing::info!(client = %peer, %reason, "Disconnected");
                self.forget(peer.into());
            }
            Event::NoRelays => tracing::info!("No relay is left"),
        }
    }
}

fn is_one_of(address: IpAddr, (ipv4, ipv6): (Ipv4Addr, Ipv6Addr)) -> bool {
    address == IpAddr::V4(ipv4) || address == IpAddr::V6(ipv6)
}

#[cfg(test)]
mod tests;
