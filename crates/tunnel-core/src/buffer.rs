//! Packets that wait for an authorization or a translation. spec: data-plane 11

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

    pub(crate) fn push(&mut self, packet: &IpPacket<&[u8]>) {
        let bytes = packet.bytes();
        if let Some(copy) = self
            .packets
            .iter_mut()
            .find(|kept| is_repetition(kept, packet))
        {
            *copy = bytes.into();
            return;
        }
        if self.packets.len() == self.capacity {
            self.packets.pop_front();
        }
        self.packets.push_back(bytes.into());
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

    fn push(buffer: &mut PacketBuffer, bytes: &[u8]) {
        buffer.push(&IpPacket::parse(bytes).unwrap());
    }

    #[test]
    fn copies_are_kept_once_and_the_oldest_gives_way() {
        let packets: Vec<Vec<u8>> = (0..4)
            .map(|n| udp("10.0.0.1:1", "10.0.0.2:2", &[n]))
            .collect();
        let mut buffer = PacketBuffer::new(3);
        for packet in packets.iter().chain(&packets[1..]) {
            push(&mut buffer, packet);
        }
        assert_eq!(buffered(buffer), packets[1..]);
    }

    #[test]
    fn a_repeated_syn_replaces_the_first() {
        let first = syn("10.0.0.1:1", "10.0.0.2:2", 77);
        let mut again = first.clone();
        again[4] = 9;
        let other = syn("10.0.0.1:1", "10.0.0.2:2", 78);
        let mut buffer = PacketBuffer::new(3);
        for packet in [&first, &other, &again] {
            push(&mut buffer, packet);
        }
        assert_eq!(buffered(buffer), [again, other]);
    }
}
