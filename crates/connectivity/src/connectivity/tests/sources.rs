//! Where checks come from, and what they and their answers prove.

use super::*;
use crate::CloseReason;

/// Two ends that have a path and a session; the gateway knows the client from its checks alone.
fn connected(now: Instant) -> (Connectivity, Connectivity) {
    let (mut client, mut gateway) = face_to_face(now);
    exchange(&mut client, &mut gateway, now);
    assert!(client.is_connected(peer(2)) && gateway.is_connected(peer(1)));
    (client, gateway)
}

fn is_check(message: &[u8]) -> bool {
    message.starts_with(&[0, 1])
}

fn is_answer(message: &[u8]) -> bool {
    message.starts_with(&[1, 1])
}

/// What a node does at a later time; only what goes to this address.
fn sent_to(node: &mut Connectivity, to: SocketAddr, now: Instant) -> Vec<Vec<u8>> {
    node.handle_timeout(now);
    let sent = drain(node).0.into_iter();
    sent.filter(|(destination, _)| *destination == to)
        .map(|(_, payload)| payload)
        .collect()
}

/// A check of the client that is sent at this time.
fn check_at(client: &mut Connectivity, now: Instant) -> Vec<u8> {
    let mut sent = sent_to(client, address(2), now).into_iter();
    sent.find(|message| is_check(message))
        .expect("checks go on")
}

/// Takes the eight places of the gateway.
fn fill(gateway: &mut Connectivity, check: &[u8], now: Instant) {
    for n in 0..8 {
        let received = receive(gateway, address(100 + n), check, now);
        assert_eq!(received, Received::Consumed, "{n}");
    }
    drain(gateway);
}

const UNPROVEN: Received = Received::Dropped(DropReason::UnprovenSource);
const UNKNOWN: Received = Received::Dropped(DropReason::UnknownCheck);

#[test]
fn a_peer_without_a_place_gets_in_by_answering_one_check() {
    let start = Instant::now();
    let (mut client, mut gateway) = connected(start);
    let now = start + 2 * SECOND;
    let check = check_at(&mut client, now);
    fill(&mut gateway, &check, now);
    let new = address(77);
    assert_eq!(receive(&mut gateway, new, &check, now), UNPROVEN);
    let probes = sent_to(&mut gateway, new, now);
    let [probe] = &probes[..] else {
        panic!("one check: {probes:?}");
    };
    assert!(is_check(probe) && probe.len() <= check.len());
    assert_eq!(
        receive(&mut client, address(2), probe, now),
        Received::Consumed
    );
    let answers: Vec<_> = sent_to(&mut client, address(2), now);
    let answer = answers.iter().find(|message| is_answer(message)).unwrap();

    assert_eq!(receive(&mut gateway, address(78), answer, now), UNKNOWN);
    let mut forged = answer.clone();
    let at = forged.len() - 9;
    forged[at] ^= 1;
    assert_eq!(receive(&mut gateway, new, &forged, now), UNKNOWN);
    assert_eq!(receive(&mut gateway, new, &check, now), UNPROVEN, "not yet");
    drain(&mut gateway);
    assert_eq!(receive(&mut gateway, new, answer, now), Received::Consumed);
    assert_eq!(receive(&mut gateway, new, &check, now), Received::Consumed);
    let sent = sent_to(&mut gateway, new, now);
    assert!(sent.iter().any(|message| is_answer(message)), "let in");
    assert!(sent.iter().any(|message| is_check(message)), "and checked");

    // The proof again and again does not wear out what the agent remembers.
    for _ in 0..600 {
        receive(&mut gateway, new, answer, now);
    }
    assert_eq!(receive(&mut gateway, address(78), &check, now), UNPROVEN);
}

#[test]
fn an_answer_that_comes_too_late_proves_nothing() {
    let start = Instant::now();
    let (mut client, mut gateway) = connected(start);
    let now = start + 2 * SECOND;
    let check = check_at(&mut client, now);
    fill(&mut gateway, &check, now);
    assert_eq!(receive(&mut gateway, address(77), &check, now), UNPROVEN);
    let probe = sent_to(&mut gateway, address(77), now).remove(0);
    receive(&mut client, address(2), &probe, now);
    let answers = sent_to(&mut client, address(2), now);
    let answer = answers.iter().find(|message| is_answer(message)).unwrap();
    let late = start + 20 * SECOND;
    assert_eq!(receive(&mut gateway, address(77), answer, late), UNKNOWN);
}

