//! How long the first packet takes. Latency of set-up is what users feel of all this.

use crate::lab::{Lab, Side, ipv4_packet};
use netem::LinkConfig;
use std::time::Duration;

/// Time from the client's authorization until its first packet reaches the gateway, and until the answer is back.
fn first_packet(mut lab: Lab, hop: u64, signalling: u64) -> (Duration, Duration) {
    lab.set_hops(LinkConfig::delay(Duration::from_millis(hop)));
    lab.set_signalling(Duration::from_millis(signalling));
    lab.start_relays();
    lab.run_for(Duration::from_secs(1));
    lab.upsert(Side::Gateway);
    // The portal tells the client once the gateway has agreed, just before it passes candidates on.
    lab.run_for(Duration::from_millis(signalling) - Duration::from_micros(1));
    let start = lab.now;
    lab.upsert(Side::Client);
    lab.send(Side::Client, &ipv4_packet(b"hello"));
    lab.run_until(Duration::from_secs(5), |lab| {
        !lab.node(Side::Gateway).inbox.is_empty()
    });
    let there = lab.now - start;
    lab.send(Side::Gateway, &ipv4_packet(b"welcome"));
    lab.run_until(Duration::from_secs(5), |lab| {
        !lab.node(Side::Client).inbox.is_empty()
    });
    (there, lab.now - start)
}

/// Hops between the two ends.
const DIRECT: u32 = 1;
const RELAYED: u32 = 3;

#[test]
fn setup_takes_a_check_a_handshake_and_nothing_else() {
    for (lab, hops) in [
        (Lab::direct as fn() -> Lab, DIRECT),
        (Lab::relayed, RELAYED),
    ] {
        for hop in [0, 1, 10, 20, 80] {
            for signalling in [1, 10, 40] {
                let (there, back) = first_packet(lab(), hop, signalling);
                // Our candidates have to reach the gateway before anything gets through; then a
                // check and a handshake go there and back, and the packet goes there. A check that
                // came too early is repeated within 20 ms.
                let one_way = hops * Duration::from_millis(hop);
                let slack = Duration::from_millis(signalling + 20);
                assert!(
                    there <= 5 * one_way + slack,
                    "{hops} {hop} {signalling}: {there:?}"
                );
                assert!(
                    back <= 6 * one_way + slack,
                    "{hops} {hop} {signalling}: {back:?}"
                );
            }
        }
    }
}

#[test]
fn relayed_first_packet_needs_no_retransmission() {
    let (there, _) = first_packet(Lab::relayed(), 0, 1);
    assert!(there <= Duration::from_millis(30), "{there:?}");
}
