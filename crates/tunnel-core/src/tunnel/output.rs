//! What the tunnel wants done.

use super::Tunnel;
use crate::event::{Event, Output, PortalRequest, SiteState};
use connectivity::Wakeup;

impl Tunnel {
    /// The next thing to do; call until [`Output::Idle`]. Cheap if there is nothing.
    ///
    /// Order matters within each kind of output, not between kinds: a datagram may be sent before
    /// the portal is told something that came out first.
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
                connectivity::Output::Idle(wakeup) => {
                    // Handling an event may have made outputs, but then this is not reached.
                    return Output::Idle(earlier(wakeup, self.dns.deadline()));
                }
            }
        }
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
                if let Some(site) = self.gateways.site_of(gateway)
                    && self.resources.set_site(site, SiteState::Online)
                {
                    self.outputs
                        .push_back(Output::Event(Event::ResourcesChanged));
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

fn earlier(a: Option<Wakeup>, b: Option<Wakeup>) -> Option<Wakeup> {
    a.into_iter().chain(b).min_by_key(|wakeup| wakeup.at)
}
