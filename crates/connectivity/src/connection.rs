//! One connection to a peer: ICE finds a path, WireGuard protects what goes over it. spec: data-plane 2

mod agent;
mod candidates;
mod checks;
mod inbound_checks;
mod lifecycle;
mod packet_queue;
mod packets;
mod path;
mod probes;
mod reflexive;
mod remote;
mod signals;
mod table;
mod timers;
mod transactions;

#[cfg(test)]
pub(crate) use agent::Agent;
pub(crate) use lifecycle::{Connection, Origin};
pub(crate) use packets::Arrival;
pub(crate) use path::send_between;
pub(crate) use probes::Probes;
pub(crate) use table::Connections;
pub(crate) use transactions::{CheckId, Transactions, check_id};

use crate::{DropCounters, DropReason, relay::Relays, transmit::SendQueue};
use model::PeerId;
use std::time::Instant;

/// The parts of [`Connectivity`](crate::Connectivity) that a connection uses during one call.
pub(crate) struct Context<'a> {
    /// Allocations, for paths through relays.
    pub(crate) relays: &'a mut Relays,
    /// Whose connection it is, and in whose share channels are opened; nobody's if it is no connection.
    pub(crate) peer: Option<PeerId>,
    /// Where datagrams go.
    pub(crate) queue: &'a mut SendQueue,
    /// Where drops are counted that no caller hears of.
    pub(crate) counters: &'a mut DropCounters<DropReason>,
    /// Checks under way, by which answers find their connection.
    pub(crate) transactions: &'a mut Transactions,
    /// Checks that nothing is kept about.
    pub(crate) probes: &'a Probes,
    /// The time of the call.
    pub(crate) now: Instant,
}
