//! From the TUN device to the network. spec: data-plane 9.1

use super::{Tunnel, Verdict};
use crate::{
    authorization::Ask,
    dns_nat::{Announce, Decision, NatKey},
    drop_reason::DropReason,
    event::{Output, PortalRequest},
};
use ip_packet::IpPacket;
use model::{PeerId, ResourceId, limits, ranges};
use std::{net::IpAddr, time::Instant};

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
        if let Some(peer) = self.peers.get(destination) {
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
        if ranges::is_tunnel(destination) {
            return self.send_to_gateway(destination, bytes, now);
        }
        self.send_to_resource(&packet, now)
    }

    /// The source must be an address of our interface, and the destination must not.
    fn check_source(&self, packet: &IpPacket<&[u8]>) -> Result<(), DropReason> {
        let interface = self.interface.as_ref().ok_or(DropReason::NotReady)?;
        let ours = |address: IpAddr| match address {
            IpAddr::V4(address) => address == interface.ipv4,
            IpAddr::V6(address) => address == interface.ipv6,
        };
        if !ours(packet.source()) {
            return Err(DropReason::ForeignSource);
        }
        if ours(packet.destination()) {
            return Err(DropReason::ToSelf);
        }
        Ok(())
    }

    fn send_to_gateway(
        &mut self,
        destination: IpAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let gateway = self.gateways.by_tunnel_address(destination);
        let peer = gateway.ok_or(DropReason::UnknownPeer)?.into();
        self.peers.insert(destination, peer);
        self.encrypt(peer, bytes, now)
    }

    fn send_to_resource(
        &mut self,
        packet: &IpPacket<&[u8]>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let destination = packet.destination();
        let (resource, domain) = if ranges::is_proxy(destination) {
            let domain = self
                .dns
                .name_of(destination)
                .ok_or(DropReason::UnknownProxy)?;
            let resource = self
                .resources
                .by_name(domain.as_str())
                .ok_or(DropReason::NoResource)?;
            (resource.0, Some(domain.clone()))
        } else {
            let resource = self.resources.by_address(destination);
            (resource.ok_or(DropReason::NoResource)?, None)
        };
        let Some(gateway) = self.resources.gateway_of(resource) else {
            return self.request(resource, Some(packet), now);
        };
        if let Some(domain) = domain {
            let key = NatKey {
                gateway,
                resource,
                domain,
            };
            let (decision, announce) = self.nat.handle_packet(&key, packet, now);
            if announce == Announce::Now {
                self.announce(&key, now);
            }
            match decision {
                Decision::Hold { displaced } => {
                    displaced.map(|reason| self.dropped(reason));
                    return Ok(());
                }
                Decision::Forward {
                    is_cacheable: false,
                } => {
                    return self.encrypt(gateway.into(), packet.bytes(), now);
                }
                Decision::Forward { is_cacheable: true } => {}
            }
        }
        tracing::trace!(%resource, %gateway, %destination, "Packets take this gateway");
        self.peers.insert(destination, gateway.into());
        self.encrypt(gateway.into(), packet.bytes(), now)
    }

    /// Keeps the packet, if there is one, and asks the portal for access, if that is due.
    pub(super) fn request(
        &mut self,
        resource: ResourceId,
        packet: Option<&IpPacket<&[u8]>>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let (ask, displaced) = self.authorizations.want(resource, packet, now);
        displaced.map(|reason| self.dropped(reason));
        match ask {
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
            Ask::Refuse => Err(DropReason::TooManyRequests),
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
