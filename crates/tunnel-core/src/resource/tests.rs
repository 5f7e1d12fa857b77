//! The table of resources: precedence, patterns, changes.

use super::*;
use model::{CidrResource, DnsResource, InternetResource, Site};

fn id(n: u8) -> ResourceId {
    ResourceId::from_bytes([n; 16])
}

fn site(n: u8) -> Site {
    Site {
        id: SiteId::from_bytes([n; 16]),
        name: format!("site {n}"),
    }
}

fn cidr(n: u8, address: &str) -> Resource {
    Resource::Cidr(CidrResource {
        id: id(n),
        name: format!("range {n}"),
        address: address.parse().unwrap(),
        address_description: None,
        sites: vec![site(n)],
        filters: vec![],
    })
}

fn dns(n: u8, pattern: &str, ip_stack: IpStack) -> Resource {
    Resource::Dns(DnsResource {
        id: id(n),
        name: format!("name {n}"),
        address: pattern.into(),
        address_description: None,
        ip_stack,
        sites: vec![site(n)],
        filters: vec![],
    })
}

fn internet(n: u8) -> Resource {
    Resource::Internet(InternetResource {
        id: id(n),
        name: "Internet".into(),
        sites: vec![site(n)],
    })
}

fn table(resources: impl IntoIterator<Item = Resource>) -> ResourceTable {
    let mut table = ResourceTable::default();
    for resource in resources {
        assert_eq!(table.insert(resource), Ok(Insertion::Added));
    }
    table
}

fn by_address(table: &ResourceTable, address: &str) -> Option<ResourceId> {
    table.by_address(address.parse().unwrap())
}

fn by_name(table: &ResourceTable, name: &str) -> Option<ResourceId> {
    table.by_name(name).map(|(id, _)| id)
}

#[test]
fn the_longest_prefix_decides_and_internet_comes_last() {
    let mut table = table([cidr(1, "10.0.0.0/8"), cidr(2, "10.1.0.0/16"), internet(3)]);
    assert_eq!(by_address(&table, "10.1.2.3"), Some(id(2)));
    assert_eq!(by_address(&table, "10.2.2.3"), Some(id(1)));
    assert_eq!(by_address(&table, "192.0.2.1"), None);
    assert!(table.set_internet(true) && !table.set_internet(true));
    assert_eq!(by_address(&table, "192.0.2.1"), Some(id(3)));
    assert_eq!(by_address(&table, "2001:db8::1"), Some(id(3)));
    for inside in [
        "100.64.0.9",
        "100.96.0.1",
        "fd00:2021:1111::9",
        "fd00:2021:1111:8000::1",
        "fd00:2021:1111:8000:100:100:111:0",
        "169.254.1.1",
        "fe80::1",
    ] {
        assert_eq!(by_address(&table, inside), None, "{inside}");
    }
    assert!(table.remove(id(2)) && !table.remove(id(2)));
    assert_eq!(by_address(&table, "10.1.2.3"), Some(id(1)));
}

#[test]
fn of_equal_ranges_the_one_in_use_stays() {
    let mut table = table([cidr(1, "10.0.0.0/8"), cidr(2, "10.0.0.0/8")]);
    assert_eq!(by_address(&table, "10.0.0.1"), Some(id(2)));
    table.bind(id(1), GatewayId::from_bytes([9; 16]));
    assert_eq!(by_address(&table, "10.0.0.1"), Some(id(1)));
    table.unbind(GatewayId::from_bytes([9; 16]));
    assert_eq!(by_address(&table, "10.0.0.1"), Some(id(2)));
    table.remove(id(2));
    assert_eq!(by_address(&table, "10.0.0.1"), Some(id(1)));
}

#[test]
fn the_most_specific_pattern_decides_whatever_the_order_of_arrival() {
    let dual = IpStack::Dual;
    let resources = [
        dns(1, "**.example.com", dual),
        dns(2, "*.example.com", dual),
        dns(3, "?.example.com", dual),
        dns(4, "foo.example.com", dual),
    ];
    for turn in 0..4 {
        let mut resources = resources.clone();
        resources.rotate_left(turn);
        let mut table = table(resources);
        for (name, expected) in [
            ("foo.example.com", Some(4)),
            ("x.example.com", Some(3)),
            ("bar.example.com", Some(2)),
            ("example.com", Some(2)),
            ("a.b.example.com", Some(1)),
            ("example.org", None),
        ] {
            assert_eq!(by_name(&table, name), expected.map(id), "{name}");
        }
        table.remove(id(4));
        assert_eq!(by_name(&table, "foo.example.com"), Some(id(2)));
        table.remove(id(2));
        assert_eq!(by_name(&table, "foo.example.com"), Some(id(1)));
    }
}

#[test]
fn the_stack_belongs_to_the_resource() {
    let table = table([
        dns(1, "a.test", IpStack::Ipv4Only),
        dns(2, "*.test", IpStack::Ipv6Only),
    ]);
    let stack = |name: &str| table.by_name(name).map(|(_, stack)| stack);
    assert_eq!(stack("a.test"), Some(IpStack::Ipv4Only));
    assert_eq!(stack("b.test"), Some(IpStack::Ipv6Only));
}

