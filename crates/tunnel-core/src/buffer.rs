//! Packets that wait for an authorization or a translation. spec: data-plane 11

use crate::drop_reason::DropReason;
use ip_packet::IpPacket;
use std::{collections::VecDeque, net::IpAddr};

/// A bounded queue that keeps one copy of every packet; when full the oldest one goes.
///
/// A retransmitted SYN takes the place of its earlier copy.
#[derive(Debug)]
pub(crate) struct PacketBuffer {
    packets: VecDeque<Box<[u8]>>,
    capacity: usize,
}

impl PacketBuffer {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            packets: VecDeque::new(),
            capacity,
        }
    }

    /// Keeps a packet; returns why another one had to go for it, if one had to.
    #[must_use = "dropped packets are counted"]
    pub(crate) fn push(&mut self, packet: &IpPacket<&[u8]>) -> Option<DropReason> {
        let bytes = packet.bytes();
        if let Some(copy) = self
            .packets
            .iter_mut()
            .find(|kept| is_repetition(kept, packet))
        {
            *copy = bytes.into();
            return Some(DropReason::Duplicate);
        }
        let mut displaced = None;
        if self.packets.len() == self.capacity {
            displaced = self.packets.pop_front().map(|_| DropReason::BufferFull);
        }
        self.packets.push_back(bytes.into());
        displaced
    }

    /// How many packets wait.
    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// The packets in the order of their arrival.
    pub(crate) fn into_packets(self) -> impl Iterator<Item = Box<[u8]>> {
        self.packets.into_iter()
    }
}

fn is_repetition(kept: &[u8], packet: &IpPacket<&[u8]>) -> bool {
    if kept == packet.bytes() {
        return true;
    }
    let Some(sequence) = packet.tcp_syn_sequence() else {
        return false;
    };
    IpPacket::parse(kept).is_ok_and(|kept| {
        kept.tcp_syn_sequence() == Some(sequence) && connection(&kept) == connection(packet)
    })
}

fn connection(packet: &IpPacket<&[u8]>) -> (IpAddr, IpAddr, ip_packet::Transport) {
    (packet.source(), packet.destination(), packet.transport())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{syn, udp};

    fn buffered(buffer: PacketBuffer) -> Vec<Vec<u8>> {
        buffer.into_packets().map(Vec::from).collect()
    }

    fn push(buffer: &mut PacketBuffer, bytes: &[u8]) -> Option<DropReason> {
        buffer.push(&IpPacket::parse(bytes).unwrap())
    }

    #[test]
    fn copies_are_kept_once_and_the_oldest_gives_way() {
        let packets: Vec<Vec<u8>> = (0..4)
            .map(|n| udp("10.0.0.1:1", "10.0.0.2:2", &[n]))
            .collect();
        let mut buffer = PacketBuffer::new(3);
        let displaced = packets.iter().chain(&packets[1..]);
        let displaced: Vec<_> = displaced.map(|packet| push(&mut buffer, packet)).collect();
        let (full, duplicate) = (Some(DropReason::BufferFull), Some(DropReason::Duplicate));
        let expected = [None, None, None, full, duplicate, duplicate, duplicate];
        assert_eq!(displaced, expected);
        assert_eq!(buffer.len(), 3);
        assert_eq!(buffered(buffer), packets[1..]);
    }

    #[test]
    fn a_repeated_syn_replaces_the_first() {
        let first = syn("10.0.0.1:1", "10.0.0.2:2", 77);
        let mut again = first.clone();
        again[4] = 9;
        let other = syn("10.0.0.1:1", "10.0.0.2:2", 78);
        let mut buffer = PacketBuffer::new(3);
        let displaced = [&first, &other, &again].map(|packet| push(&mut buffer, packet));
        assert_eq!(displaced, [None, None, Some(DropReason::Duplicate)]);
        assert_eq!(buffered(buffer), [again, other]);
    }
}
