//! Packets that wait for somebody: the portal, a relay, or the answer of a gateway.
//! spec: data-plane 11, 14

use crate::drop_reason::DropReason;
use ip_packet::IpPacket;
use model::DropCounters;
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

/// What all packets that wait may take, in bytes.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What a packet costs beside its own bytes, at most: its places in the queue and in the order, the
/// queue itself if it is alone there, and what the allocator adds.
const OVERHEAD: usize = 320;

/// How long a packet waits. A program that still wants an answer has said so again by then.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(10);

/// Names a queue; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueueId(u64);

#[derive(Debug)]
struct Held {
    number: u64,
    bytes: Box<[u8]>,
}

/// All packets that wait, in queues of those that wait for the same thing.
///
/// One bound and one time limit hold for all of them: whatever they wait for, the oldest one goes
/// first. What goes without being taken is counted here.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Those with packets.
    queues: BTreeMap<QueueId, VecDeque<Held>>,
    /// By arrival: where each packet is, and when it came.
    order: BTreeMap<u64, (QueueId, Instant)>,
    bytes: usize,
    next_queue: u64,
    next_packet: u64,
    drops: DropCounters<DropReason>,
}

impl Waiting {
    /// A queue of its own; costs nothing while it is empty.
    pub(crate) fn new_queue(&mut self) -> QueueId {
        self.next_queue += 1;
        QueueId(self.next_queue)
    }

    /// Keeps a copy of a packet; the oldest of its queue goes if there are `capacity` packets.
    ///
    /// Of packets that are the same to the byte, and of repeated SYNs, the latest one is kept.
    pub(crate) fn push(
        &mut self,
        id: QueueId,
        packet: &IpPacket<&[u8]>,
        capacity: usize,
        now: Instant,
    ) {
        let queue = self.queues.entry(id).or_default();
        let earlier = queue.iter().find(|held| is_repetition(&held.bytes, packet));
        if let Some(number) = earlier.map(|held| held.number) {
            self.discard_one(number, DropReason::Duplicate);
        } else if queue.len() >= capacity
            && let Some(number) = queue.front().map(|oldest| oldest.number)
        {
            self.discard_one(number, DropReason::BufferFull);
        }
        let bytes: Box<[u8]> = packet.bytes().into();
        while self.bytes + cost(&bytes) > MAX_BYTES
            && let Some((&oldest, _)) = self.order.first_key_value()
        {
            self.discard_one(oldest, DropReason::BufferFull);
        }
        let number = self.next_packet;
        self.next_packet += 1;
        self.bytes += cost(&bytes);
        self.order.insert(number, (id, now));
        let queue = self.queues.entry(id).or_default();
        queue.push_back(Held { number, bytes });
    }

    /// Takes out the packets of a queue in the order of their arrival.
    pub(crate) fn take(&mut self, id: QueueId) -> impl Iterator<Item = Box<[u8]>> + use<> {
        let queue = self.queues.remove(&id).unwrap_or_default();
        for held in &queue {
            self.order.remove(&held.number);
            self.bytes -= cost(&held.bytes);
        }
        queue.into_iter().map(|held| held.bytes)
    }

    /// Drops the packets of a queue.
    pub(crate) fn discard(&mut self, id: QueueId, reason: DropReason) {
        let count = self.take(id).count();
        self.drops.add(reason, count);
    }

    /// Drops all packets.
    pub(crate) fn clear(&mut self, reason: DropReason) {
        self.drops.add(reason, self.order.len());
        self.queues.clear();
        self.order.clear();
        self.bytes = 0;
    }

    /// Drops what has waited for too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((&oldest, &(_, since))) = self.order.first_key_value()
            && since + MAX_WAIT <= now
        {
            self.discard_one(oldest, DropReason::Unanswered);
        }
    }

    /// When the oldest packet has waited for too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (_, (_, since)) = self.order.first_key_value()?;
        Some(*since + MAX_WAIT)
    }

    /// How many packets were dropped here, by reason.
    pub(crate) fn drops(&self) -> &DropCounters<DropReason> {
        &self.drops
    }

    /// How many packets wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// What they take, in bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn discard_one(&mut self, number: u64, reason: DropReason) {
        let Some((id, _)) = self.order.remove(&number) else {
            return;
        };
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let at = queue.binary_search_by_key(&number, |held| held.number);
        if let Some(held) = at.ok().and_then(|at| queue.remove(at)) {
            self.bytes -= cost(&held.bytes);
            self.drops.count(reason);
        }
        if queue.is_empty() {
            self.queues.remove(&id);
        }
    }
}

