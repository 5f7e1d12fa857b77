//! Tables as real machines have them.

use super::{Address, Interface, Route, State, Table, Tunnel, choose};
use std::{io, net::IpAddr};

const LOOPBACK: u64 = 1;
const ETHERNET: u64 = 5;
const WIFI: u64 = 12;
const VPN: u64 = 20;
const TUNNEL: u64 = 33;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An interface whose index is its LUID, up, with the same metric in both families.
fn interface(luid: u64, metric: u32) -> Interface {
    Interface {
        luid,
        index: u32::try_from(luid).unwrap(),
        is_up: true,
        is_loopback: luid == LOOPBACK,
        metric_v4: Some(metric),
        metric_v6: Some(metric),
    }
}

fn on_link(prefix: &str, interface: u64, metric: u32) -> Route {
    Route {
        prefix: prefix.parse().unwrap(),
        interface,
        metric,
        next_hop: None,
    }
}

fn via(prefix: &str, next_hop: &str, interface: u64, metric: u32) -> Route {
    Route {
        next_hop: Some(ip(next_hop)),
        ..on_link(prefix, interface, metric)
    }
}

fn address(text: &str, interface: u64) -> Address {
    let (address, length) = text.split_once('/').unwrap();
    Address {
        address: ip(address),
        interface,
        prefix_length: length.parse().unwrap(),
        state: State::Preferred,
        skip_as_source: false,
        is_temporary: false,
    }
}

/// A laptop at a desk: Ethernet with automatic metric 25, Wi-Fi with 50, our adapter with everything.
fn laptop() -> Table {
    Table {
        routes: vec![
            on_link("127.0.0.0/8", LOOPBACK, 256),
            on_link("::1/128", LOOPBACK, 256),
            via("0.0.0.0/0", "10.1.0.1", WIFI, 0),
            via("0.0.0.0/0", "192.168.1.1", ETHERNET, 0),
            on_link("0.0.0.0/0", TUNNEL, 0),
            on_link("10.1.0.0/16", WIFI, 256),
            on_link("192.168.1.0/24", ETHERNET, 256),
            on_link("192.168.1.7/32", ETHERNET, 256),
            via("::/0", "fe80::1", WIFI, 256),
            via("::/0", "fe80::1", ETHERNET, 256),
            on_link("::/0", TUNNEL, 0),
            on_link("fe80::/64", WIFI, 256),
            on_link("fe80::/64", ETHERNET, 256),
            on_link("2001:db8:1::/64", ETHERNET, 256),
        ],
        interfaces: vec![
            interface(LOOPBACK, 75),
            interface(WIFI, 50),
            interface(ETHERNET, 25),
            interface(TUNNEL, 5),
        ],
        addresses: vec![
            address("127.0.0.1/8", LOOPBACK),
            address("::1/128", LOOPBACK),
            address("10.1.2.3/16", WIFI),
            address("192.168.1.7/24", ETHERNET),
            address("100.64.0.9/32", TUNNEL),
            address("fe80::12/64", WIFI),
            address("2001:db8:2::12/64", WIFI),
            address("fe80::5/64", ETHERNET),
            address("2001:db8:1::5/64", ETHERNET),
            address("fd00:2021:1111::9/128", TUNNEL),
        ],
    }
}

/// Source and index for a destination, `local` if it is left to the system, or `none`.
fn choice(table: &Table, destination: &str) -> String {
    match choose(table, Some(TUNNEL), ip(destination)) {
        Ok(Some(egress)) => format!("{} {}", egress.source, egress.interface.unwrap()),
        Ok(None) => "local".into(),
        Err(_) => "none".into(),
    }
}

fn interface_of(table: &mut Table, luid: u64) -> &mut Interface {
    let mut all = table.interfaces.iter_mut();
    all.find(|interface| interface.luid == luid).unwrap()
}

fn address_of<'a>(table: &'a mut Table, text: &str) -> &'a mut Address {
    let mut all = table.addresses.iter_mut();
    all.find(|own| own.address == ip(text)).unwrap()
}

#[test]
fn default_route_of_the_tunnel_is_passed_by_in_both_families() {
    let table = laptop();
    assert_eq!(choice(&table, "198.51.100.1"), "192.168.1.7 5");
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:1::5 5");
    // Without a tunnel to leave out it is the best.
    let through = choose(&table, None, ip("198.51.100.1")).unwrap().unwrap();
    assert_eq!(through.source, ip("100.64.0.9"));
}

