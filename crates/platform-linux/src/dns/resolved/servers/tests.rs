//! Which servers are upstreams, by what the manager and its links say.

use super::*;
use proptest::prelude::*;
use zbus::zvariant::Value;

const OWN: u32 = 9;

type Entry = (i32, i32, Vec<u8>, u16, String);

fn entry(link: i32, address: &str, port: u16, name: &str) -> Entry {
    let address: IpAddr = address.parse().unwrap();
    let (family, bytes) = match address {
        IpAddr::V4(address) => (2, address.octets().to_vec()),
        IpAddr::V6(address) => (10, address.octets().to_vec()),
    };
    (link, family, bytes, port, name.to_owned())
}

fn owned<'a>(value: impl Into<Value<'a>>) -> OwnedValue {
    value.into().try_to_owned().unwrap()
}

fn manager(servers: Vec<Entry>, domains: &[(i32, &str)]) -> Properties {
    let domains = domains
        .iter()
        .map(|&(link, domain)| (link, domain.to_owned(), true));
    HashMap::from([
        ("DNSEx".to_owned(), owned(servers)),
        (
            "FallbackDNSEx".to_owned(),
            owned(vec![entry(0, "192.0.2.99", 0, "")]),
        ),
        ("Domains".to_owned(), owned(domains.collect::<Vec<_>>())),
        ("DNSOverTLS".to_owned(), owned("no")),
        ("CacheStatistics".to_owned(), owned((1u64, 2u64, 3u64))),
    ])
}

fn link(default_route: bool, tls: &str) -> Link {
    Link::parse(&HashMap::from([
        ("DefaultRoute".to_owned(), owned(default_route)),
        ("DNSOverTLS".to_owned(), owned(tls)),
    ]))
}

fn upstreams(properties: &Properties, links: &[(u32, Link)]) -> Vec<SystemResolver> {
    let links = links.iter().copied().collect();
    Manager::parse(properties).upstreams(&links, Some(OWN)).0
}

fn plain(addresses: &[&str]) -> Vec<SystemResolver> {
    let plain = |text: &&str| SystemResolver::do53(text.parse().unwrap());
    addresses.iter().map(plain).collect()
}

#[test]
fn annotated_servers_are_understood() {
    let properties = manager(
        vec![
            entry(0, "1.1.1.1", 0, "cloudflare-dns.com"),
            entry(2, "192.0.2.1", 5353, ""),
            entry(2, "fe80::1", 0, ""),
            entry(2, "2001:db8::1", 5354, "resolver.example"),
            entry(9, "100.100.111.1", 0, ""),
        ],
        &[],
    );
    let expected = [
        "1.1.1.1:53",
        "192.0.2.1:5353",
        "[fe80::1%2]:53",
        "[2001:db8::1]:5354",
    ];
    let links = [(2, link(true, "no"))];
    assert_eq!(upstreams(&properties, &links), plain(&expected));
}

#[test]
fn links_for_certain_domains_are_no_upstreams() {
    let servers = vec![
        entry(0, "192.0.2.1", 0, ""),
        entry(2, "192.0.2.2", 0, ""),
        entry(3, "192.0.2.3", 0, ""),
    ];
    let links = [(2, link(true, "no")), (3, link(false, "no"))];
    let properties = manager(servers.clone(), &[(3, "corp.example")]);
    assert_eq!(
        upstreams(&properties, &links),
        plain(&["192.0.2.1:53", "192.0.2.2:53"])
    );
    // One with the root's domain takes all names for itself; ours does not count.
    let properties = manager(servers, &[(3, "."), (9, ".")]);
    assert_eq!(upstreams(&properties, &links), plain(&["192.0.2.3:53"]));
}

#[test]
fn built_in_servers_are_the_last_resort() {
    let ours = vec![entry(9, "100.100.111.1", 0, "")];
    assert_eq!(
        upstreams(&manager(ours, &[]), &[]),
        plain(&["192.0.2.99:53"])
    );
    // Servers for certain domains only keep the built-in ones away.
    let certain = vec![entry(3, "192.0.2.3", 0, "")];
    let links = [(3, link(false, "no"))];
    assert_eq!(upstreams(&manager(certain, &[]), &links), []);
}

#[test]
fn servers_that_speak_tls_only_are_asked_by_the_system() {
    let servers = vec![
        entry(2, "192.0.2.1", 0, "a.example"),
        entry(2, "192.0.2.2", 8853, ""),
        entry(3, "192.0.2.3", 0, ""),
        entry(0, "192.0.2.4", 0, ""),
    ];
    let system = |address: &str| SystemResolver {
        address: address.parse().unwrap(),
        transport: ResolverTransport::Managed { link: 2 },
    };
    let mut properties = manager(servers, &[]);
    let links = [(2, link(true, "yes")), (3, link(true, "opportunistic"))];
    let expected = [
        vec![system("192.0.2.1:853"), system("192.0.2.2:8853")],
        plain(&["192.0.2.3:53", "192.0.2.4:53"]),
    ];
    assert_eq!(upstreams(&properties, &links), expected.concat());
    // A global one would lead the question back to us.
    properties.insert("DNSOverTLS".to_owned(), owned("yes"));
    let links = links.into_iter().collect();
    let (resolvers, left_out) = Manager::parse(&properties).upstreams(&links, Some(OWN));
    assert_eq!((resolvers.len(), left_out), (3, 1));
}

#[test]
fn older_versions_know_addresses_only() {
    let old = vec![(2i32, 2i32, vec![192u8, 0, 2, 1]), (2, 2, vec![1, 2, 3])];
    let properties = HashMap::from([("DNS".to_owned(), owned(old))]);
    let links = [(2, Link::parse(&HashMap::new()))];
    assert_eq!(upstreams(&properties, &links), plain(&["192.0.2.1:53"]));
    assert_eq!(upstreams(&HashMap::new(), &[]), []);
}

proptest! {
    #[test]
    fn whatever_the_manager_says_no_more_servers_come_of_it(
        entries in prop::collection::vec(
            (-1_i32..5, any::<i32>(), prop::collection::vec(any::<u8>(), 0..20), any::<u16>(), ".{0,9}"),
            0..20,
        ),
        domains in prop::collection::vec((-1_i32..5, "[.a-z]{0,5}"), 0..20),
        links in prop::collection::btree_map(0_u32..5, (any::<bool>(), any::<bool>()), 0..5),
    ) {
        let domains: Vec<_> = domains.iter().map(|(of, name)| (*of, name.as_str())).collect();
        let count = entries.len();
        let properties = manager(entries, &domains);
        let parsed = Manager::parse(&properties);
        prop_assert!(parsed.servers.len() <= count && parsed.domains.len() <= domains.len());
        prop_assert!(parsed.links(None).len() <= parsed.servers.len());
        let links = links.into_iter().map(|(index, (is_default, only_tls))| {
            (index, link(is_default, if only_tls { "yes" } else { "no" }))
        });
        let (found, left_out) = parsed.upstreams(&links.collect(), Some(1));
        // The last resort is one server.
        prop_assert!(found.len() + left_out <= parsed.servers.len().max(1));
    }
}
