//! Nothing is allocated for a packet once a path is there, in either direction, on either path.

use crate::{
    lab::{Lab, Landed, Side, ipv4_packet},
    memory::allocations,
};
use connectivity::{Connectivity, Datagram, Ecn, Output, Received, Verdict};
use model::limits::{MTU, TAG};
use std::{net::SocketAddr, time::Instant};

const COUNT: usize = 30;

/// Sends one batch of packets and returns the allocations that took; the datagrams go to `wire`.
fn send_batch(
    lab: &mut Lab,
    side: Side,
    packet: &[u8],
    wire: &mut Vec<(SocketAddr, Vec<u8>)>,
) -> u64 {
    let now = lab.now;
    let node = &mut lab.node(side).connectivity;
    let mut batches = Vec::with_capacity(COUNT);
    let before = allocations();
    for _ in 0..COUNT {
        assert_eq!(node.send(side.peer(), packet, now), Verdict::Sent);
    }
    while let Output::Send(transmit) = node.poll() {
        batches.push(transmit);
    }
    let mut count = allocations() - before;
    for transmit in batches {
        let segments = transmit
            .segments()
            .map(|segment| (transmit.destination, segment.to_vec()));
        wire.extend(segments);
        let before = allocations();
        node.recycle(transmit);
        count += allocations() - before;
    }
    count
}

/// Hands a datagram to its destination and returns the allocations that took.
fn receive(node: &mut Connectivity, landed: &Landed, plain: &mut [u8], now: Instant) -> u64 {
    let before = allocations();
    let datagram = Datagram {
        local: landed.local,
        remote: landed.remote,
        ecn: Ecn::NotEct,
        payload: &landed.payload,
    };
    let received = node.handle_datagram(datagram, plain, now);
    assert!(matches!(received, Received::Packet { .. }), "{received:?}");
    assert!(matches!(node.poll(), Output::Idle(_)));
    allocations() - before
}

fn assert_steady_state_allocates_nothing(mut lab: Lab) {
    lab.connect();
    lab.deliver_all();
    let mut plain = [0; MTU + TAG];
    for (side, size) in [Side::Client, Side::Gateway]
        .into_iter()
        .flat_map(|side| [40, 600, MTU].map(|size| (side, size)))
    {
        let packet = ipv4_packet(&vec![7; size - 20]);
        // The first round fills the pool.
        for round in 0..3 {
            let mut wire = Vec::new();
            let mut count = send_batch(&mut lab, side, &packet, &mut wire);
            assert_eq!(wire.len(), COUNT);
            for (to, datagram) in wire {
                let landed = lab.carry(side, to, &datagram);
                let now = lab.now;
                let other = &mut lab.node(side.other()).connectivity;
                count += receive(other, &landed, &mut plain, now);
            }
            assert!(round == 0 || count == 0, "{side:?} {size} bytes: {count}");
        }
    }
}

#[test]
fn direct_packets_allocate_nothing() {
    assert_steady_state_allocates_nothing(Lab::direct());
}

#[test]
fn relayed_packets_allocate_nothing() {
    assert_steady_state_allocates_nothing(Lab::relayed());
}