/// What a packet takes, in bytes.
fn cost(bytes: &[u8]) -> usize {
    bytes.len() + OVERHEAD
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
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn push(waiting: &mut Waiting, queue: QueueId, bytes: &[u8], capacity: usize) {
        let packet = IpPacket::parse(bytes).unwrap();
        waiting.push(queue, &packet, capacity, Instant::now());
    }

    fn numbered(n: u8) -> Vec<u8> {
        udp("10.0.0.1:1", "10.0.0.2:2", &[n])
    }

    #[test]
    fn copies_are_kept_once_and_the_oldest_of_a_full_queue_gives_way() {
        let mut waiting = Waiting::default();
        let (queue, other) = (waiting.new_queue(), waiting.new_queue());
        push(&mut waiting, other, &numbered(9), 3);
        for n in [0, 1, 2, 3, 1] {
            push(&mut waiting, queue, &numbered(n), 3);
        }
        assert_eq!(waiting.len(), 4);
        assert_eq!(waiting.drops().get(DropReason::BufferFull), 1);
        assert_eq!(waiting.drops().get(DropReason::Duplicate), 1);
        let taken: Vec<Vec<u8>> = waiting.take(queue).map(Vec::from).collect();
        assert_eq!(taken, [2, 3, 1].map(numbered));
        assert_eq!(waiting.take(queue).count(), 0);
        assert_eq!(waiting.take(other).count(), 1);
        assert_eq!((waiting.bytes(), waiting.deadline()), (0, None));
        assert!(waiting.queues.is_empty() && waiting.order.is_empty());
    }

    #[test]
    fn a_repeated_syn_replaces_the_first() {
        let first = syn("10.0.0.1:1", "10.0.0.2:2", 77);
        let mut again = first.clone();
        again[4] = 9;
        let others = [
            syn("10.0.0.1:1", "10.0.0.2:2", 78),
            syn("10.0.0.1:3", "10.0.0.2:2", 77),
            syn("10.0.0.1:1", "10.0.0.3:2", 77),
        ];
        let mut waiting = Waiting::default();
        let queue = waiting.new_queue();
        for packet in [&first].into_iter().chain(&others).chain([&again]) {
            push(&mut waiting, queue, packet, 9);
        }
        assert_eq!(waiting.drops().get(DropReason::Duplicate), 1);
        let taken: Vec<Vec<u8>> = waiting.take(queue).map(Vec::from).collect();
        assert_eq!(taken[..3], others);
        assert_eq!(taken[3..], [again]);
    }

    #[test]
    fn the_oldest_of_all_queues_gives_way_when_memory_is_short() {
        let mut waiting = Waiting::default();
        let large = |n: u16| {
            let bytes = [&n.to_be_bytes()[..], &[0; 1000]].concat();
            udp("10.0.0.1:1", "10.0.0.2:2", &bytes)
        };
        let fits = MAX_BYTES / (large(0).len() + OVERHEAD);
        let queues: Vec<QueueId> = (0..fits + 5).map(|_| waiting.new_queue()).collect();
        for (n, queue) in (0..).zip(&queues) {
            push(&mut waiting, *queue, &large(n), 1);
        }
        assert_eq!(waiting.len(), fits);
        assert!(waiting.bytes() <= MAX_BYTES);
        assert_eq!(waiting.drops().get(DropReason::BufferFull), 5);
        assert_eq!(waiting.take(queues[4]).count(), 0);
        assert_eq!(waiting.take(queues[5]).count(), 1);
    }

    #[test]
    fn a_packet_waits_for_ten_seconds_after_its_latest_copy() {
        let start = Instant::now();
        let mut waiting = Waiting::default();
        let queue = waiting.new_queue();
        for (n, seconds) in [(1, 0), (2, 1), (1, 4)] {
            let bytes = numbered(n);
            let packet = IpPacket::parse(&bytes[..]).unwrap();
            waiting.push(queue, &packet, 9, start + Duration::from_secs(seconds));
        }
        let due = start + Duration::from_secs(11);
        assert_eq!(waiting.deadline(), Some(due));
        waiting.expire(due - Duration::from_millis(1));
        assert_eq!(waiting.len(), 2);
        waiting.expire(due);
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting.drops().get(DropReason::Unanswered), 1);
        waiting.expire(start + Duration::from_secs(14));
        assert_eq!((waiting.len(), waiting.bytes()), (0, 0));
    }

    proptest! {
        #[test]
        fn every_packet_is_taken_waits_or_is_counted(
            steps in proptest::collection::vec((0..4_u8, 0..4_usize, 0..6_u8), 0..60),
        ) {
            let mut waiting = Waiting::default();
            let queues: Vec<QueueId> = (0..4).map(|_| waiting.new_queue()).collect();
            prop_assert_eq!(queues.iter().collect::<BTreeSet<_>>().len(), 4);
            let (mut pushed, mut taken) = (0, 0);
            for (step, queue, n) in steps {
                match step {
                    0 => taken += waiting.take(queues[queue]).count(),
                    1 if n == 0 => waiting.discard(queues[queue], DropReason::Revoked),
                    2 if n == 0 => waiting.clear(DropReason::Reset),
                    _ => {
                        pushed += 1;
                        push(&mut waiting, queues[queue], &numbered(n), 3);
                    }
                }
                let dropped = usize::try_from(waiting.drops().total()).unwrap();
                prop_assert_eq!(pushed, taken + waiting.len() + dropped);
                let held: usize = waiting.queues.values().flatten().map(|held| cost(&held.bytes)).sum();
                prop_assert_eq!(waiting.bytes(), held);
                let queued: usize = waiting.queues.values().map(VecDeque::len).sum();
                prop_assert_eq!(waiting.len(), queued);
            }
        }
    }
}
