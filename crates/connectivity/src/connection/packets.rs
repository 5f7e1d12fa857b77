//! Packets and WireGuard messages of one connection. spec: data-plane 2.12, 2.14, 6

use super::{Connection, Context};
use crate::{
    DropReason, Ecn, Received, Role, Verdict,
    session::{MAX_HANDSHAKE, Opened, Sealed},
};
use model::limits::{MAX_UDP_PAYLOAD, MTU, TAG, WIREGUARD_OVERHEAD};
use std::net::SocketAddr;

/// A WireGuard or STUN message, without the ChannelData header that it may have come behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// The peer's end.
    pub(crate) source: SocketAddr,
    /// Our end.
    pub(crate) destination: SocketAddr,
    /// ECN bits of the outermost IP header.
    pub(crate) ecn: Ecn,
    /// The message.
    pub(crate) message: &'a [u8],
}

impl Connection {
    /// Sends an IP packet, or keeps it until that is possible.
    pub(crate) fn send(&mut self, packet: &[u8], cx: &mut Context<'_>) -> Verdict {
        if packet.is_empty() {
            return Verdict::Dropped(DropReason::MalformedInner);
        }
        if packet.len() > MTU {
            return Verdict::Dropped(DropReason::TooLarge);
        }
        if !self.is_connected() {
            return match self.origin.role {
                Role::Gateway => Verdict::Dropped(DropReason::NotConnected),
                Role::Client => {
                    if self.packets.push(packet) {
                        cx.counters.count(DropReason::BufferFull);
                    }
                    Verdict::Buffered
                }
            };
        }
        self.wake(cx.now);
        if self.session.is_stale(cx.now) {
            self.tick(cx);
        }
        self.seal(packet, cx)
    }

    /// Handles a WireGuard message; an IP packet in it is written to `plain`.
    pub(crate) fn handle_wireguard(
        &mut self,
        arrival: Arrival<'_>,
        plain: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Received {
        if self.session.is_stale(cx.now) {
            self.tick(cx);
        }
        // The ciphertext is decrypted in place, so its tag needs room too; the header does not.
        let has_room = plain.len() + (WIREGUARD_OVERHEAD - TAG) >= arrival.message.len();
        if has_room && plain.len() >= MAX_HANDSHAKE {
            return self.open(arrival, plain, cx);
        }
        let mut scratch = [0; MAX_UDP_PAYLOAD];
        match self.open(arrival, &mut scratch, cx) {
            Received::Packet { peer, len } if len <= plain.len() => {
                plain[..len].copy_from_slice(&scratch[..len]);
                Received::Packet { peer, len }
            }
            Received::Packet { .. } => Received::Dropped(DropReason::TooLarge),
            other => other,
        }
    }

    /// How many packets and messages wait for a path or a session.
    pub(crate) fn waiting(&self) -> usize {
        self.packets.len() + self.messages.len() + self.session.waiting()
    }

    /// Starts a handshake on the path.
    pub(super) fn start_handshake(&mut self, cx: &mut Context<'_>) {
        if self.session.is_stale(cx.now) {
            self.tick(cx);
        }
        let mut scratch = [0; MAX_HANDSHAKE];
        if let Some(length) = self.session.initiate(&mut scratch, cx.now) {
            self.send_message(&scratch[..length], cx);
        }
    }

    /// Sends a message of WireGuard itself, or keeps it until there is a path.
    pub(super) fn send_message(&mut self, message: &[u8], cx: &mut Context<'_>) {
        match self.path {
            Some(path) => path.send_control(message, cx),
            None => {
                if self.messages.push(message) {
                    cx.counters.count(DropReason::BufferFull);
                }
            }
        }
    }

    /// Sends the packets that waited for path and session, in order.
    pub(super) fn flush_packets(&mut self, cx: &mut Context<'_>) {
        while self.is_connected() {
            let Some(packet) = self.packets.pop() else {
                return;
            };
            if let Verdict::Dropped(reason) = self.seal(&packet, cx) {
                cx.counters.count(reason);
            }
        }
    }

    /// Encrypts a packet straight into the batch of its path.
    fn seal(&mut self, packet: &[u8], cx: &mut Context<'_>) -> Verdict {
        let Some(path) = self.path else {
            return Verdict::Dropped(DropReason::NotConnected);
        };
        let length = packet.len() + WIREGUARD_OVERHEAD;
        let Some((route, header)) = path.route(length, Ecn::of_packet(packet), cx) else {
            return Verdict::Dropped(DropReason::NoChannel);
        };
        let header: &[u8] = header.as_ref().map_or(&[], |header| header);
        let (session, now) = (&mut self.session, cx.now);
        let sealed = cx.queue.write(route, header.len() + length, |room| {
            let (front, rest) = room.split_at_mut(header.len());
            front.copy_from_slice(header);
            let sealed = session.seal(packet, rest, now);
            (matches!(sealed, Sealed::Data), sealed)
        });
        match sealed {
            Sealed::Data => {
                self.traffic.sent += u64::try_from(packet.len()).unwrap_or_default();
                Verdict::Sent
            }
            Sealed::NoSession {
                is_kept,
                initiation,
            } => {
                if let Some(message) = initiation {
                    self.send_message(&message[..], cx);
                    self.is_dirty = true;
                }
                if is_kept {
                    Verdict::Buffered
                } else {
                    Verdict::Dropped(DropReason::NoSession)
                }
            }
        }
    }

    fn open(&mut self, arrival: Arrival<'_>, plain: &mut [u8], cx: &mut Context<'_>) -> Received {
        let from = arrival.source.ip();
        let received = match self.session.open(from, arrival.message, plain, cx.now) {
            Opened::Packet(len) if len > MTU => return Received::Dropped(DropReason::TooLarge),
            Opened::Packet(len) => {
                ip_packet::propagate_congestion(arrival.ecn, &mut plain[..len]);
                self.traffic.received += u64::try_from(len).unwrap_or_default();
                self.wake(cx.now);
                let peer = self.origin.peer;
                Received::Packet { peer, len }
            }
            Opened::Reply(len) => {
                let mut reply = [0; MAX_HANDSHAKE];
                let len = len.min(MAX_HANDSHAKE);
                reply[..len].copy_from_slice(&plain[..len]);
                self.send_message(&reply[..len], cx);
                self.is_dirty = true;
                Received::Consumed
            }
            Opened::Done => Received::Consumed,
            Opened::Dropped(reason) => return Received::Dropped(reason),
        };
        self.on_authenticated(cx.now);
        self.follow_up(cx);
        received
    }

    /// A message was authentic: sends what waited for the session.
    fn follow_up(&mut self, cx: &mut Context<'_>) {
        if self.session.is_established() && !self.packets.is_empty() {
            self.flush_packets(cx);
        }
        let mut scratch = [0; MAX_UDP_PAYLOAD + MAX_HANDSHAKE];
        while let Some(length) = self.session.poll_waiting(&mut scratch) {
            self.send_message(&scratch[..length], cx);
        }
        if self.session.is_established() && !self.is_announced {
            self.is_dirty = true;
        }
    }

    /// Whether the owner has yet to be told that the session is there.
    pub(crate) fn take_established(&mut self) -> bool {
        let is_new = self.session.is_established() && !self.is_announced;
        self.is_announced |= is_new;
        is_new
    }
}
