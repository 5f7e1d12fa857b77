//! From the network to the TUN device. spec: data-plane 9.2

use super::{Received, Tunnel};
use crate::{dns_nat::NatKey, drop_reason::DropReason};
use connectivity::Datagram;
use ip_packet::{Control, DomainStatus, IpPacket};
use model::GatewayId;
use std::time::Instant;

impl Tunnel {
    /// A datagram from the network, one segment of a batch at a time; what is for the TUN device is
    /// written into `plain`, which has room for at least [`model::limits::MTU`] bytes. What `plain`
    /// holds after other results has no meaning.
    pub fn handle_udp(
        &mut self,
        datagram: Datagram<'_>,
        plain: &mut [u8],
        now: Instant,
    ) -> Received {
        match self.connectivity.handle_datagram(datagram, plain, now) {
            connectivity::Received::Packet { peer, len } => {
                match self.receive(peer.into(), &plain[..len], now) {
                    Ok(received) => received,
                    Err(reason) => Received::Dropped(self.dropped(reason)),
                }
            }
            connectivity::Received::Consumed => Received::Consumed,
            connectivity::Received::Dropped(reason) => {
                Received::Dropped(self.dropped(DropReason::Connectivity(reason)))
            }
        }
    }

    /// A packet that a gateway sent.
    pub(super) fn receive(
        &mut self,
        id: GatewayId,
        bytes: &[u8],
        now: Instant,
    ) -> Result<Received, DropReason> {
        let packet = IpPacket::parse(bytes).map_err(DropReason::Malformed)?;
        if Control::recognize(&packet) {
            let control = Control::parse(&packet).ok_or(DropReason::MalformedControl)?;
            self.handle_control(id, control, now)?;
            return Ok(Received::Consumed);
        }
        let source = packet.source();
        if self.peers.source(source) != Some(id.into()) {
            if self.carrier_of(source) != Some(id) {
                return Err(DropReason::UnexpectedSource);
            }
            self.peers.insert_source(source, id.into());
        }
        let (dns, cx) = self.dns(now);
        if dns.handle_tunneled(&packet, cx)? {
            self.follow_dns(now);
            return Ok(Received::Consumed);
        }
        Ok(Received::Deliver(bytes.len()))
    }

    pub(super) fn handle_control(
        &mut self,
        gateway: GatewayId,
        control: Control,
        now: Instant,
    ) -> Result<(), DropReason> {
        match control {
            Control::DomainStatus {
                resource,
                domain,
                status,
            } => {
                let key = NatKey {
                    gateway,
                    resource,
                    domain,
                };
                let Some(queue) = self.nat.handle_status(&key, status) else {
                    return Ok(());
                };
                if status == DomainStatus::Inactive {
                    self.waiting.discard(queue, DropReason::NameRefused);
                    return Ok(());
                }
                for packet in self.waiting.take(queue) {
                    if let Err(reason) = self.encrypt(gateway.into(), &packet, now) {
                        self.dropped(reason);
                    }
                }
            }
            Control::Goodbye => {
                self.connectivity.remove(gateway.into(), now);
                self.forget_gateway(gateway);
            }
            // Meant for gateways.
            Control::AssignedIps { .. } => return Err(DropReason::MalformedControl),
        }
        Ok(())
    }
}
