//! The addresses of our stub resolver, one for each upstream server. spec: data-plane 12.1

use crate::event::{DnsAccess, DnsServer};
use model::ranges;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Which sentinel stands for which upstream.
#[derive(Debug, Default)]
pub(crate) struct Sentinels {
    system: Vec<SocketAddr>,
    /// Those of the system that only the system may ask.
    managed: BTreeSet<SocketAddr>,
    portal: Vec<SocketAddr>,
    by_sentinel: BTreeMap<IpAddr, SocketAddr>,
}

impl Sentinels {
    /// The resolvers of the operating system; says whether the mapping changed.
    pub(crate) fn set_system(&mut self, servers: &[DnsServer]) -> bool {
        self.system = servers.iter().map(|server| server.address).collect();
        let is_managed = |server: &&DnsServer| server.access == DnsAccess::Managed;
        let managed = servers.iter().filter(is_managed);
        self.managed = managed.map(|server| server.address).collect();
        self.update()
    }

    /// How a server may be asked; the system decides, whoever named the server.
    pub(crate) fn access(&self, server: SocketAddr) -> DnsAccess {
        match self.managed.contains(&server) {
            true => DnsAccess::Managed,
            false => DnsAccess::Plain,
        }
    }

    /// The resolvers that the portal wants; says whether the mapping changed.
    pub(crate) fn set_portal(&mut self, servers: Vec<SocketAddr>) -> bool {
        self.portal = servers;
        self.update()
    }

    /// Whether the portal named the servers.
    pub(crate) fn are_of_portal(&self) -> bool {
        !self.portal.is_empty()
    }

    /// The server behind a sentinel.
    pub(crate) fn upstream(&self, sentinel: IpAddr) -> Option<SocketAddr> {
        self.by_sentinel.get(&sentinel).copied()
    }

    /// All sentinels, in the order of their addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_sentinel.keys().copied()
    }

    /// All sentinels with their servers, in the order of their addresses.
    pub(crate) fn all(&self) -> impl Iterator<Item = (IpAddr, SocketAddr)> {
        self.by_sentinel.iter().map(|(&ip, &server)| (ip, server))
    }

    fn update(&mut self) -> bool {
        let wanted = self.effective();
        let current: BTreeSet<SocketAddr> = self.by_sentinel.values().copied().collect();
        if wanted.iter().copied().collect::<BTreeSet<_>>() == current {
            return false;
        }
        // New addresses, so that resolvers which remember answers by server notice the change.
        let used: BTreeSet<IpAddr> = self.by_sentinel.keys().copied().collect();
        let mut v4 = free_v4(&used);
        let mut v6 = free_v6(&used);
        self.by_sentinel = wanted
            .into_iter()
            .filter_map(|server| {
                let sentinel = match server {
                    SocketAddr::V4(_) => v4.next()?,
                    SocketAddr::V6(_) => v6.next()?,
                };
                Some((sentinel, server))
            })
            .collect();
        true
    }

    /// The portal's servers if there are any, else the system's; no sentinels, no duplicates.
    fn effective(&self) -> Vec<SocketAddr> {
        let servers = if self.portal.is_empty() {
            &self.system
        } else {
            &self.portal
        };
        let mut seen = BTreeSet::new();
        servers
            .iter()
            .copied()
            .filter(|server| !ranges::is_sentinel(server.ip()) && seen.insert(*server))
            .collect()
    }
}

fn free_v4(used: &BTreeSet<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let network = u32::from(ranges::SENTINEL_V4.network());
    let all = (1..=254).map(move |n| IpAddr::V4(Ipv4Addr::from(network + n)));
    all.filter(|address| !used.contains(address))
}

fn free_v6(used: &BTreeSet<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let network = u128::from(ranges::SENTINEL_V6.network());
    let all = (0..=255).map(move |n| IpAddr::V6(Ipv6Addr::from(network + n)));
    all.filter(|address| !used.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn socket(text: &str) -> SocketAddr {
        SocketAddr::new(ip(text), 53)
    }

    fn server(text: &str) -> DnsServer {
        socket(text).into()
    }

    fn addresses(sentinels: &Sentinels) -> Vec<String> {
        sentinels.addresses().map(|a| a.to_string()).collect()
    }

    #[test]
    fn what_the_system_keeps_to_itself_stays_so_whoever_names_it() {
        let mut sentinels = Sentinels::default();
        let managed = |text| DnsServer {
            address: socket(text),
            access: DnsAccess::Managed,
        };
        let [one, two] = ["192.0.2.53", "192.0.2.54"];
        // Listed twice, for two links.
        sentinels.set_system(&[managed(one), server(one), server(two)]);
        assert_eq!(sentinels.access(socket(one)), DnsAccess::Managed);
        assert_eq!(sentinels.access(socket(two)), DnsAccess::Plain);
        sentinels.set_portal(vec![socket(one)]);
        assert_eq!(sentinels.access(socket(one)), DnsAccess::Managed);
        // The way of asking is no other server.
        sentinels.set_portal(vec![]);
        assert!(!sentinels.set_system(&[server(one), managed(two)]));
        assert_eq!(sentinels.access(socket(one)), DnsAccess::Plain);
        assert_eq!(sentinels.access(socket(two)), DnsAccess::Managed);
    }

    #[test]
    fn every_server_gets_a_sentinel_of_its_family() {
        let mut sentinels = Sentinels::default();
        assert!(sentinels.set_system(&[
            server("192.0.2.53"),
            server("2001:db8::53"),
            server("192.0.2.53")
        ]));
        assert_eq!(
            addresses(&sentinels),
            ["100.100.111.1", "fd00:2021:1111:8000:100:100:111:0"]
        );
        let server = sentinels.upstream(ip("100.100.111.1")).unwrap();
        assert_eq!(server.to_string(), "192.0.2.53:53");
        assert_eq!(sentinels.upstream(ip("100.100.111.2")), None);
    }

    #[test]
    fn an_equal_set_keeps_the_mapping_and_another_gets_new_addresses() {
        let mut sentinels = Sentinels::default();
        sentinels.set_system(&[server("192.0.2.53"), server("192.0.2.54")]);
        assert!(!sentinels.set_system(&[server("192.0.2.54"), server("192.0.2.53")]));
        assert!(sentinels.set_system(&[server("192.0.2.55")]));
        assert_eq!(addresses(&sentinels), ["100.100.111.3"]);
    }

    #[test]
    fn servers_of_the_portal_replace_those_of_the_system() {
        let mut sentinels = Sentinels::default();
        sentinels.set_system(&[server("192.0.2.53")]);
        assert!(sentinels.set_portal(vec!["203.0.113.1:5353".parse().unwrap()]));
        assert_eq!(
            sentinels.upstream(ip("100.100.111.2")).unwrap().port(),
            5353
        );
        assert!(!sentinels.set_system(&[server("192.0.2.99")]));
        assert!(sentinels.set_portal(vec![]));
        assert_eq!(
            sentinels.upstream(ip("100.100.111.1")).unwrap().ip(),
            ip("192.0.2.99")
        );
    }

    #[test]
    fn our_own_sentinels_are_no_servers() {
        let mut sentinels = Sentinels::default();
        assert!(!sentinels.set_system(&[server("100.100.111.7")]));
        assert_eq!(sentinels.addresses().count(), 0);
    }
}