#[test]
fn only_another_address_makes_another_resource() {
    let mut table = table([cidr(1, "10.0.0.0/8"), dns(2, "a.test", IpStack::Dual)]);
    table.bind(id(1), GatewayId::from_bytes([9; 16]));
    let Resource::Cidr(mut renamed) = cidr(1, "10.0.0.0/8") else {
        unreachable!()
    };
    renamed.name = "renamed".into();
    assert_eq!(
        table.insert(Resource::Cidr(renamed)),
        Ok(Insertion::Updated)
    );
    assert_eq!(table.get(id(1)).unwrap().name(), "renamed");
    assert!(table.gateway_of(id(1)).is_some());

    assert_eq!(table.insert(cidr(1, "10.0.0.0/9")), Ok(Insertion::Replaced));
    assert_eq!(table.gateway_of(id(1)), None);
    assert_eq!(by_address(&table, "10.200.0.1"), None);
    assert_eq!(
        table.insert(dns(2, "a.test", IpStack::Ipv4Only)),
        Ok(Insertion::Replaced)
    );
    assert_eq!(table.insert(cidr(2, "10.0.0.0/8")), Ok(Insertion::Replaced));
    assert_eq!(by_name(&table, "a.test"), None);
}

#[test]
fn a_broken_pattern_is_shown_and_matches_nothing() {
    let mut table = ResourceTable::default();
    assert!(table.insert(dns(1, "a**.test", IpStack::Dual)).is_err());
    assert_eq!(table.statuses().len(), 1);
    assert_eq!(by_name(&table, "ab.test"), None);
    assert!(table.remove(id(1)));
}

#[test]
fn routes_are_ranges_and_everything_with_internet() {
    let mut table = table([
        cidr(1, "10.0.0.0/8"),
        dns(2, "a.test", IpStack::Dual),
        internet(3),
    ]);
    let routes = |table: &ResourceTable| table.routes().map(|r| r.to_string()).collect::<Vec<_>>();
    assert_eq!(routes(&table), ["10.0.0.0/8"]);
    table.set_internet(true);
    assert_eq!(routes(&table), ["10.0.0.0/8", "0.0.0.0/0", "::/0"]);
}

#[test]
fn the_best_site_counts_and_news_is_told_once() {
    let mut table = table([cidr(1, "10.0.0.0/8")]);
    let state = |table: &ResourceTable| table.statuses()[0].state;
    assert_eq!(state(&table), SiteState::Unknown);
    assert!(table.set_sites_of(id(1), SiteState::Offline));
    assert!(!table.set_sites_of(id(1), SiteState::Offline));
    assert_eq!(state(&table), SiteState::Offline);
    assert!(table.set_site(site(1).id, SiteState::Online));
    assert_eq!(state(&table), SiteState::Online);
    table.unbind_all();
    assert_eq!(state(&table), SiteState::Unknown);
}

#[test]
fn missing_ones_are_those_not_listed() {
    let table = table([cidr(1, "10.0.0.0/8"), internet(2), cidr(3, "11.0.0.0/8")]);
    assert_eq!(table.missing_from(&[id(2), id(7)].into()), [id(1), id(3)]);
}

#[test]
fn what_is_switched_off_is_listed_and_not_found() {
    let mut table = table([
        cidr(1, "10.0.0.0/8"),
        cidr(2, "10.1.0.0/16"),
        dns(3, "*.corp.test", IpStack::Dual),
        dns(4, "a.corp.test", IpStack::Dual),
        internet(5),
        internet(6),
    ]);
    table.set_internet(true);
    table.bind(id(2), GatewayId::from_bytes([9; 16]));
    let generation = table.generation();
    let off = BTreeSet::from([id(2), id(4), id(6), id(7)]);
    assert_eq!(table.set_disabled(off.clone()), [id(2), id(4), id(6)]);
    assert!(
        table.generation() > generation,
        "older ones never come back"
    );
    assert_eq!(by_address(&table, "10.1.2.3"), Some(id(1)));
    assert_eq!(by_name(&table, "a.corp.test"), Some(id(3)));
    assert_eq!(by_address(&table, "192.0.2.1"), Some(id(5)));
    let narrow = "10.1.0.0/16".parse().unwrap();
    assert!(!table.routes().any(|route| route == narrow));
    assert_eq!(table.statuses().len(), 6);
    // Switched off before it is known, and changed meanwhile.
    assert_eq!(table.insert(cidr(7, "10.2.0.0/16")), Ok(Insertion::Added));
    assert_eq!(
        table.insert(cidr(2, "10.3.0.0/16")),
        Ok(Insertion::Replaced)
    );
    assert_eq!(by_address(&table, "10.2.2.3"), Some(id(1)));
    assert_eq!(by_address(&table, "10.3.2.3"), Some(id(1)));

    let generation = table.generation();
    assert!(table.set_disabled(off).is_empty());
    assert_eq!(table.generation(), generation, "nothing changed");
    assert!(table.set_disabled(BTreeSet::new()).is_empty());
    assert_eq!(by_address(&table, "10.2.2.3"), Some(id(7)));
    assert_eq!(by_address(&table, "10.3.2.3"), Some(id(2)));
    assert_eq!(by_address(&table, "10.1.2.3"), Some(id(1)));
    assert_eq!(by_name(&table, "a.corp.test"), Some(id(4)));
    assert_eq!(by_address(&table, "192.0.2.1"), Some(id(6)));
}

#[test]
fn a_disabled_pattern_that_is_wrong_is_told_all_the_same() {
    let mut table = ResourceTable::new(false, BTreeSet::from([id(1)]));
    assert!(table.insert(dns(1, "a..b", IpStack::Dual)).is_err());
    assert_eq!(table.statuses().len(), 1);
    assert!(table.set_disabled(BTreeSet::new()).is_empty());
}
