//! Names of resources: gateways are told which addresses stand for them. spec: data-plane 13, 14

use super::Tunnel;
use crate::dns_nat::{Announce, NatKey};
use ip_packet::{Control, MAX_CONTROL};
use model::{DomainName, IpStack, Resource};
use std::{collections::BTreeSet, net::IpAddr, time::Instant};

impl Tunnel {
    /// Does what the stub resolver wants done inside the tunnel.
    pub(super) fn follow_dns(&mut self, now: Instant) {
        self.refresh_intercepted(now);
        while let Some(resource) = self.dns.poll_wanted() {
            if self.request(resource, None, now).is_err() {
                let (dns, cx) = self.dns(now);
                dns.handle_refused(resource, cx);
            }
        }
        while let Some(packet) = self.dns.poll_tunneled() {
            if let Err(reason) = self.send_up(&packet, now) {
                self.dropped(reason);
            }
        }
    }

    /// Names of resources were asked for: their gateways resolve them anew.
    fn refresh_intercepted(&mut self, now: Instant) {
        while let Some((resource, name)) = self.dns.poll_intercepted() {
            let Some(gateway) = self.resources.gateway_of(resource) else {
                continue;
            };
            let Some(name) = self.dns.name(name) else {
                continue;
            };
            let key = NatKey {
                gateway,
                resource,
                domain: name.domain.clone(),
            };
            self.nat.recreate(&key);
            if self.nat.update(&key, &mut self.waiting, now) == Announce::Now {
                // Packets to them have to be decided about anew.
                for address in name.addresses() {
                    self.peers.forget_destination(address);
                }
                self.announce(&key, now);
            }
        }
    }

    /// Tells a gateway which addresses stand for a name.
    /// spec: data-plane 13.2
    pub(super) fn announce(&mut self, key: &NatKey, now: Instant) {
        let Some(Resource::Dns(resource)) = self.resources.get(key.resource) else {
            return;
        };
        let Some(proxy_ips) = self.proxy_ips(&key.domain, resource.ip_stack) else {
            return;
        };
        let domain = key.domain.clone();
        let control = Control::AssignedIps {
            resource: key.resource,
            domain,
            proxy_ips,
        };
        let mut packet = [0; MAX_CONTROL];
        match control.emit(&mut packet) {
            Ok(length) => {
                if let Err(reason) = self.encrypt(key.gateway.into(), &packet[..length], now) {
                    self.dropped(reason);
                }
            }
            Err(fault) => {
                tracing::debug!(resource = %key.resource, error = %fault, "Cannot announce a name");
            }
        }
    }

    fn proxy_ips(&self, domain: &DomainName, stack: IpStack) -> Option<BTreeSet<IpAddr>> {
        let name = self.dns.proxied(domain)?;
        debug_assert_eq!(name.domain, *domain);
        let v4 = name
            .v4
            .iter()
            .filter(|_| stack.has_v4())
            .copied()
            .map(IpAddr::V4);
        let v6 = name
            .v6
            .iter()
            .filter(|_| stack.has_v6())
            .copied()
            .map(IpAddr::V6);
        Some(v4.chain(v6).collect())
    }
}
