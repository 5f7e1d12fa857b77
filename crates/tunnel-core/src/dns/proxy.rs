//! The addresses that stand for names of DNS resources. spec: data-plane 12.6

use crate::resource::ResourceTable;
use model::{DomainName, IpStack, ResourceId, ranges};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Addresses of each family that a name gets.
const PER_NAME: usize = 4;

/// Names that get addresses before the pool counts as exhausted; bounds memory.
const MAX_NAMES: usize = 128 * 1024;

/// A name of the pool; valid as long as the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameId(usize);

/// The resource of a name, and which families its addresses have.
pub(crate) type Owner = Option<(ResourceId, IpStack)>;

/// A name and what stands for it.
#[derive(Debug)]
pub(crate) struct ProxiedName {
    pub(crate) domain: DomainName,
    pub(crate) v4: [Ipv4Addr; PER_NAME],
    pub(crate) v6: [Ipv6Addr; PER_NAME],
    /// The resource of the name, and since when nothing has changed about that.
    owner: Option<(u64, Owner)>,
}

impl ProxiedName {
    /// All addresses, those of IPv4 first.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.into_iter().map(IpAddr::V4);
        v4.chain(self.v6.into_iter().map(IpAddr::V6))
    }
}

/// Names with their addresses; assigned once, never released.
#[derive(Debug, Default)]
pub(crate) struct ProxyPool {
    names: Vec<ProxiedName>,
    by_domain: HashMap<DomainName, usize>,
    by_address: HashMap<IpAddr, usize>,
    next_v4: u32,
    next_v6: u32,
}

impl ProxyPool {
    /// A name that has addresses.
    pub(crate) fn find(&self, name: &str) -> Option<NameId> {
        self.by_domain.get(name).copied().map(NameId)
    }

    /// A name with its addresses.
    pub(crate) fn name(&self, id: NameId) -> Option<&ProxiedName> {
        self.names.get(id.0)
    }

    /// The resource that a name belongs to, remembered until the resources change.
    pub(crate) fn owner(&mut self, id: NameId, resources: &ResourceTable) -> Owner {
        let name = self.names.get_mut(id.0)?;
        let generation = resources.generation();
        match name.owner {
            Some((known, owner)) if known == generation => owner,
            _ => {
                let owner = resources.by_name(name.domain.as_str());
                name.owner = Some((generation, owner));
                owner
            }
        }
    }

    /// The name with addresses, assigning them at first; none when the pool is exhausted.
    pub(crate) fn assign(&mut self, domain: &DomainName) -> Option<NameId> {
        if let Some(&index) = self.by_domain.get(domain) {
            return Some(NameId(index));
        }
        let index = self.names.len();
        if index >= MAX_NAMES {
            return None;
        }
        let mut v4 = [Ipv4Addr::UNSPECIFIED; PER_NAME];
        for address in &mut v4 {
            *address = self.take_v4()?;
        }
        let mut v6 = [Ipv6Addr::UNSPECIFIED; PER_NAME];
        for address in &mut v6 {
            *address = self.take_v6()?;
        }
        for address in v4
            .into_iter()
            .map(IpAddr::V4)
            .chain(v6.into_iter().map(IpAddr::V6))
        {
            self.by_address.insert(address, index);
        }
        self.by_domain.insert(domain.clone(), index);
        self.names.push(ProxiedName {
            domain: domain.clone(),
            v4,
            v6,
            owner: None,
        });
        Some(NameId(index))
    }

    /// The name that an address stands for.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<&DomainName> {
        let id = self.find_address(address)?;
        self.name(id).map(|name| &name.domain)
    }

    /// The name that an address stands for.
    pub(crate) fn find_address(&self, address: IpAddr) -> Option<NameId> {
        self.by_address.get(&address).copied().map(NameId)
    }

    fn take_v4(&mut self) -> Option<Ipv4Addr> {
        let network = u32::from(ranges::PROXY_V4.network());
        loop {
            // The network address itself is left out.
            self.next_v4 += 1;
            let address = Ipv4Addr::from(network.checked_add(self.next_v4)?);
            if !ranges::PROXY_V4.contains(&address) {
                return None;
            }
            if !ranges::SENTINEL_V4.contains(&address) {
                return Some(address);
            }
        }
    }

    fn take_v6(&mut self) -> Option<Ipv6Addr> {
        let network = u128::from(ranges::PROXY_V6.network());
        let address = Ipv6Addr::from(network.checked_add(u128::from(self.next_v6))?);
        self.next_v6 += 1;
        ranges::PROXY_V6.contains(&address).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn assign<'a>(pool: &'a mut ProxyPool, text: &str) -> &'a ProxiedName {
        let id = pool.assign(&name(text)).unwrap();
        pool.name(id).unwrap()
    }

    #[test]
    fn addresses_are_sequential_and_stable() {
        let mut pool = ProxyPool::default();
        let first = assign(&mut pool, "a.test");
        assert_eq!(first.v4.map(|a| a.octets()[3]), [1, 2, 3, 4]);
        assert_eq!(first.v6[0], ranges::PROXY_V6.network());
        let (v4, v6) = (first.v4, first.v6);
        let second = assign(&mut pool, "b.test");
        assert_eq!(second.v4[0].octets()[3], 5);
        let again = assign(&mut pool, "a.test");
        assert_eq!((again.v4, again.v6), (v4, v6));
        assert_eq!(again.addresses().count(), 8);
        assert_eq!(pool.name_of(v4[2].into()), Some(&name("a.test")));
        assert_eq!(pool.name_of(v6[3].into()), Some(&name("a.test")));
        assert_eq!(pool.name_of("100.96.0.99".parse().unwrap()), None);
    }

    #[test]
    fn sentinels_are_never_assigned_and_the_pool_ends() {
        let mut pool = ProxyPool::default();
        for n in 0..MAX_NAMES {
            let addresses = assign(&mut pool, &format!("n{n}.test"));
            for address in addresses.v4 {
                assert!(
                    ranges::PROXY_V4.contains(&address) && !ranges::SENTINEL_V4.contains(&address)
                );
            }
            assert!(addresses.v6.iter().all(|a| ranges::PROXY_V6.contains(a)));
        }
        assert!(pool.assign(&name("one.too.many")).is_none());
        assert!(pool.assign(&name("n0.test")).is_some());
    }

    #[test]
    fn the_resource_of_a_name_follows_changes() {
        let mut resources = ResourceTable::default();
        let resource = |n: u8, address: &str| {
            model::Resource::Dns(model::DnsResource {
                id: ResourceId::from_bytes([n; 16]),
                name: "app".into(),
                address: address.into(),
                address_description: None,
                ip_stack: IpStack::Dual,
                sites: vec![],
                filters: vec![],
            })
        };
        let mut pool = ProxyPool::default();
        let id = pool.assign(&name("a.test")).unwrap();
        let mut owner = |resources: &ResourceTable| pool.owner(id, resources).map(|(id, _)| id);
        assert_eq!(owner(&resources), None);
        for (n, address) in [(1, "*.test"), (2, "?.test")] {
            let added = resource(n, address);
            resources.insert(added.clone()).unwrap();
            assert_eq!(owner(&resources), Some(added.id()));
            assert_eq!(owner(&resources), Some(added.id()));
        }
        resources.remove(ResourceId::from_bytes([2; 16]));
        assert_eq!(owner(&resources), Some(ResourceId::from_bytes([1; 16])));
    }
}
