//! Which address of an interface a packet comes from. RFC 6724 section 5

use super::table::{Address, State, Table};
use std::{cmp::Reverse, net::IpAddr};

/// The best source on an interface.
pub(super) fn choose(
    table: &Table,
    interface: u64,
    destination: IpAddr,
    next_hop: Option<IpAddr>,
) -> Option<IpAddr> {
    table
        .addresses
        .iter()
        .filter(|own| own.interface == interface && is_usable(own, destination))
        .min_by_key(|own| order(own, destination, next_hop))
        .map(|own| own.address)
}

/// Whether packets to the destination may come from an address at all.
fn is_usable(own: &Address, destination: IpAddr) -> bool {
    own.address.is_ipv4() == destination.is_ipv4()
        && own.state != State::Unusable
        && !own.skip_as_source
        // No router forwards what comes from a link-local address, nor are there answers.
        && (!is_link_local(own.address) || is_link_local(destination))
}

/// The least is the best: the rules of the RFC that can differ on one interface, in its order.
///
/// Of scopes only those are left that reach the destination, so that the smallest is the best. The
/// next hop is what Windows looks at first for IPv4 (KB 969029).
fn order(
    own: &Address,
    destination: IpAddr,
    next_hop: Option<IpAddr>,
) -> (bool, bool, bool, bool, Reverse<u8>, Reverse<u8>) {
    let scope = is_link_local(destination) && !is_link_local(own.address);
    let deprecated = own.state == State::Deprecated;
    let label = label(own.address) != label(destination);
    let towards = match next_hop {
        Some(router @ IpAddr::V4(_)) => common_bits(own, router),
        _ => 0,
    };
    (
        scope,
        deprecated,
        label,
        // Their rotation would break what was agreed on with gateways. RFC 5014 has programs
        // choose; on Linux we do the same.
        own.is_temporary,
        Reverse(towards),
        Reverse(common_bits(own, destination)),
    )
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        // Multicast to the interface or the link stays on the link, too.
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || (address.is_multicast() && matches!(address.octets()[1] & 0xf, 1 | 2))
        }
    }
}

/// Leading bits in common. For IPv6 only those of the prefix count: RFC 6724 section 2.2.
fn common_bits(own: &Address, other: IpAddr) -> u8 {
    let (bits, most) = match (own.address, other) {
        (IpAddr::V4(ours), IpAddr::V4(other)) => {
            ((ours.to_bits() ^ other.to_bits()).leading_zeros(), 32)
        }
        (IpAddr::V6(ours), IpAddr::V6(other)) => (
            (ours.to_bits() ^ other.to_bits()).leading_zeros(),
            own.prefix_length,
        ),
        _ => (0, 0),
    };
    u8::try_from(bits).map_or(most, |bits| bits.min(most))
}

/// Label of the default policy table. RFC 6724 section 2.1
fn label(address: IpAddr) -> u8 {
    let IpAddr::V6(address) = address else {
        return 4;
    };
    match address.segments() {
        [0x2002, ..] => 2,
        [0x2001, 0, ..] => 5,
        [0x3ffe, ..] => 12,
        [first, ..] if first & 0xfe00 == 0xfc00 => 13,
        [first, ..] if first & 0xffc0 == 0xfec0 => 11,
        _ => 1,
    }
}
