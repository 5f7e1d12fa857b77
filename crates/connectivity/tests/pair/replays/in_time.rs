//! What replays draw and hinder while time passes.

use super::{check, stranger};
use crate::{
    lab::{Lab, Landed, Side, ipv4_packet},
    relay::TestRelay,
};
use connectivity::PathKind;
use netem::NatConfig;
use std::{net::SocketAddr, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

/// The role of this end, as somebody sees it from outside: nothing translates its addresses.
fn open(side: Side) -> Lab {
    let nats = match side {
        Side::Client => [None, Some(NatConfig::SYMMETRIC)],
        Side::Gateway => [Some(NatConfig::SYMMETRIC), None],
    };
    let mut lab = Lab::behind(nats, vec![TestRelay::new(1), TestRelay::new(2)]);
    lab.connect();
    lab.run_for(2 * SECOND);
    assert_eq!(lab.path(side), Some(PathKind::PeerToPeer));
    lab
}

fn is_relay(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V4(address) if address.ip().octets()[..3] == [198, 51, 100])
}

/// Packets flow both ways; whether all arrived.
fn chatter(lab: &mut Lab) -> bool {
    let inboxes = |lab: &mut Lab| Side::BOTH.map(|side| lab.node(side).inbox.len());
    let before = inboxes(lab);
    for side in Side::BOTH {
        lab.send(side, &ipv4_packet(b"chatter"));
    }
    lab.run_for(Duration::from_millis(50));
    inboxes(lab) == before.map(|n| n + 1)
}

/// Replays a check to this end, each time from another source.
struct Flood {
    recorded: Landed,
    next: u32,
}

impl Flood {
    fn replay(&mut self, lab: &mut Lab, side: Side, times: u32) {
        for _ in 0..times {
            let landed = Landed {
                remote: stranger(self.next),
                ..self.recorded.clone()
            };
            self.next += 1;
            lab.hand_over(side, &landed);
        }
    }
}

#[test]
fn a_source_that_never_answers_gets_at_most_three_times_what_it_sent() {
    for side in Side::BOTH {
        for replays in [1, 2, 5] {
            let mut lab = open(side);
            let recorded = check(&mut lab, side);
            let victim = stranger(7);
            let landed = Landed {
                remote: victim,
                ..recorded
            };
            lab.watch(victim);
            for _ in 0..replays {
                lab.hand_over(side, &landed);
                lab.run_for(Duration::from_millis(300));
            }
            for _ in 0..120 {
                chatter(&mut lab);
                lab.run_for(Duration::from_millis(450));
            }
            let (datagrams, bytes) = (
                lab.drawn.len(),
                lab.drawn.iter().map(Vec::len).sum::<usize>(),
            );
            assert!(datagrams > 0, "{side:?}");
            assert!(datagrams <= 3 * replays, "{side:?}: {datagrams} datagrams");
            let sent = landed.payload.len() * replays;
            assert!(bytes <= 3 * sent, "{side:?}: {bytes} bytes");
        }
    }
}

/// How long until checks are answered of an end that is somewhere else all of a sudden, without any way
/// but the direct one; after so many replays, and during so many every 50 ms.
fn let_in_after(side: Side, before: u32, meanwhile: u32) -> Duration {
    let mut lab = open(side);
    lab.cut(|from, to| is_relay(from) || is_relay(to));
    let mut flood = Flood {
        recorded: check(&mut lab, side),
        next: 0,
    };
    flood.replay(&mut lab, side, before);
    assert!(chatter(&mut lab), "a flood alone hinders nothing");
    lab.run_for(SECOND);
    let was_at = check(&mut lab, side).remote;
    lab.forget_mappings(side.other());
    let (start, heard) = (lab.now, lab.node(side.other()).arrived.len());
    let is_let_in = |lab: &mut Lab| {
        let arrived = &lab.node(side.other()).arrived[heard..];
        arrived.iter().any(|it| it.payload.starts_with(&[1, 1]))
    };
    while !is_let_in(&mut lab) {
        flood.replay(&mut lab, side, meanwhile);
        chatter(&mut lab);
        assert!(lab.now - start < 10 * SECOND, "{side:?} is kept out");
    }
    assert_ne!(check(&mut lab, side).remote, was_at, "it is elsewhere");
    lab.now - start
}

#[test]
fn a_peer_that_roams_gets_in_during_and_after_a_flood_within_three_seconds() {
    for side in Side::BOTH {
        for (before, meanwhile) in [(0, 0), (1000, 0), (0, 50), (1000, 50)] {
            let took = let_in_after(side, before, meanwhile);
            assert!(took <= 3 * SECOND, "{side:?}: {took:?}");
        }
    }
}

#[test]
fn a_replayed_nomination_moves_no_path() {
    let mut lab = open(Side::Gateway);
    // USE-CANDIDATE, an attribute without a value.
    let is_nomination = |landed: &&Landed| {
        let mut words = landed.payload.chunks(4);
        landed.payload.starts_with(&[0, 1]) && words.any(|word| word == [0, 0x25, 0, 0])
    };
    let arrived = lab.node(Side::Gateway).arrived.iter().rev();
    let recorded = arrived
        .clone()
        .find(is_nomination)
        .expect("one nominated")
        .clone();
    let attacker = SocketAddr::from(([192, 0, 2, 66], 6666));
    lab.watch(attacker);
    for _ in 0..20 {
        // A nomination, and what was sent to the attacker, sent back.
        let replayed = Landed {
            remote: attacker,
            ..recorded.clone()
        };
        let returned = lab.drawn.last().map(|drawn| Landed {
            payload: drawn.clone(),
            ..replayed.clone()
        });
        for landed in [Some(replayed), returned].into_iter().flatten() {
            lab.hand_over(Side::Gateway, &landed);
        }
        assert!(chatter(&mut lab));
        lab.run_for(SECOND);
    }
    assert!(!lab.drawn.is_empty(), "it was answered");
    let is_stun = |drawn: &Vec<u8>| drawn[0] <= 1 && drawn[4..8] == [0x21, 0x12, 0xa4, 0x42];
    assert!(lab.drawn.iter().all(is_stun), "no packet went there");
}
