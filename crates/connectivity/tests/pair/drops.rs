//! Every reason to drop something is met, and counted once.

use crate::{
    lab::{GATEWAY, Lab, Landed, Side, ipv4_packet},
    relay::PORT,
    replays,
};
use connectivity::{DropCounters, DropReason, Received, Verdict};
use model::{Candidate, CandidateKind, PeerId, Reason as _, Seed};
use std::{net::SocketAddr, time::Duration};

/// What somebody made an end drop, as that end's counters should show it.
type Dropped = Vec<DropReason>;

/// A way to make an end drop something for one reason.
struct Case {
    lab: Lab,
    side: Side,
    act: fn(&mut Lab, Side) -> Dropped,
}

fn counters(lab: &mut Lab, side: Side) -> DropCounters<DropReason> {
    lab.node(side).connectivity.counters().clone()
}

/// A direct connection that packets went over in both directions.
fn connected(side: Side, act: fn(&mut Lab, Side) -> Dropped) -> Case {
    let mut lab = Lab::direct();
    lab.connect();
    lab.ping();
    lab.deliver_all();
    Case { lab, side, act }
}

/// Both ends know relays, but nothing of each other's addresses.
fn connecting(side: Side, act: fn(&mut Lab, Side) -> Dropped) -> Case {
    let mut lab = Lab::direct();
    lab.start_relays();
    lab.upsert(side);
    Case { lab, side, act }
}

/// The last datagram at an end that is as described.
fn arrived(lab: &mut Lab, side: Side, is_it: impl Fn(&[u8]) -> bool) -> Landed {
    let arrived = lab.node(side).arrived.iter().rev();
    let mut those = arrived.filter(|landed| is_it(&landed.payload));
    those.next().expect("it has arrived before").clone()
}

fn initiation(lab: &mut Lab, side: Side) -> Landed {
    arrived(lab, side, |bytes| bytes.len() == 148 && bytes[0] == 1)
}

fn data(lab: &mut Lab, side: Side) -> Landed {
    arrived(lab, side, |bytes| bytes.len() > 32 && bytes[0] == 4)
}

/// Hands a datagram over, damaged at one place.
fn damaged(lab: &mut Lab, side: Side, mut landed: Landed, at: usize) -> Dropped {
    landed.payload[at] ^= 1;
    handed(lab, side, &landed)
}

fn handed(lab: &mut Lab, side: Side, landed: &Landed) -> Dropped {
    match lab.hand_over(side, landed) {
        Received::Dropped(reason) => vec![reason],
        other => panic!("{other:?}"),
    }
}

/// Hands over something made up that comes from this address.
fn made_up(lab: &mut Lab, side: Side, remote: SocketAddr, payload: Vec<u8>) -> Dropped {
    let local = arrived(lab, side, |_| true).local;
    let landed = Landed {
        local,
        remote,
        payload,
    };
    handed(lab, side, &landed)
}

fn refused(lab: &mut Lab, side: Side, packet: &[u8]) -> Dropped {
    match lab.send(side, packet) {
        Verdict::Dropped(reason) => vec![reason],
        other => panic!("{other:?}"),
    }
}

/// Has this many packets wait for a path.
fn wait(lab: &mut Lab, side: Side, packets: usize) {
    for _ in 0..packets {
        assert_eq!(lab.send(side, &ipv4_packet(b"wait")), Verdict::Buffered);
    }
}

/// Takes the gateway's share of channels, by candidates that come and go.
fn without_channels() -> Case {
    let mut case = connected(Side::Client, |lab, _| {
        announce(lab, 5000, true);
        // The check from our relayed address, and no other one.
        vec![DropReason::NoChannel]
    });
    for n in 0..32 {
        announce(&mut case.lab, n, true);
        announce(&mut case.lab, n, false);
    }
    case.lab.deliver_all();
    case
}

/// The portal says that the gateway has a relay with this number, or has it no longer.
fn announce(lab: &mut Lab, n: u16, is_there: bool) {
    let candidate = Candidate {
        foundation: "1".to_owned(),
        priority: 1,
        address: SocketAddr::from(([198, 18, 0, 1], 10_000 + n)),
        kind: CandidateKind::Relay,
        base: None,
        ufrag: None,
    };
    if is_there {
        lab.signal(Side::Client, &candidate);
    } else {
        lab.retract(Side::Client, &[candidate]);
    }
}

