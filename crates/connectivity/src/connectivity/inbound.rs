//! The way of a datagram to whom it is for. spec: data-plane 1.1

use super::Connectivity;
use crate::{
    Datagram, DropReason, Received,
    connection::{Arrival, CheckId, check_id, send_between},
    demux::{self, Class, WireGuard},
    relay::parse_channel_data,
    session::Handshake,
};
use is::stun::StunMessage;
use model::{RelayId, limits};
use std::time::Instant;

impl Connectivity {
    /// Handles one datagram. An IP packet in it is decrypted to the start of `plain`.
    ///
    /// `plain` takes the largest packet, [`limits::MTU`] bytes; with room for a tag behind it,
    /// [`limits::TAG`] bytes more, a copy is saved.
    pub fn handle_datagram(
        &mut self,
        datagram: Datagram<'_>,
        plain: &mut [u8],
        now: Instant,
    ) -> Received {
        let received = self.receive(datagram, plain, now);
        if let Received::Dropped(reason) = received {
            self.counters.count(reason);
        }
        self.propagate(now);
        received
    }

    fn receive(&mut self, datagram: Datagram<'_>, plain: &mut [u8], now: Instant) -> Received {
        let Datagram {
            local,
            remote,
            ecn,
            payload,
        } = datagram;
        if payload.len() > limits::MAX_UDP_PAYLOAD {
            return Received::Dropped(DropReason::TooLarge);
        }
        let direct = Arrival {
            source: remote,
            destination: local,
            ecn,
            message: payload,
        };
        match demux::classify(payload) {
            Class::MaybeStun => match self.relays.at(remote) {
                Some(id) => {
                    let handled = self
                        .relays
                        .get_mut(id)
                        .ok_or(DropReason::UnknownRelay)
                        .and_then(|relay| relay.handle_stun(remote, local, payload, now));
                    handled.map_or_else(Received::Dropped, |()| Received::Consumed)
                }
                None => self.receive_from_peer(direct, None, plain, now),
            },
            Class::MaybeChannelData => {
                let Some((number, message)) = parse_channel_data(payload) else {
                    return Received::Dropped(DropReason::Unrecognized);
                };
                let Some(id) = self.relays.at(remote) else {
                    return Received::Dropped(DropReason::UnknownRelay);
                };
                let Some((source, destination)) = self.relays.handle_channel(id, number, now)
                else {
                    return Received::Dropped(DropReason::UnboundChannel);
                };
                let relayed = Arrival {
                    source,
                    destination,
                    ecn,
                    message,
                };
                self.receive_from_peer(relayed, Some(id), plain, now)
            }
            Class::Other => self.receive_from_peer(direct, None, plain, now),
        }
    }

    fn receive_from_peer(
        &mut self,
        arrival: Arrival<'_>,
        relay: Option<RelayId>,
        plain: &mut [u8],
        now: Instant,
    ) -> Received {
        match demux::wireguard(arrival.message) {
            Some(WireGuard::Session(index)) => {
                let slot = self.connections.with_session(index);
                self.open(slot, arrival, plain, now)
            }
            Some(WireGuard::Handshake) => self.receive_handshake(arrival, relay, plain, now),
            None => match StunMessage::parse(arrival.message) {
                Ok(check) => self.receive_check(arrival, check, now),
                Err(_) => Received::Dropped(DropReason::Unrecognized),
            },
        }
    }

    /// A connectivity check is for the connection it names; an answer, for the one that asked.
    fn receive_check(
        &mut self,
        arrival: Arrival<'_>,
        check: StunMessage<'_>,
        now: Instant,
    ) -> Received {
        let received = if check.is_binding_request() {
            let slot = check
                .username()
                .and_then(|username| self.connections.with_username(username));
            slot.and_then(|slot| {
                self.with_connection(slot, now, |connection, cx| {
                    connection.handle_request(arrival, check, cx)
                })
            })
        } else {
            check_id(arrival.message).and_then(|id| self.receive_answer(id, arrival, check, now))
        };
        received.unwrap_or(Received::Dropped(DropReason::UnknownCheck))
    }

    fn receive_answer(
        &mut self,
        id: CheckId,
        arrival: Arrival<'_>,
        answer: StunMessage<'_>,
        now: Instant,
    ) -> Option<Received> {
        let (local, remote) = (arrival.destination, arrival.source);
        if let Some(transaction) = self.transactions.find(&id, local, remote) {
            if transaction.is_answered {
                // We repeat checks unchanged, and each copy is answered.
                return Some(Received::Consumed);
            }
            return self.with_connection(transaction.slot, now, |connection, cx| {
                connection.handle_answer(id, arrival, answer, cx)
            });
        }
        let slot = self.probes.owner(&id, local, remote, now)?;
        self.with_connection(slot, now, |connection, cx| {
            connection.handle_proof(remote, answer, cx)
        })
    }

    /// A handshake is for the owner of its key, wherever it comes from.
    fn receive_handshake(
        &mut self,
        arrival: Arrival<'_>,
        relay: Option<RelayId>,
        plain: &mut [u8],
        now: Instant,
    ) -> Received {
        let handshake = match self.identity.inspect(arrival.source.ip(), arrival.message) {
            Ok(handshake) => handshake,
            Err((reason, cookie)) => {
                if let Some(cookie) = cookie {
                    self.reply(arrival, relay, &cookie, now);
                }
                return Received::Dropped(reason);
            }
        };
        let slot = match handshake {
            Handshake::Initiation(key) => self.connections.with_key(key),
            Handshake::Response(index) => self.connections.with_session(index),
        };
        self.open(slot, arrival, plain, now)
    }

    fn open(
        &mut self,
        slot: Option<usize>,
        arrival: Arrival<'_>,
        plain: &mut [u8],
        now: Instant,
    ) -> Received {
        slot.and_then(|slot| {
            self.with_connection(slot, now, |connection, cx| {
                connection.handle_wireguard(arrival, plain, cx)
            })
        })
        .unwrap_or(Received::Dropped(DropReason::UnknownSession))
    }

    /// Answers along the way that something came.
    fn reply(
        &mut self,
        arrival: Arrival<'_>,
        relay: Option<RelayId>,
        message: &[u8],
        now: Instant,
    ) {
        let (_, mut cx) = self.parts(now);
        send_between(relay, arrival.destination, arrival.source, message, &mut cx);
    }
}
