//! From the TUN device to the network. spec: data-plane 9.1

use super::{Tunnel, Verdict, route::Route};
use crate::{
    authorization::Ask,
    dns_nat::{Announce, Decision, NatKey},
    drop_reason::DropReason,
    event::{Output, PortalRequest},
};
use ip_packet::IpPacket;
use model::{DomainName, GatewayId, PeerId, ResourceId, limits, ranges};
use std::time::Instant;

impl Tunnel {
    /// A packet that a program on this host sends into the tunnel, as the TUN device gives it: one
    /// whole IP packet of at most [`limits::MTU`] bytes. Larger ones are dropped, so that the
    /// device must not be set to more and segments are split before.
    ///
    /// The packet itself is not changed; it is copied if it has to wait.
    pub fn handle_tun(&mut self, packet: &[u8], now: Instant) -> Verdict {
        match self.send_up(packet, now) {
            Ok(()) => Verdict::Consumed,
            Err(reason) => Verdict::Dropped(self.dropped(reason)),
        }
    }

    pub(super) fn send_up(&mut self, bytes: &[u8], now: Instant) -> Result<(), DropReason> {
        if bytes.len() > limits::MTU {
            return Err(DropReason::Oversize);
        }
        let packet = IpPacket::parse(bytes).map_err(DropReason::Malformed)?;
        self.check_source(&packet)?;
        let destination = packet.destination();
        if let Some(peer) = self.peers.destination(destination) {
            return self.encrypt(peer, bytes, now);
        }
        if destination.is_multicast() {
            self.dns.handle_multicast(&packet, &self.resources)?;
            self.follow_dns(now);
            return Ok(());
        }
        if ranges::is_sentinel(destination) {
            let (dns, cx) = self.dns(now);
            dns.handle_packet(&packet, cx)?;
            self.follow_dns(now);
            return Ok(());
        }
        match self.route(destination)? {
            Route::Gateway(gateway) => self.send_on(gateway, &packet, now),
            Route::Network(resource) => match self.resources.gateway_of(resource) {
                Some(gateway) => self.send_on(gateway, &packet, now),
                None => self.request(resource, Some(&packet), now),
            },
            Route::Name(resource, domain) => match self.resources.gateway_of(resource) {
                Some(gateway) => {
                    let domain = domain.clone();
                    self.send_to_name((gateway, resource, domain), &packet, now)
                }
                None => self.request(resource, Some(&packet), now),
            },
        }
    }

    /// The source must be an address of our interface, and the destination must not.
    fn check_source(&self, packet: &IpPacket<&[u8]>) -> Result<(), DropReason> {
        if self.interface.is_none() {
            return Err(DropReason::NotReady);
        }
        if !self.is_ours(packet.source()) {
            return Err(DropReason::ForeignSource);
        }
        if self.is_ours(packet.destination()) {
            return Err(DropReason::ToSelf);
        }
        Ok(())
    }

    /// Sends a packet, and from now on all of its destination, to a gateway.
    fn send_on(
        &mut self,
        gateway: GatewayId,
        packet: &IpPacket<&[u8]>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let destination = packet.destination();
        tracing::trace!(%gateway, %destination, "Packets take this gateway");
        self.peers.insert_destination(destination, gateway.into());
        self.encrypt(gateway.into(), packet.bytes(), now)
    }

    /// Sends a packet to a name as soon as the gateway knows that.
    fn send_to_name(
        &mut self,
        (gateway, resource, domain): (GatewayId, ResourceId, DomainName),
        packet: &IpPacket<&[u8]>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let key = NatKey {
            gateway,
            resource,
            domain,
        };
        let waiting = &mut self.waiting;
        let (decision, announce) = self.nat.handle_packet(&key, packet, waiting, now);
        if announce == Announce::Now {
            self.announce(&key, now);
        }
        match decision {
            Decision::Hold => Ok(()),
            Decision::Forward { is_cacheable: true } => self.send_on(gateway, packet, now),
            Decision::Forward {
                is_cacheable: false,
            } => self.encrypt(gateway.into(), packet.bytes(), now),
        }
    }

    /// Keeps the packet, if there is one, and asks the portal for access, if that is due.
    pub(super) fn request(
        &mut self,
        resource: ResourceId,
        packet: Option<&IpPacket<&[u8]>>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let waiting = &mut self.waiting;
        match self.authorizations.want(resource, packet, waiting, now) {
            Ask::Now => {
                let connected_gateways = self.authorizations.connected_gateways();
                let request = PortalRequest::CreateFlow {
                    resource,
                    connected_gateways,
                };
                self.outputs.push_back(Output::Request(request));
                Ok(())
            }
            Ask::NotYet => Ok(()),
            Ask::Refuse(reason) => Err(reason),
        }
    }

    /// Replays packets that waited for an authorization.
    pub(super) fn replay(&mut self, packets: impl Iterator<Item = Box<[u8]>>, now: Instant) {
        for packet in packets {
            let _verdict = self.handle_tun(&packet, now);
        }
    }

    pub(super) fn encrypt(
        &mut self,
        peer: PeerId,
        packet: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        match self.connectivity.send(peer, packet, now) {
            connectivity::Verdict::Sent | connectivity::Verdict::Buffered => Ok(()),
            connectivity::Verdict::Dropped(reason) => Err(DropReason::Connectivity(reason)),
        }
    }
}