/// The row of the table for one reason.
fn case(reason: DropReason) -> Case {
    const STRANGER: SocketAddr = SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 66)),
        PORT,
    );
    let (client, gateway) = (Side::Client, Side::Gateway);
    match reason {
        DropReason::BadMac => connected(gateway, |lab, side| {
            let initiation = initiation(lab, side);
            damaged(lab, side, initiation, 120)
        }),
        DropReason::BadHandshake => connected(gateway, |lab, side| {
            let again = initiation(lab, side);
            handed(lab, side, &again)
        }),
        DropReason::BufferFull => connecting(client, |lab, side| {
            wait(lab, side, 128 + 2);
            vec![DropReason::BufferFull; 2]
        }),
        DropReason::ConnectionClosed => connecting(client, |lab, side| {
            wait(lab, side, 3);
            // Nobody answers: the end comes by itself.
            lab.run_for(Duration::from_secs(11));
            assert!(!lab.node(side).connectivity.has_peer(GATEWAY));
            vec![DropReason::ConnectionClosed; 3]
        }),
        DropReason::MalformedInner => connected(client, |lab, side| refused(lab, side, &[])),
        DropReason::NoChannel => without_channels(),
        DropReason::NoSession => connected(client, |lab, side| {
            lab.run_for(Duration::from_secs(200));
            let verdicts = (0..300).map(|_| lab.send(side, &ipv4_packet(b"late")));
            let dropped = verdicts.filter_map(|verdict| match verdict {
                Verdict::Dropped(reason) => Some(reason),
                _ => None,
            });
            let dropped: Dropped = dropped.collect();
            assert_eq!(dropped.len(), 300 - 256);
            dropped
        }),
        DropReason::NotConnected => {
            connecting(gateway, |lab, side| refused(lab, side, &ipv4_packet(b"x")))
        }
        DropReason::RateLimited => connected(gateway, |lab, side| {
            let again = initiation(lab, side);
            let copies = (0..150).flat_map(|_| handed(lab, side, &again));
            copies.collect()
        }),
        DropReason::Replayed => connected(gateway, |lab, side| {
            let again = data(lab, side);
            handed(lab, side, &again)
        }),
        DropReason::Reset => connected(client, |lab, side| {
            let (now, authorization) = (lab.now, lab.authorization(side));
            let node = &mut lab.node(side).connectivity;
            for _ in 0..2 {
                let verdict = node.send(GATEWAY, &ipv4_packet(b"unsent"), now);
                assert_eq!(verdict, Verdict::Sent);
            }
            let other = PeerId::from_bytes([3; 16]);
            node.upsert(other, authorization, now).expect("a relay");
            for _ in 0..3 {
                let verdict = node.send(other, &ipv4_packet(b"waiting"), now);
                assert_eq!(verdict, Verdict::Buffered);
            }
            node.reset(Seed::from_bytes([9; 32]), now);
            vec![DropReason::Reset; 2 + 3]
        }),
        DropReason::TooLarge => connected(client, |lab, side| {
            let mut dropped = refused(lab, side, &[0x45; 1281]);
            dropped.extend(made_up(lab, side, STRANGER, vec![4; 1317]));
            dropped
        }),
        DropReason::UnboundChannel => connected(client, |lab, side| {
            let relay = SocketAddr::new(lab.relays[0].v4.into(), PORT);
            made_up(lab, side, relay, vec![0x4f, 0xff, 0, 1, 9])
        }),
        DropReason::Undecryptable => connected(gateway, |lab, side| {
            // Another counter: the message is new, and was not encrypted for that one.
            let data = data(lab, side);
            damaged(lab, side, data, 9)
        }),
        DropReason::UnknownCheck => connected(gateway, |lab, side| {
            let check = arrived(lab, side, |bytes| bytes.starts_with(&[0, 1]));
            // Behind the headers of message and USERNAME: another name.
            damaged(lab, side, check, 25)
        }),
        DropReason::UnknownPeer => connected(client, |lab, _| {
            let now = lab.now;
            let stranger = PeerId::from_bytes([3; 16]);
            let node = &mut lab.node(Side::Client).connectivity;
            let verdict = node.send(stranger, &ipv4_packet(b"x"), now);
            assert_eq!(verdict, Verdict::Dropped(DropReason::UnknownPeer));
            vec![DropReason::UnknownPeer]
        }),
        DropReason::UnknownRelay => connected(client, |lab, side| {
            made_up(lab, side, STRANGER, vec![0x40, 0, 0, 1, 9])
        }),
        DropReason::UnknownSession => connected(gateway, |lab, side| {
            let data = data(lab, side);
            damaged(lab, side, data, 6)
        }),
        DropReason::UnprovenSource => connected(gateway, |lab, side| {
            let check = replays::check(lab, side);
            let from = |n| Landed {
                remote: replays::stranger(n),
                ..check.clone()
            };
            for n in 0..8 {
                assert_eq!(lab.hand_over(side, &from(n)), Received::Consumed);
            }
            handed(lab, side, &from(8))
        }),
        DropReason::Unrecognized => connected(client, |lab, side| {
            made_up(lab, side, STRANGER, vec![0xff; 40])
        }),
        DropReason::UnsolicitedAnswer => connected(client, |lab, side| {
            let again = arrived(lab, side, |bytes| bytes.starts_with(&[1, 1]));
            let relay = SocketAddr::new(lab.relays[0].v4.into(), PORT);
            made_up(lab, side, relay, again.payload)
        }),
        other => panic!("no way to {other} is known here"),
    }
}

#[test]
fn every_reason_is_met_and_counted_once() {
    for &reason in DropReason::ALL {
        let Case { mut lab, side, act } = case(reason);
        let before = counters(&mut lab, side);
        let dropped = act(&mut lab, side);
        assert!(dropped.contains(&reason), "{reason}: {dropped:?}");
        let after = counters(&mut lab, side);
        for &other in DropReason::ALL {
            let expected = dropped.iter().filter(|&&dropped| dropped == other);
            assert_eq!(
                after.get(other) - before.get(other),
                expected.count() as u64,
                "{other} while provoking {reason}"
            );
        }
    }
}
