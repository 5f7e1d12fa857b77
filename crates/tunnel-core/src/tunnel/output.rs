//! What the tunnel wants done.

use super::Tunnel;
use crate::event::{Event, Output, PortalRequest, SiteState};
use connectivity::Wakeup;
use model::{InterfacePlan, ranges};

impl Tunnel {
    /// The next thing to do; call until [`Output::Idle`]. Cheap if there is nothing.
    ///
    /// Order matters within each kind of output, not between kinds: a datagram may be sent before
    /// the portal is told something that came out first. The plan and the news that resources
    /// changed come last, once for all that happened.
    pub fn poll(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if let Some(packet) = self.dns.poll_packet() {
                return Output::Deliver(packet);
            }
            if let Some(query) = self.dns.poll_query() {
                return Output::Query(query);
            }
            match self.connectivity.poll() {
                connectivity::Output::Send(transmit) => return Output::Send(transmit),
                connectivity::Output::Event(event) => self.handle_event(event),
                // Handling an event may have made outputs, but then this is not reached.
                connectivity::Output::Idle(wakeup) => {
                    return self.poll_changes().unwrap_or_else(|| self.idle(wakeup));
                }
            }
        }
    }

    fn poll_changes(&mut self) -> Option<Output> {
        if std::mem::take(&mut self.changes.resources) {
            return Some(Output::Event(Event::ResourcesChanged));
        }
        if std::mem::take(&mut self.changes.plan) {
            let plan = self.make_plan()?;
            if self.plan.as_ref() != Some(&plan) {
                self.plan = Some(plan.clone());
                return Some(Output::Plan(plan));
            }
        }
        None
    }

    /// What the interface has to look like; none before the portal told our addresses.
    /// spec: data-plane 8
    fn make_plan(&self) -> Option<InterfacePlan> {
        let interface = self.interface.as_ref()?;
        Some(InterfacePlan {
            ipv4: interface.ipv4,
            ipv6: interface.ipv6,
            routes: ranges::client_routes()
                .into_iter()
                .chain(self.resources.routes())
                .collect(),
            dns_servers: self.dns.sentinels().collect(),
            search_domain: interface.search_domain.clone(),
        })
    }

    fn idle(&self, connectivity: Option<Wakeup>) -> Output {
        let ours = [
            (self.waiting.deadline(), "packet that waits"),
            (
                self.authorizations.deadline(),
                "grant that waits for a relay",
            ),
        ];
        let ours = ours
            .into_iter()
            .filter_map(|(at, why)| Some(Wakeup { at: at?, why }));
        let all = ours.chain(connectivity).chain(self.dns.deadline());
        Output::Idle(all.min_by_key(|wakeup| wakeup.at))
    }

    fn handle_event(&mut self, event: connectivity::Event) {
        use connectivity::Event::{
            CandidatesAdded, CandidatesRemoved, Closed, Established, NoRelays,
        };

        let output = match event {
            CandidatesAdded { peer, candidates } => {
                let gateway = peer.into();
                Output::Request(PortalRequest::AddCandidates {
                    gateway,
                    candidates,
                })
            }
            CandidatesRemoved { peer, candidates } => {
                let gateway = peer.into();
                Output::Request(PortalRequest::RemoveCandidates {
                    gateway,
                    candidates,
                })
            }
            Established { peer } => {
                let gateway = peer.into();
                if let Some(site) = self.gateways.site_of(gateway) {
                    self.changes.resources |= self.resources.set_site(site, SiteState::Online);
                }
                Output::Event(Event::GatewayConnected(gateway))
            }
            Closed { peer, reason } => {
                let gateway = peer.into();
                self.forget_gateway(gateway);
                Output::Event(Event::GatewayClosed { gateway, reason })
            }
            // Direct connections go on; the next new one asks for relays.
            NoRelays => return,
        };
        self.outputs.push_back(output);
    }
}
