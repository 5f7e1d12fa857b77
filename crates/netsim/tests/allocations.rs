//! The packet path of a client allocates no memory once a path is there.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use connectivity::Ecn;
use ip_packet::emit_udp;
use netsim::{World, WorldConfig};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Duration,
};
use tunnel_core::{Datagram, Output, Received};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: Every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: The caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: The contract is that of the trait.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: The caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn udp(from: &str, to: &str) -> Vec<u8> {
    let mut bytes = vec![0; model::limits::MTU];
    let payload = [7; 1000];
    let length = emit_udp(
        &mut bytes,
        from.parse().unwrap(),
        to.parse().unwrap(),
        &payload,
    );
    bytes.truncate(length.unwrap());
    bytes
}

/// Moves batches of packets both ways and counts what the client allocates meanwhile.
fn steady_state() -> (u64, u64) {
    let mut world = World::new(WorldConfig::default());
    world.run_until_ready();
    let up = udp("100.64.0.7:4000", "10.20.0.1:80");
    let down = udp("10.20.0.1:80", "100.64.0.7:4000");
    world.send(&up);
    assert!(world.run_until(Duration::from_secs(2), |world| !world.arrived.is_empty()));
    world.run_for(Duration::from_secs(1));

    // The path of the client's datagrams is where the gateway's come from, too.
    let mut counts = (0, 0);
    for round in 0..20 {
        let now = world.now;
        let tunnel = &mut world.tunnel;
        let up_count = allocations(|| {
            for _ in 0..100 {
                tunnel.handle_tun(&up, now);
            }
            while let Output::Send(transmit) = tunnel.poll() {
                tunnel.recycle(transmit);
            }
        });
        let mut datagrams = vec![];
        for _ in 0..100 {
            world.gateway.handle_tun(&mut down.clone(), now);
        }
        while let devnet::gateway::Output::Send(transmit) = world.gateway.poll() {
            let to = transmit.destination;
            datagrams.extend(transmit.segments().map(|segment| (to, segment.to_vec())));
            world.gateway.recycle(transmit);
        }
        let mut plain = vec![0; model::limits::MAX_UDP_PAYLOAD];
        let mut delivered = 0;
        let down_count = allocations(|| {
            for (_, payload) in &datagrams {
                let datagram = Datagram {
                    local: "10.1.0.2:52625".parse().unwrap(),
                    remote: "10.2.0.2:52625".parse().unwrap(),
                    ecn: Ecn::NotEct,
                    payload,
                };
                if let Received::Deliver(_) = world.tunnel.handle_udp(datagram, &mut plain, now) {
                    delivered += 1;
                }
            }
        });
        assert_eq!(delivered, 100);
        // The first rounds fill pools.
        if round > 2 {
            counts = (counts.0 + up_count, counts.1 + down_count);
        }
    }
    counts
}

#[test]
fn packets_of_a_flow_allocate_nothing() {
    assert_eq!(steady_state(), (0, 0));
}
