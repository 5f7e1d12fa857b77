//! Whole sessions behind NATs and over links of all kinds.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ip_packet::emit_udp;
use netem::NatConfig;
use netsim::{World, WorldConfig};
use std::time::Duration;

const HELLO: &str = "100.64.0.7:4000";

fn udp(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; model::limits::MTU];
    let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
    let length = emit_udp(&mut bytes, from, to, payload).unwrap();
    bytes.truncate(length);
    bytes
}

/// Sends to the address resource and waits until it arrives.
fn reach(world: &mut World, payload: &[u8]) -> bool {
    let packet = udp(HELLO, "10.20.0.1:80", payload);
    world.send(&packet);
    world.run_until(Duration::from_secs(2), |world| {
        world.arrived.last() == Some(&packet)
    })
}

#[test]
fn sessions_are_direct_or_relayed_as_the_nats_of_both_sides_have_it() {
    let kinds = [
        None,
        Some(NatConfig::FULL_CONE),
        Some(NatConfig::ADDRESS_RESTRICTED),
        Some(NatConfig::PORT_RESTRICTED),
        Some(NatConfig::SYMMETRIC),
    ];
    // Client by row, gateway by column: direct or relayed.
    let expected = ["ddddd", "ddddd", "ddddd", "ddddr", "dddrr"];
    for (client_nat, row) in kinds.into_iter().zip(expected) {
        for (gateway_nat, expected) in kinds.into_iter().zip(row.chars()) {
            let mut world = World::new(WorldConfig {
                client_nat,
                gateway_nat,
                ..WorldConfig::default()
            });
            world.run_until_ready();
            let case = format!("{client_nat:?} to {gateway_nat:?}");
            assert!(reach(&mut world, b"first"), "{case}");
            world.run_for(Duration::from_secs(2));
            let before = world.path;
            assert!(reach(&mut world, b"second"), "{case}");
            let is_relayed = world.path.relayed > before.relayed;
            assert_eq!(is_relayed, expected == 'r', "{case}");
        }
    }
}

#[cfg(feature = "__virtual-time")]
mod virtual_time {
    use super::*;
    use netem::{Bound, LinkConfig, Loss, Reorder, Share};
    use std::collections::BTreeSet;

    /// Uplinks of client, gateway and relay: what they are, and how many packets of a hundred reach the
    /// resource over the one hop between client and gateway.
    fn uplinks() -> [(&'static str, LinkConfig, [usize; 2]); 4] {
        let hop = LinkConfig::delay(WorldConfig::DELAY);
        let bursts = Loss::Bursts {
            enter: Share::percent(2),
            leave: Share::percent(25),
            in_good: Share::NONE,
            in_bad: Share::ALL,
        };
        let reorder = Reorder {
            share: Share::percent(20),
            by: Duration::from_millis(25),
        };
        [
            (
                "bursts of loss",
                LinkConfig {
                    loss: bursts,
                    ..hop
                },
                [85, 98],
            ),
            ("reordering", LinkConfig { reorder, ..hop }, [100, 100]),
            (
                "duplication",
                LinkConfig {
                    duplicate: Share::percent(30),
                    ..hop
                },
                [100, 100],
            ),
            (
                // Less than what is sent: packets of 132 bytes every 2 ms are 500,000 bits a second.
                "a small queue at a low rate",
                LinkConfig {
                    rate: Some(400_000),
                    queue: Bound::Bytes(1500),
                    ..hop
                },
                [60, 90],
            ),
        ]
    }

    #[test]
    fn packets_arrive_once_or_not_at_all_over_links_of_every_kind() {
        for (name, uplink, [least, most]) in uplinks() {
            let mut world = World::new(WorldConfig {
                uplink,
                ..WorldConfig::behind(Some(NatConfig::PORT_RESTRICTED))
            });
            world.run_until_ready();
            let is_reached = (0..10).any(|n| reach(&mut world, &[n]));
            assert!(is_reached, "{name}");
            let before = world.arrived.len();
            for n in 0..1000_u16 {
                let payload = [&n.to_be_bytes()[..], &[0; 42]].concat();
                world.send(&udp(HELLO, "10.20.0.1:80", &payload));
                world.run_for(Duration::from_millis(2));
            }
            world.run_for(Duration::from_secs(1));
            let arrived = &world.arrived[before..];
            let distinct: BTreeSet<_> = arrived.iter().collect();
            assert_eq!(
                distinct.len(),
                arrived.len(),
                "{name}: something came twice"
            );
            let percent = distinct.len() / 10;
            assert!((least..=most).contains(&percent), "{name}: {percent}");
            assert!((0..10).any(|n| reach(&mut world, &[100 + n])), "{name}");
        }
    }
}
