//! What the gateway knows of one client.

use super::{
    access::{Access, Kind},
    nat::{ErrorOrigin, Inbound, Nat, NatFault},
};
use ip_packet::{IcmpError, IpPacket, Transport, Unreachable};
use model::{limits, ranges};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

/// One client with its addresses, its access and its translations.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) ipv4: Ipv4Addr,
    pub(super) ipv6: Ipv6Addr,
    pub(super) access: Access,
    pub(super) nat: Nat,
}

/// What became of a packet from a resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FromResource {
    /// It goes to the client as it stands in its buffer.
    Send,
    /// It goes to the client in another form.
    SendInstead(Vec<u8>),
    /// It is not for the client.
    Drop,
}

impl Client {
    pub(super) fn new(ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> Self {
        Self {
            ipv4,
            ipv6,
            access: Access::default(),
            nat: Nat::default(),
        }
    }

    pub(super) fn owns(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address == self.ipv4,
            IpAddr::V6(address) => address == self.ipv6,
        }
    }

    /// A packet from the client to a resource, translated in place. spec: data-plane 15.1
    pub(super) fn outbound(
        &mut self,
        packet: &mut IpPacket<&mut [u8]>,
        now: Instant,
    ) -> Result<(), Option<Unreachable>> {
        let kind = Kind::outbound(packet);
        if !ranges::is_proxy(packet.destination()) {
            let permitted = self.access.permits_address(packet.destination(), kind);
            return permitted.then_some(()).ok_or(Some(Unreachable::Prohibited));
        }
        let Some(resource) = self.nat.resource_of(packet.destination()) else {
            return Err(Some(Unreachable::Network));
        };
        if !self.access.permits_resource(resource, kind) {
            return Err(Some(Unreachable::Prohibited));
        }
        self.nat
            .translate_out(packet, now)
            .map_err(|fault| match fault {
                NatFault::NoAddress => Some(Unreachable::Network),
                NatFault::Protocol => None,
            })
    }

    /// A packet from a resource to the client, translated in place. spec: data-plane 15.5
    pub(super) fn inbound(
        &mut self,
        packet: &mut IpPacket<&mut [u8]>,
        now: Instant,
    ) -> FromResource {
        if let Transport::IcmpError { .. } = packet.transport() {
            return self.inbound_error(packet, now);
        }
        let kind = Kind::inbound(packet);
        let permitted = match self.nat.translate_in(packet, now) {
            Inbound::Expired => false,
            Inbound::Translated(resource) => self.access.permits_resource(resource, kind),
            Inbound::Unknown => self.access.permits_address(packet.source(), kind),
        };
        if permitted {
            FromResource::Send
        } else {
            FromResource::Drop
        }
    }

    /// Errors pass; those about translated packets get the addresses that the client knows.
    /// spec: data-plane 17.4
    fn inbound_error(&self, packet: &IpPacket<&mut [u8]>, now: Instant) -> FromResource {
        let Some(error) = IcmpError::parse(packet) else {
            return FromResource::Send;
        };
        let (proxy, port) = match self.nat.origin_of_error(&error, now) {
            ErrorOrigin::Session(proxy, port) => (proxy, port),
            ErrorOrigin::Expired => return FromResource::Drop,
            ErrorOrigin::Unknown => return FromResource::Send,
        };
        let mut buffer = vec![0; limits::MTU];
        match error.emit_translated(&mut buffer, (proxy, packet.destination()), port) {
            Some(length) => {
                buffer.truncate(length);
                FromResource::SendInstead(buffer)
            }
            None => FromResource::Drop,
        }
    }
}

#[cfg(test)]
mod tests;
