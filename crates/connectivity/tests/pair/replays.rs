//! What somebody can do who has seen datagrams of ours and has no key: integrity says who made a
//! check, and nothing about where it comes from or when.

use crate::{
    cost::{self, Cost},
    lab::{Lab, Landed, Side},
};
use connectivity::{DropReason, Received};
use std::net::SocketAddr;

/// The largest number of sources that are let in before they have proven anything.
const PLACES: usize = 8;

/// The last datagram at an end that begins like this.
pub(crate) fn heard(lab: &mut Lab, side: Side, begin: &[u8]) -> Landed {
    let mut arrived = lab.node(side).arrived.iter().rev();
    let found = arrived.find(|landed| landed.payload.starts_with(begin));
    found.expect("it has arrived before").clone()
}

/// A connectivity check that the other end sent.
pub(crate) fn check(lab: &mut Lab, side: Side) -> Landed {
    heard(lab, side, &[0, 1])
}

/// Somewhere that nobody has to do with.
pub(crate) fn stranger(n: u32) -> SocketAddr {
    let [a, b, c, d] = n.to_be_bytes();
    SocketAddr::from(([10, b, c, d], 1024 + u16::from(a)))
}

fn connected() -> Lab {
    let mut lab = Lab::direct();
    lab.connect();
    lab.deliver_all();
    lab
}

#[test]
fn replays_from_thirty_thousand_sources_leave_nothing_behind() {
    for side in Side::BOTH {
        let mut lab = connected();
        let recorded = check(&mut lab, side);
        let (mut first, mut rest, mut worst) = (Cost::default(), Cost::default(), Cost::default());
        for n in 0..30_000 {
            let remote = stranger(n);
            let landed = Landed {
                remote,
                ..recorded.clone()
            };
            let (_, cost) = cost::of(&mut lab, side, &landed);
            worst = worst.max(cost);
            if n < 100 {
                first += cost;
            } else {
                rest += cost;
            }
        }
        assert!(first.kept < 64 * 1024, "{side:?}: {first:?}");
        assert!(rest.kept <= 0, "{side:?}: {rest:?}");
        assert!(worst.datagrams <= 2, "{side:?}: {worst:?}");
        assert!(worst.allocations < 200, "{side:?}: {worst:?}");
        lab.ping();
    }
}

#[test]
fn who_has_no_place_gets_one_check_and_no_answer() {
    let mut lab = connected();
    let recorded = check(&mut lab, Side::Gateway);
    for n in 0..20 {
        let remote = stranger(n);
        let landed = Landed {
            remote,
            ..recorded.clone()
        };
        let (received, cost) = cost::of(&mut lab, Side::Gateway, &landed);
        if n < u32::try_from(PLACES).expect("few") {
            assert_eq!(received, Received::Consumed, "{n}");
            assert_eq!(cost.datagrams, 2, "{n}: an answer and a check");
        } else {
            let unproven = Received::Dropped(DropReason::UnprovenSource);
            assert_eq!(received, unproven, "{n}");
            assert_eq!((cost.datagrams, cost.answers), (1, 1), "{n}");
            assert!(cost.bytes <= recorded.payload.len(), "{n}: {cost:?}");
        }
    }
}

#[test]
fn checks_without_integrity_draw_nothing_and_keep_nothing() {
    for side in Side::BOTH {
        let mut lab = connected();
        let recorded = check(&mut lab, side);
        let mut total = Cost::default();
        for n in 0..1000 {
            let mut landed = recorded.clone();
            landed.remote = stranger(n);
            // Inside MESSAGE-INTEGRITY, which is followed by FINGERPRINT.
            let at = landed.payload.len() - 9;
            landed.payload[at] ^= 1;
            let (received, cost) = cost::of(&mut lab, side, &landed);
            assert_eq!(received, Received::Dropped(DropReason::UnknownCheck));
            total += cost;
        }
        assert_eq!((total.datagrams, total.kept), (0, 0), "{side:?}: {total:?}");
    }
}

#[test]
fn an_answer_counts_once_and_from_where_it_was_asked_for() {
    for side in Side::BOTH {
        let mut lab = connected();
        let answer = heard(&mut lab, side, &[1, 1, 0]);
        let mut total = Cost::default();
        for n in 0..1000 {
            let elsewhere = Received::Dropped(DropReason::UnknownCheck);
            let expected = [
                (stranger(n), elsewhere),
                (answer.remote, Received::Consumed),
            ];
            for (remote, expected) in expected {
                let landed = Landed {
                    remote,
                    ..answer.clone()
                };
                let (received, cost) = cost::of(&mut lab, side, &landed);
                assert_eq!(received, expected, "{side:?}, {n}");
                total += cost;
            }
        }
        assert_eq!((total.datagrams, total.kept), (0, 0), "{side:?}: {total:?}");
    }
}

#[cfg(feature = "__virtual-time")]
mod in_time;