#[test]
fn a_source_is_checked_on_while_it_answers_and_hardly_if_it_does_not() {
    for answers in [true, false] {
        let start = Instant::now();
        let (mut client, mut gateway) = connected(start);
        let check = check_at(&mut client, start + 2 * SECOND);
        let source = address(77);
        let mut now = start + 2 * SECOND;
        receive(&mut gateway, source, &check, now);
        let mut sent = 0;
        while now < start + 19 * SECOND {
            for message in sent_to(&mut gateway, source, now) {
                sent += 1;
                if !is_check(&message) || !answers {
                    continue;
                }
                receive(&mut client, address(2), &message, now);
                for answer in sent_to(&mut client, address(2), now) {
                    if is_answer(&answer) {
                        receive(&mut gateway, source, &answer, now);
                    }
                }
            }
            now += Duration::from_millis(100);
        }
        if answers {
            assert!(sent > 6, "{sent}");
        } else {
            assert_eq!(sent, 3, "an answer, a check and a repetition");
        }
    }
}

#[test]
fn a_check_is_no_sign_of_life_and_an_answer_is_one() {
    for answered in [true, false] {
        let start = Instant::now();
        let (mut client, mut gateway) = connected(start);
        let signalled = "candidate:1 1 udp 1 192.0.2.2 52625 typ host";
        gateway.add_remote_candidate(peer(1), &signalled.parse().unwrap(), start);
        let check = check_at(&mut client, start + 2 * SECOND);
        drain(&mut gateway);
        // This process was stopped.
        let now = start + 40 * SECOND;
        let asked = sent_to(&mut gateway, address(2), now);
        let received = receive(&mut gateway, address(2), &check, now);
        assert_eq!(received, Received::Consumed);
        if answered {
            for message in asked.iter().filter(|message| is_check(message)) {
                receive(&mut client, address(2), message, now);
            }
            for answer in sent_to(&mut client, address(2), now) {
                receive(&mut gateway, address(2), &answer, now);
            }
        }
        gateway.handle_timeout(now + Duration::from_millis(3999));
        assert!(gateway.has_peer(peer(1)), "four seconds");
        gateway.handle_timeout(now + 4 * SECOND);
        let closed = Event::Closed {
            peer: peer(1),
            reason: CloseReason::NoPath,
        };
        let is_closed = drain(&mut gateway).1.contains(&closed);
        assert_eq!(is_closed, !answered, "answered: {answered}");
    }
}

#[test]
fn a_place_is_free_again_once_its_address_is_signalled() {
    let start = Instant::now();
    let (mut client, mut gateway) = connected(start);
    let now = start + 2 * SECOND;
    let check = check_at(&mut client, now);
    fill(&mut gateway, &check, now);
    assert_eq!(receive(&mut gateway, address(77), &check, now), UNPROVEN);
    let signalled = "candidate:1 1 udp 1 192.0.2.103 52625 typ host";
    gateway.add_remote_candidate(peer(1), &signalled.parse().unwrap(), now);
    let received = receive(&mut gateway, address(77), &check, now);
    assert_eq!(received, Received::Consumed);
    assert_eq!(receive(&mut gateway, address(78), &check, now), UNPROVEN);

    // Signalled and guessed addresses need no place.
    let (local, reflexive) = (
        "candidate:1 1 udp 1 192.168.0.1 77 typ host",
        "candidate:1 1 udp 1 203.0.113.1 88 typ srflx raddr 0.0.0.0 rport 0",
    );
    for text in [local, reflexive] {
        gateway.add_remote_candidate(peer(1), &text.parse().unwrap(), now);
    }
    for (from, expected) in [
        ("192.168.0.1:77", Received::Consumed),
        ("203.0.113.1:88", Received::Consumed),
        ("203.0.113.1:77", Received::Consumed),
        ("203.0.113.1:78", UNPROVEN),
    ] {
        let received = receive(&mut gateway, from.parse().unwrap(), &check, now);
        assert_eq!(received, expected, "{from}");
    }
}

#[test]
fn checks_to_no_address_of_ours_take_no_place() {
    let start = Instant::now();
    let (mut client, mut gateway) = connected(start);
    let now = start + 2 * SECOND;
    let check = check_at(&mut client, now);
    for n in 0..20 {
        let datagram = Datagram {
            local: address(9),
            remote: address(100 + n),
            ecn: Ecn::NotEct,
            payload: &check,
        };
        let received = gateway.handle_datagram(datagram, &mut [0; 1300], now);
        assert_eq!(received, UNKNOWN, "{n}");
    }
    fill(&mut gateway, &check, now);
}
