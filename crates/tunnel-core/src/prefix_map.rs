//! Longest-prefix lookup.

use ipnet::IpNet;
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Networks with a value each, found by the longest prefix that covers an address.
///
/// One hash lookup per prefix length in use: the cost does not grow with the number of networks.
#[derive(Debug)]
pub(crate) struct PrefixMap<V> {
    values: HashMap<IpNet, V>,
    /// How many networks have a length, longest first when walked backwards.
    v4: BTreeMap<u8, usize>,
    v6: BTreeMap<u8, usize>,
}

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            v4: BTreeMap::new(),
            v6: BTreeMap::new(),
        }
    }
}

impl<V> PrefixMap<V> {
    pub(crate) fn entry(&mut self, network: IpNet) -> &mut V
    where
        V: Default,
    {
        let network = network.trunc();
        if !self.values.contains_key(&network) {
            *self
                .lengths(network)
                .entry(network.prefix_len())
                .or_default() += 1;
        }
        self.values.entry(network).or_default()
    }

    pub(crate) fn get_mut(&mut self, network: IpNet) -> Option<&mut V> {
        self.values.get_mut(&network.trunc())
    }

    pub(crate) fn remove(&mut self, network: IpNet) -> Option<V> {
        let network = network.trunc();
        let value = self.values.remove(&network)?;
        self.forget_length(network);
        Some(value)
    }

    /// The longest prefix that covers the address, with its value.
    pub(crate) fn longest_match(&self, address: IpAddr) -> Option<(IpNet, &V)> {
        let lengths = match address {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        lengths.keys().rev().find_map(|&length| {
            let network = covering(address, length);
            Some((network, self.values.get(&network)?))
        })
    }

    fn forget_length(&mut self, network: IpNet) {
        let lengths = self.lengths(network);
        if let Some(count) = lengths.get_mut(&network.prefix_len()) {
            *count -= 1;
            if *count == 0 {
                lengths.remove(&network.prefix_len());
            }
        }
    }

    fn lengths(&mut self, network: IpNet) -> &mut BTreeMap<u8, usize> {
        match network {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        }
    }
}

/// The network of this length that covers the address.
fn covering(address: IpAddr, length: u8) -> IpNet {
    let network = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
        }
    };
    IpNet::new(network, length).expect("lengths come from networks of the same family")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_length_is_looked_up_as_long_as_a_prefix_has_it() {
        let mut map = PrefixMap::default();
        for text in ["10.0.0.0/24", "10.0.1.0/24", "2001:db8::/32"] {
            *map.entry(net(text)) = text;
        }
        map.remove(net("10.0.0.0/24"));
        assert!(map.longest_match("10.0.1.1".parse().unwrap()).is_some());
        map.remove(net("10.0.1.0/24"));
        assert!(map.v4.is_empty());
        assert_eq!(map.v6.len(), 1);
    }

    #[test]
    fn the_longest_prefix_wins_in_its_family() {
        let mut map = PrefixMap::default();
        for text in [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "0.0.0.0/0",
            "::/0",
            "2001:db8::/32",
        ] {
            *map.entry(net(text)) = text;
        }
        for (address, expected) in [
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.4", "10.1.0.0/16"),
            ("10.2.0.0", "10.0.0.0/8"),
            ("192.0.2.1", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::/32"),
            ("fe80::1", "::/0"),
        ] {
            let found = map.longest_match(address.parse().unwrap());
            assert_eq!(found, Some((net(expected), &expected)), "{address}");
        }
        assert_eq!(map.remove(net("10.1.0.0/16")), Some("10.1.0.0/16"));
        assert_eq!(map.remove(net("10.1.0.0/16")), None);
        let found = |map: &PrefixMap<&'static str>| {
            let (_, value) = map.longest_match("10.1.2.4".parse().unwrap())?;
            Some(*value)
        };
        assert_eq!(found(&map), Some("10.0.0.0/8"));
        map.remove(net("10.0.0.0/8"));
        assert_eq!(found(&map), Some("0.0.0.0/0"));
        map.remove(net("0.0.0.0/0"));
        assert_eq!(found(&map), None);
    }

    proptest! {
        #[test]
        fn agrees_with_a_linear_search(
            networks in proptest::collection::vec((any::<[u8; 4]>(), 0u8..=32), 0..20),
            address in any::<[u8; 4]>(),
            pick in any::<prop::sample::Index>(),
        ) {
            let mut networks: Vec<IpNet> = networks
                .into_iter()
                .map(|(octets, length)| IpNet::new(octets.into(), length).unwrap().trunc())
                .collect();
            let address = if networks.is_empty() { address.into() } else { networks[pick.index(networks.len())].addr() };
            let mut map = PrefixMap::default();
            for network in &networks {
                *map.entry(*network) = *network;
            }
            networks.retain(|network| network.contains(&address));
            let best = networks.iter().max_by_key(|network| network.prefix_len());
            let found = map.longest_match(address);
            prop_assert_eq!(found, best.map(|network| (*network, network)));
        }
    }
}
