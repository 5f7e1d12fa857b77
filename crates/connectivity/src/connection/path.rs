//! Ways to a peer, and how datagrams get onto them. spec: data-plane 2.11

use super::Context;
use crate::{
    DropReason, PathKind,
    relay::{Relays, channel_header},
    transmit::Route,
};
use model::{RelayId, limits::CHANNEL_HEADER};
use std::net::SocketAddr;

/// The way packets to a peer take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    /// Our end: a host address, or one that a relay opened for us.
    pub(crate) source: SocketAddr,
    /// The peer's end.
    pub(crate) destination: SocketAddr,
    /// The relay that owns our end.
    pub(crate) relay: Option<RelayId>,
    /// For the status.
    pub(crate) kind: PathKind,
}

impl Path {
    pub(crate) fn new(
        source: SocketAddr,
        destination: SocketAddr,
        relay: Option<RelayId>,
        ends_at_relay: bool,
    ) -> Self {
        let kind = match (relay, ends_at_relay) {
            (None, false) => PathKind::PeerToPeer,
            (None, true) => PathKind::PeerToRelay,
            (Some(_), false) => PathKind::RelayToPeer,
            (Some(_), true) => PathKind::RelayToRelay,
        };
        Self {
            source,
            destination,
            relay,
            kind,
        }
    }

    /// Whether this goes between the same two ends.
    pub(crate) fn joins(&self, source: SocketAddr, destination: SocketAddr) -> bool {
        self.source == source && self.destination == destination
    }

    /// Sends a message of ICE or WireGuard itself along this path.
    pub(crate) fn send_control(&self, message: &[u8], cx: &mut Context<'_>) {
        send_between(self.relay, self.source, self.destination, message, cx);
    }

    /// Where to put a data message of this length; the header, if any, goes in front.
    pub(crate) fn route(
        &self,
        length: usize,
        ecn: crate::Ecn,
        cx: &mut Context<'_>,
    ) -> Option<(Route, Option<[u8; CHANNEL_HEADER]>)> {
        let Some(relay) = self.relay else {
            let route = Route {
                source: Some(self.source),
                destination: self.destination,
                ecn,
            };
            return Some((route, None));
        };
        let (server, number) =
            cx.relays
                .route_to(relay, self.destination, cx.peer, cx.queue, cx.now)?;
        let route = Route {
            source: None,
            destination: server,
            ecn,
        };
        Some((route, Some(channel_header(number, length)?)))
    }
}

/// Sends a control message between two addresses; through `relay` if our end belongs to it. Without
/// a channel it is dropped, and counted.
pub(crate) fn send_between(
    relay: Option<RelayId>,
    source: SocketAddr,
    destination: SocketAddr,
    message: &[u8],
    cx: &mut Context<'_>,
) {
    let Some(relay) = owner(relay, source, cx.relays) else {
        cx.queue
            .push(Route::control(Some(source), destination), message);
        return;
    };
    let channel = cx
        .relays
        .route_to(relay, destination, cx.peer, cx.queue, cx.now);
    let (Some((server, number)), Some(header)) = (
        channel,
        channel.and_then(|(_, number)| channel_header(number, message.len())),
    ) else {
        cx.counters.count(DropReason::NoChannel);
        return;
    };
    debug_assert_eq!(header[..2], number.to_be_bytes());
    cx.queue
        .push_to_channel(Route::control(None, server), header, message);
}

/// `relay`, if it opened this address for us.
pub(crate) fn owner(
    relay: Option<RelayId>,
    address: SocketAddr,
    relays: &Relays,
) -> Option<RelayId> {
    relay.filter(|&id| {
        relays
            .get(id)
            .is_some_and(|allocation| allocation.owns(address))
    })
}