#[test]
fn metric_of_the_interface_counts_with_that_of_the_route() {
    let mut table = laptop();
    interface_of(&mut table, ETHERNET).metric_v4 = Some(60);
    assert_eq!(choice(&table, "198.51.100.1"), "10.1.2.3 12");
    // Each family has its own.
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:1::5 5");
    interface_of(&mut table, ETHERNET).metric_v6 = Some(51);
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:2::12 12");
    // An administrator prefers Ethernet by the route.
    table.routes[2].metric = 11;
    assert_eq!(choice(&table, "198.51.100.1"), "192.168.1.7 5");
}

#[test]
fn metrics_do_not_wrap() {
    let mut table = laptop();
    table.routes[3].metric = u32::MAX;
    assert_eq!(choice(&table, "198.51.100.1"), "10.1.2.3 12");
}

#[test]
fn longer_prefix_beats_better_metric() {
    let mut table = laptop();
    table.routes.push(on_link("198.51.96.0/20", WIFI, 5000));
    assert_eq!(choice(&table, "198.51.100.1"), "10.1.2.3 12");
    assert_eq!(choice(&table, "198.51.112.1"), "192.168.1.7 5");
    // The network that we are on beats the default route of the better interface.
    assert_eq!(choice(&table, "10.1.9.9"), "10.1.2.3 12");
}

#[test]
fn tie_goes_to_the_least_index_whatever_the_order() {
    let mut table = laptop();
    interface_of(&mut table, WIFI).metric_v4 = Some(25);
    assert_eq!(choice(&table, "198.51.100.1"), "192.168.1.7 5");
    table.routes.reverse();
    table.interfaces.reverse();
    assert_eq!(choice(&table, "198.51.100.1"), "192.168.1.7 5");
    interface_of(&mut table, ETHERNET).index = 13;
    assert_eq!(choice(&table, "198.51.100.1"), "10.1.2.3 12");
}

#[test]
fn vpn_beside_us_keeps_its_networks_and_its_halves_of_the_world() {
    let mut table = laptop();
    table.interfaces.push(interface(VPN, 1));
    table.addresses.push(address("172.16.0.2/32", VPN));
    table.routes.push(on_link("172.16.0.0/12", VPN, 0));
    assert_eq!(choice(&table, "172.20.1.1"), "172.16.0.2 20");
    assert_eq!(choice(&table, "198.51.100.1"), "192.168.1.7 5");
    for half in ["0.0.0.0/1", "128.0.0.0/1"] {
        table.routes.push(on_link(half, VPN, 9000));
    }
    assert_eq!(choice(&table, "198.51.100.1"), "172.16.0.2 20");
    assert_eq!(choice(&table, "192.168.1.1"), "192.168.1.7 5");
}

#[test]
fn unplugged_interface_keeps_routes_that_nobody_takes() {
    let mut table = laptop();
    interface_of(&mut table, ETHERNET).is_up = false;
    assert_eq!(choice(&table, "198.51.100.1"), "10.1.2.3 12");
    assert_eq!(choice(&table, "192.168.1.20"), "10.1.2.3 12");
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:2::12 12");
}

#[test]
fn route_of_an_interface_that_is_gone_or_has_no_such_family_is_none() {
    let mut table = laptop();
    interface_of(&mut table, ETHERNET).metric_v6 = None;
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:2::12 12");
    interface_of(&mut table, ETHERNET).metric_v4 = None;
    assert_eq!(choice(&table, "198.51.100.1"), "10.1.2.3 12");
    table.interfaces.retain(|interface| interface.luid != WIFI);
    assert_eq!(choice(&table, "198.51.100.1"), "none");
}

#[test]
fn default_of_a_network_whose_dhcp_server_is_gone_does_not_win() {
    let mut table = laptop();
    address_of(&mut table, "192.168.1.7").address = ip("169.254.7.7");
    assert_eq!(choice(&table, "198.51.100.1"), "10.1.2.3 12");
    // Neighbours of the same fate are still to be reached.
    table.routes.push(on_link("169.254.0.0/16", ETHERNET, 256));
    assert_eq!(choice(&table, "169.254.9.9"), "169.254.7.7 5");
}

