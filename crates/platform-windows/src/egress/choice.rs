//! Which route a packet takes that must not enter the tunnel. spec: platform 11.1

use super::{
    source,
    table::{Interface, Route, State, Table},
};
use socket_factory::Egress;
use std::{cmp::Reverse, io, net::IpAddr, num::NonZeroU32};

/// There is no way to the destination that does not lead through the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no route to {0} outside of the tunnel")]
pub struct NoRoute(IpAddr);

impl From<NoRoute> for io::Error {
    fn from(error: NoRoute) -> Self {
        Self::new(io::ErrorKind::HostUnreachable, error)
    }
}

/// Interface and source for a destination, around the interface with the LUID of the tunnel.
///
/// `None` for destinations on this machine, which the system delivers itself, and if there is no
/// route at all: a family that is switched off has none into the tunnel either.
///
/// # Errors
///
/// If no route leads there, or none whose interface has an address to send from.
pub fn choose(
    table: &Table,
    tunnel: Option<u64>,
    destination: IpAddr,
) -> Result<Option<Egress>, NoRoute> {
    if table.routes.is_empty() || is_local(table, tunnel, destination) {
        return Ok(None);
    }
    let mut candidates: Vec<_> = table
        .routes
        .iter()
        .filter(|route| route.prefix.contains(&destination))
        .filter_map(|route| Candidate::new(table, tunnel, route))
        .collect();
    candidates.sort_by_key(Candidate::order);
    for candidate in candidates {
        if candidate.interface.is_loopback {
            // How administrators make black holes.
            break;
        }
        let next_hop = candidate.route.next_hop;
        if let Some(source) = source::choose(table, candidate.interface.luid, destination, next_hop)
        {
            return Ok(Some(Egress {
                source,
                interface: NonZeroU32::new(candidate.interface.index),
            }));
        }
    }
    Err(NoRoute(destination))
}

/// A route that can be taken.
struct Candidate<'a> {
    route: &'a Route,
    interface: &'a Interface,
    metric: u64,
}

impl<'a> Candidate<'a> {
    fn new(table: &'a Table, tunnel: Option<u64>, route: &'a Route) -> Option<Self> {
        let interface = table
            .interfaces
            .iter()
            .find(|interface| interface.luid == route.interface)
            .filter(|interface| interface.is_up && Some(interface.luid) != tunnel)?;
        let own = interface.metric(route.prefix.addr())?;
        Some(Self {
            route,
            interface,
            metric: u64::from(own) + u64::from(route.metric),
        })
    }

    /// The least is the best.
    fn order(&self) -> (Reverse<u8>, u64, u32) {
        let length = self.route.prefix.prefix_len();
        (Reverse(length), self.metric, self.interface.index)
    }
}

/// Whether the system delivers to itself: loopback, or an address that it owns.
fn is_local(table: &Table, tunnel: Option<u64>, destination: IpAddr) -> bool {
    destination.is_loopback()
        || table.addresses.iter().any(|own| {
            own.address == destination
                && own.state != State::Unusable
                && Some(own.interface) != tunnel
        })
}