#[test]
fn no_default_route_is_an_error_with_a_text() {
    let mut table = laptop();
    let only_tunnel = |route: &Route| route.prefix.prefix_len() > 0 || route.interface == TUNNEL;
    table.routes.retain(only_tunnel);
    for destination in ["198.51.100.1", "2001:db8:f::1"] {
        let error: io::Error = choose(&table, Some(TUNNEL), ip(destination))
            .unwrap_err()
            .into();
        assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
        let text = format!("no route to {destination} outside of the tunnel");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn family_without_routes_is_left_to_the_system() {
    let mut table = laptop();
    table.routes.clear();
    assert_eq!(choice(&table, "198.51.100.1"), "local");
}

#[test]
fn this_machine_is_reached_without_an_interface() {
    let mut table = laptop();
    for own in ["127.0.0.1", "127.8.8.8", "::1", "192.168.1.7", "fe80::5"] {
        assert_eq!(choice(&table, own), "local");
    }
    // The tunnel's address is not ours on the other side of the tunnel.
    assert_eq!(choice(&table, "100.64.0.9"), "192.168.1.7 5");
    // Somebody else has it.
    address_of(&mut table, "10.1.2.3").state = State::Unusable;
    assert_eq!(choice(&table, "10.1.2.3"), "192.168.1.7 5");
}

#[test]
fn black_hole_swallows_what_is_in_it() {
    let mut table = laptop();
    table.routes.push(on_link("203.0.113.0/24", LOOPBACK, 0));
    assert_eq!(choice(&table, "203.0.113.5"), "none");
    assert_eq!(choice(&table, "203.0.114.5"), "192.168.1.7 5");
    table.routes.push(on_link("203.0.113.5/32", WIFI, 0));
    assert_eq!(choice(&table, "203.0.113.5"), "10.1.2.3 12");
}

#[test]
fn link_local_destination_gets_a_link_local_source() {
    let mut table = laptop();
    assert_eq!(choice(&table, "fe80::99"), "fe80::5 5");
    address_of(&mut table, "fe80::5").state = State::Deprecated;
    assert_eq!(choice(&table, "fe80::99"), "fe80::5 5");
    let mut multicast = laptop();
    multicast.routes.push(on_link("ff00::/8", WIFI, 256));
    assert_eq!(choice(&multicast, "ff02::fb"), "fe80::12 12");
    assert_eq!(choice(&multicast, "ff0e::1"), "2001:db8:2::12 12");
}

#[test]
fn global_source_does_for_a_link_local_destination_without_another() {
    let mut table = laptop();
    address_of(&mut table, "fe80::5").state = State::Unusable;
    assert_eq!(choice(&table, "fe80::99"), "2001:db8:1::5 5");
}

#[test]
fn interface_with_only_a_link_local_address_leads_nowhere_else() {
    let mut table = laptop();
    table
        .addresses
        .retain(|own| own.address != ip("2001:db8:1::5"));
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:2::12 12");
}

/// An Ethernet with these addresses besides its link-local one, in this order.
fn with_sources(addresses: &[Address]) -> Table {
    let mut table = laptop();
    let ours = |own: &Address| own.interface == ETHERNET;
    table.addresses.retain(|own| !ours(own));
    table.addresses.extend_from_slice(addresses);
    table
}

#[test]
fn addresses_that_are_not_preferred_wait_or_are_left_out() {
    let good = address("2001:db8:1::5/64", ETHERNET);
    // A better match, but in the wrong state.
    let bad = |state| Address {
        state,
        ..address("2001:db8:f::1111/64", ETHERNET)
    };
    for state in [State::Unusable, State::Deprecated] {
        let table = with_sources(&[bad(state), good]);
        assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:1::5 5");
    }
    let table = with_sources(&[bad(State::Deprecated)]);
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:f::1111 5");
    let table = with_sources(&[bad(State::Unusable)]);
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:2::12 12");
}

#[test]
fn address_that_an_administrator_keeps_back_is_skipped() {
    let skipped = Address {
        skip_as_source: true,
        ..address("192.168.1.2/24", ETHERNET)
    };
    let table = with_sources(&[skipped, address("192.168.1.7/24", ETHERNET)]);
    assert_eq!(choice(&table, "198.51.100.1"), "192.168.1.7 5");
    let table = with_sources(&[skipped]);
    assert_eq!(choice(&table, "198.51.100.1"), "10.1.2.3 12");
}

#[test]
fn stable_address_is_preferred_to_temporary_ones() {
    let temporary = Address {
        is_temporary: true,
        ..address("2001:db8:1:0:aaaa::1/64", ETHERNET)
    };
    let stable = address("2001:db8:1::5/64", ETHERNET);
    let table = with_sources(&[temporary, stable]);
    assert_eq!(choice(&table, "2001:db8:1:0:aaaa::2"), "2001:db8:1::5 5");
    let outdated = Address {
        state: State::Deprecated,
        ..stable
    };
    let table = with_sources(&[outdated, temporary]);
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:1:0:aaaa::1 5");
}

#[test]
fn label_of_the_destination_counts_more_than_stability() {
    let unique_local = address("fd12:3456::5/64", ETHERNET);
    let temporary = Address {
        is_temporary: true,
        ..address("2001:db8:1::aaaa/64", ETHERNET)
    };
    let table = with_sources(&[unique_local, temporary]);
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:1::aaaa 5");
    assert_eq!(choice(&table, "fd99::1"), "fd12:3456::5 5");
    assert_eq!(choice(&table, "fc99::1"), "fd12:3456::5 5");
    // But less than that an address is on its way out.
    let outdated = Address {
        state: State::Deprecated,
        ..temporary
    };
    let table = with_sources(&[outdated, unique_local]);
    assert_eq!(choice(&table, "2001:db8:f::1"), "fd12:3456::5 5");
}

#[test]
fn each_label_finds_its_own() {
    let stable = address("2400:1::1/64", ETHERNET);
    for (source, destination) in [
        ("2002:1::1/16", "2002:9::1"),
        ("2001:0:1::1/32", "2001:0:9::1"),
        ("3ffe:1::1/16", "3ffe:9::1"),
        ("fec0:1::1/64", "feff:9::1"),
        ("fd00:1::1/64", "fc00:9::1"),
    ] {
        let own = Address {
            is_temporary: true,
            ..address(source, ETHERNET)
        };
        let table = with_sources(&[stable, own]);
        let expected = format!("{} 5", own.address);
        assert_eq!(choice(&table, destination), expected, "{source}");
        assert_eq!(choice(&table, "2600::1"), "2400:1::1 5", "{source}");
    }
}

#[test]
fn ipv4_source_matches_the_next_hop_then_the_destination() {
    let table = with_sources(&[
        address("198.51.100.77/24", ETHERNET),
        address("192.168.1.68/24", ETHERNET),
        address("192.168.1.14/24", ETHERNET),
    ]);
    // Off the link the router is at 192.168.1.1.
    assert_eq!(choice(&table, "198.51.100.1"), "192.168.1.14 5");
    // On the link.
    assert_eq!(choice(&table, "192.168.1.65"), "192.168.1.68 5");
    let mut table = with_sources(&[
        address("192.168.1.6/24", ETHERNET),
        address("192.168.1.7/24", ETHERNET),
    ]);
    table.routes[3].next_hop = Some(ip("10.9.9.9"));
    assert_eq!(choice(&table, "192.168.2.7"), "192.168.1.6 5");
}

#[test]
fn ipv6_source_has_the_longest_prefix_in_common_but_no_more_than_its_own() {
    let far = address("2001:db8:8::1/64", ETHERNET);
    let near = address("2001:db8:1::1/64", ETHERNET);
    let mut table = with_sources(&[far, near]);
    // Whatever the router is: that rule is for IPv4.
    table.routes[9].next_hop = Some(ip("2001:db8:8::ffff"));
    assert_eq!(choice(&table, "2001:db8:1:1::1"), "2001:db8:1::1 5");
    assert_eq!(choice(&table, "2001:db8:8:1::1"), "2001:db8:8::1 5");
    // Both are on the same link: the first counts, whatever its identifier is.
    let twins = [
        address("2001:db8:1::ff/64", ETHERNET),
        address("2001:db8:1::12/64", ETHERNET),
    ];
    assert_eq!(
        choice(&with_sources(&twins), "2001:db8:1::13"),
        "2001:db8:1::ff 5"
    );
}

#[test]
fn addresses_of_other_interfaces_are_no_sources() {
    let table = with_sources(&[address("192.168.1.7/24", ETHERNET)]);
    assert_eq!(choice(&table, "192.168.1.9"), "192.168.1.7 5");
    // No IPv6 here, and IPv4 does not do.
    assert_eq!(choice(&table, "2001:db8:f::1"), "2001:db8:2::12 12");
}

#[test]
fn tunnel_comes_and_goes_for_all_who_know_it() {
    let tunnel = Tunnel::default();
    let other = tunnel.clone();
    assert_eq!(other.luid(), None);
    tunnel.set(Some(TUNNEL));
    assert_eq!(other.luid(), Some(TUNNEL));
    tunnel.set(None);
    assert_eq!(other.luid(), None);
}
