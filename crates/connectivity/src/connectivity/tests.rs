//! What the whole does that no part does alone.

use super::*;
use crate::{Datagram, Ecn, Received};
use model::{IceCredentials, PresharedKey, limits};
use std::net::SocketAddrV4;
use stun_codec::{
    Message, MessageClass, MessageEncoder, TransactionId,
    rfc5389::{Attribute, attributes::XorMappedAddress, methods::BINDING},
};

mod sources;

const SECOND: Duration = Duration::from_secs(1);

fn relay(n: u8) -> Relay {
    Relay {
        id: RelayId::from_bytes([n; 16]),
        v4: Some(SocketAddrV4::new([198, 51, 100, n].into(), 3478)),
        v6: None,
        username: "1:a".to_owned(),
        password: "secret".to_owned().into(),
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 52625))
}

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 16])
}

fn authorization(other: &Connectivity, n: u8, swapped: bool) -> Authorization {
    let ice = |side: &str| IceCredentials {
        username: format!("{side}{n}"),
        password: "5w74fcbvvsg4jcmkcjxqhq".to_owned().into(),
    };
    let (local, remote) = if swapped { ("r", "l") } else { ("l", "r") };
    Authorization {
        public_key: other.public_key(),
        preshared_key: PresharedKey::from_bytes([n; 32]),
        local_ice: ice(local),
        remote_ice: ice(remote),
    }
}

fn node(role: Role, n: u8, now: Instant) -> Connectivity {
    Connectivity::new(role, Seed::from_bytes([n; 32]), SECOND, now)
}

/// Everything a node has to say: destinations, events, and when it wants to be called.
type Said = (
    Vec<(SocketAddr, Vec<u8>)>,
    Vec<Event>,
    Option<crate::Wakeup>,
);

fn drain(node: &mut Connectivity) -> Said {
    let (mut sent, mut events) = (Vec::new(), Vec::new());
    loop {
        match node.poll() {
            Output::Send(transmit) => {
                let to = transmit.destination;
                sent.extend(transmit.segments().map(|segment| (to, segment.to_vec())));
                node.recycle(transmit);
            }
            Output::Event(event) => events.push(event),
            Output::Idle(wakeup) => return (sent, events, wakeup),
        }
    }
}

fn destinations(node: &mut Connectivity) -> Vec<SocketAddr> {
    drain(node).0.into_iter().map(|(to, _)| to).collect()
}

fn answer_binding(node: &mut Connectivity, server: SocketAddr, request: &[u8], now: Instant) {
    let id = TransactionId::new(request[8..20].try_into().unwrap());
    let mut reply = Message::<Attribute>::new(MessageClass::SuccessResponse, BINDING, id);
    reply.add_attribute(XorMappedAddress::new(address(200)));
    let payload = bytecodec::EncodeExt::encode_into_bytes(&mut MessageEncoder::default(), reply);
    let received = receive(node, server, &payload.unwrap(), now);
    assert_eq!(received, Received::Consumed);
}

fn receive(node: &mut Connectivity, from: SocketAddr, payload: &[u8], now: Instant) -> Received {
    let datagram = Datagram {
        local: address(1),
        remote: from,
        ecn: Ecn::NotEct,
        payload,
    };
    node.handle_datagram(datagram, &mut [0; 1300], now)
}

#[test]
fn the_relay_list_is_applied_row_by_row() {
    let at = |n: u8| relay(n).addresses().next().unwrap();
    let now = Instant::now();
    let mut node = node(Role::Client, 1, now);
    node.update_relays(&[], vec![relay(1), relay(2)], now);
    assert_eq!(
        destinations(&mut node),
        [at(1), at(2)],
        "unknown: a new allocation"
    );

    node.update_relays(&[], vec![relay(1), relay(2)], now);
    assert!(destinations(&mut node).is_empty(), "the same: nothing");

    let renewed = Relay {
        username: "2:b".to_owned(),
        ..relay(1)
    };
    node.update_relays(&[], vec![renewed.clone(), relay(2)], now);
    assert_eq!(
        destinations(&mut node),
        [at(1)],
        "other credentials: replaced"
    );

    let moved = Relay {
        v4: relay(3).v4,
        ..renewed
    };
    node.update_relays(&[], vec![moved, relay(2)], now);
    assert_eq!(
        destinations(&mut node),
        [at(3)],
        "another address: replaced"
    );
    let stale = receive(&mut node, at(1), &[0x40, 0, 0, 1, 0], now);
    assert_eq!(stale, Received::Dropped(DropReason::UnknownRelay));

    node.update_relays(&[relay(1).id], Vec::new(), now);
    let (_, events, _) = drain(&mut node);
    assert_eq!(events, [], "one is left");
    node.update_relays(&[relay(2).id], Vec::new(), now);
    let (_, events, wakeup) = drain(&mut node);
    assert_eq!((events, wakeup), (vec![Event::NoRelays], None));
    node.update_relays(&[relay(2).id], Vec::new(), now);
    assert_eq!(drain(&mut node).1, [], "it was gone already");
}

#[test]
fn a_connection_needs_a_relay_to_be_known_but_not_to_have_answered() {
    let now = Instant::now();
    let other = node(Role::Gateway, 2, now);
    let mut client = node(Role::Client, 1, now);
    let authorization = authorization(&other, 1, false);
    assert_eq!(
        client.upsert(peer(2), authorization.clone(), now),
        Err(NoRelay)
    );
    assert_eq!(drain(&mut client).1, [Event::NoRelays]);

    client.update_relays(&[], vec![relay(1)], now);
    let (sent, ..) = drain(&mut client);
    let created = client.upsert(peer(2), authorization, now);
    assert_eq!(created, Ok(Upsert::Created));
    assert_eq!(drain(&mut client).1, [], "nothing to signal yet");

    let (server, binding) = &sent[0];
    answer_binding(&mut client, *server, binding, now);
    let (sent, events, _) = drain(&mut client);
    let [Event::CandidatesAdded { candidates, .. }] = &events[..] else {
        panic!("host and reflexive in one batch: {events:?}");
    };
    let addresses: Vec<_> = candidates
        .iter()
        .map(|candidate| candidate.address)
        .collect();
    assert_eq!(addresses, [address(1), address(200)]);
    assert_eq!(
        sent.len(),
        1,
        "the allocation is asked for in the same turn"
    );
}

#[test]
fn without_relays_a_new_authorization_changes_nothing() {
    let now = Instant::now();
    let (mut client, mut gateway) = face_to_face(now);
    exchange(&mut client, &mut gateway, now);
    client.update_relays(&[relay(1).id], Vec::new(), now);
    assert_eq!(drain(&mut client).1, [Event::NoRelays]);
    let (other, dropped) = (node(Role::Gateway, 3, now), client.counters().total());
    let refused = client.upsert(peer(2), authorization(&other, 2, false), now);
    assert_eq!(refused, Err(NoRelay));
    assert_eq!(drain(&mut client).1, [Event::NoRelays]);
    assert!(client.is_connected(peer(2)), "the connection is as it was");
    assert_eq!(client.counters().total(), dropped);
    let mut packet = [0; 20];
    packet[..4].copy_from_slice(&[0x45, 0, 0, 20]);
    assert_eq!(client.send(peer(2), &packet, now), Verdict::Sent);
    let packet = drain(&mut client).0.pop().unwrap().1;
    let received = receive(&mut gateway, address(2), &packet, now);
    assert!(matches!(received, Received::Packet { .. }), "{received:?}");

    client.update_relays(&[], vec![relay(2)], now);
    let created = client.upsert(peer(2), authorization(&other, 2, false), now);
    assert_eq!(created, Ok(Upsert::Created));
    assert!(!client.is_connected(peer(2)));
}

#[test]
fn wakeups_say_why_and_doing_nothing_is_cheap_and_harmless() {
    let now = Instant::now();
    let mut node = node(Role::Client, 1, now);
    assert_eq!(drain(&mut node).2, None);
    node.update_relays(&[], vec![relay(1)], now);
    let (_, _, wakeup) = drain(&mut node);
    let wakeup = wakeup.unwrap();
    assert_eq!((wakeup.at, wakeup.why), (now + SECOND, "relay request"));
    for _ in 0..3 {
        node.handle_timeout(now);
        assert_eq!(drain(&mut node).2, Some(wakeup));
    }
}

#[test]
fn unknown_peers_are_nobodys_business() {
    let now = Instant::now();
    let mut node = node(Role::Client, 1, now);
    let verdict = node.send(peer(9), &[0x45; 40], now);
    assert_eq!(verdict, Verdict::Dropped(DropReason::UnknownPeer));
    node.remove(peer(9), now);
    let candidate: Candidate = "candidate:1 1 udp 1 192.0.2.9 9 typ host".parse().unwrap();
    node.add_remote_candidate(peer(9), &candidate, now);
    node.remove_remote_candidate(peer(9), &candidate, now);
    assert!(!node.has_peer(peer(9)) && !node.is_connected(peer(9)));
    assert_eq!(node.counters().get(DropReason::UnknownPeer), 1);
    assert_eq!(drain(&mut node), (vec![], vec![], None));
}

#[test]
fn another_authorization_replaces_the_connection_in_silence() {
    let now = Instant::now();
    let [a, b] = [2, 3].map(|n| node(Role::Gateway, n, now));
    let mut client = node(Role::Client, 1, now);
    client.update_relays(&[], vec![relay(1)], now);
    let first = authorization(&a, 1, false);
    let cases = [
        (first.clone(), Upsert::Created),
        (first.clone(), Upsert::Reused),
        (
            Authorization {
                preshared_key: PresharedKey::from_bytes([99; 32]),
                ..first.clone()
            },
            Upsert::Reused,
        ),
        (authorization(&a, 2, false), Upsert::Created),
        (authorization(&b, 2, false), Upsert::Created),
        (first, Upsert::Created),
    ];
    for (n, (authorization, expected)) in cases.into_iter().enumerate() {
        let outcome = client.upsert(peer(2), authorization, now);
        assert_eq!(outcome, Ok(expected), "case {n}");
        assert_eq!(drain(&mut client).1, [], "case {n}");
        assert_eq!(client.peers().count(), 1);
    }
}

#[test]
fn packets_of_a_wrong_size_are_refused() {
    let now = Instant::now();
    let other = node(Role::Gateway, 2, now);
    let mut client = node(Role::Client, 1, now);
    client.update_relays(&[], vec![relay(1)], now);
    let upsert = client.upsert(peer(2), authorization(&other, 1, false), now);
    assert_eq!(upsert, Ok(Upsert::Created));
    for (length, verdict) in [
        (0, Verdict::Dropped(DropReason::MalformedInner)),
        (1280, Verdict::Buffered),
        (1281, Verdict::Dropped(DropReason::TooLarge)),
    ] {
        assert_eq!(client.send(peer(2), &vec![0x45; length], now), verdict);
    }
    let huge = receive(&mut client, address(9), &[4; 1317], now);
    assert_eq!(huge, Received::Dropped(DropReason::TooLarge));
}

#[test]
fn the_129th_packet_that_waits_costs_the_first_its_place() {
    let now = Instant::now();
    let other = node(Role::Gateway, 2, now);
    let mut client = node(Role::Client, 1, now);
    client.update_relays(&[], vec![relay(1)], now);
    let upsert = client.upsert(peer(2), authorization(&other, 1, false), now);
    assert_eq!(upsert, Ok(Upsert::Created));
    for _ in 0..130 {
        assert_eq!(client.send(peer(2), &[0x45; 20], now), Verdict::Buffered);
    }
    assert_eq!(client.counters().get(DropReason::BufferFull), 2);
}

/// A client and a gateway that see each other's datagrams, whatever their addresses say.
fn face_to_face(now: Instant) -> (Connectivity, Connectivity) {
    let mut client = node(Role::Client, 1, now);
    let mut gateway = node(Role::Gateway, 2, now);
    for node in [&mut client, &mut gateway] {
        node.update_relays(&[], vec![relay(1)], now);
    }
    let (to_gateway, to_client) = (
        authorization(&gateway, 1, false),
        authorization(&client, 1, true),
    );
    client.upsert(peer(2), to_gateway, now).unwrap();
    gateway.upsert(peer(1), to_client, now).unwrap();
    client.add_host_candidate(address(1), now);
    gateway.add_host_candidate(address(1), now);
    let candidate: Candidate = "candidate:1 1 udp 2130706175 192.0.2.2 52625 typ host"
        .parse()
        .unwrap();
    client.add_remote_candidate(peer(2), &candidate, now);
    (client, gateway)
}

fn exchange(client: &mut Connectivity, gateway: &mut Connectivity, now: Instant) {
    for _ in 0..20 {
        for (_, payload) in drain(client).0 {
            receive(gateway, address(2), &payload, now);
        }
        for (_, payload) in drain(gateway).0 {
            receive(client, address(2), &payload, now);
        }
    }
}

/// Exchanges everything but the client's handshake initiation, which is returned.
fn exchange_up_to_initiation(
    client: &mut Connectivity,
    gateway: &mut Connectivity,
    now: Instant,
) -> Vec<u8> {
    let mut initiation = None;
    for _ in 0..20 {
        for (_, payload) in drain(client).0 {
            if payload.len() == 148 && payload[0] == 1 {
                initiation = Some(payload);
            } else {
                receive(gateway, address(2), &payload, now);
            }
        }
        for (_, payload) in drain(gateway).0 {
            receive(client, address(2), &payload, now);
        }
    }
    initiation.expect("an initiation")
}

/// A check or an answer with an attribute behind its MESSAGE-INTEGRITY, in front of FINGERPRINT.
fn appended(message: &[u8], attribute: &[u8]) -> Vec<u8> {
    let (signed, fingerprint) = message.split_at(message.len() - 8);
    let mut bytes = [signed, attribute, fingerprint].concat();
    let length = u16::try_from(bytes.len() - 20).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

#[test]
fn what_stands_behind_the_integrity_of_a_check_is_not_believed() {
    const USE_CANDIDATE: [u8; 4] = [0, 0x25, 0, 0];
    let now = Instant::now();
    let (mut client, mut gateway) = face_to_face(now);
    let is_check = |payload: &[u8]| payload.starts_with(&[0, 1]) && payload.len() == 84;
    let sent = drain(&mut client).0.into_iter();
    let checks: Vec<_> = sent.filter(|(_, payload)| is_check(payload)).collect();
    assert!(!checks.is_empty());
    for (_, check) in checks {
        let nominated = appended(&check, &USE_CANDIDATE);
        let received = receive(&mut gateway, address(2), &nominated, now);
        assert_eq!(received, Received::Consumed);
    }
    // The gateway's own checks are answered, so that nothing but a nomination is missing.
    for (_, payload) in drain(&mut gateway).0 {
        receive(&mut client, address(2), &payload, now);
    }
    let sent = drain(&mut client).0.into_iter();
    let (answers, others): (Vec<_>, Vec<_>) =
        sent.partition(|(_, payload)| payload.starts_with(&[1, 1]));
    assert!(!answers.is_empty());
    let forged = [0, 0x20, 0, 8, 0, 1, 1, 1, 1, 1, 1, 1];
    for (_, answer) in answers {
        let received = receive(&mut gateway, address(2), &appended(&answer, &forged), now);
        assert_eq!(received, Received::Consumed);
    }
    let path = |gateway: &Connectivity| gateway.peers().next().unwrap().path;
    assert_eq!(path(&gateway), None, "nobody nominated");
    for (_, payload) in others {
        receive(&mut gateway, address(2), &payload, now);
    }
    assert_eq!(path(&gateway), Some(crate::PathKind::PeerToPeer));
}

#[test]
fn a_session_is_found_by_index_and_key_wherever_its_messages_come_from() {
    let now = Instant::now();
    let (mut client, mut gateway) = face_to_face(now);
    exchange(&mut client, &mut gateway, now);
    assert!(client.is_connected(peer(2)) && gateway.is_connected(peer(1)));

    let packet = [
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
    ];
    assert_eq!(client.send(peer(2), &packet, now), Verdict::Sent);
    let (sent, ..) = drain(&mut client);
    let (_, message) = sent.last().unwrap();
    assert_eq!(message.len(), packet.len() + limits::WIREGUARD_OVERHEAD);
    let elsewhere = address(77);
    assert_eq!(
        receive(&mut gateway, elsewhere, message, now),
        Received::Packet {
            peer: peer(1),
            len: packet.len()
        }
    );
    let mut foreign = message.clone();
    foreign[5] ^= 0xff;
    let dropped = receive(&mut gateway, elsewhere, &foreign, now);
    assert_eq!(dropped, Received::Dropped(DropReason::UnknownSession));
}

#[test]
fn plaintext_fits_a_buffer_of_exactly_one_packet() {
    let now = Instant::now();
    let (mut client, mut gateway) = face_to_face(now);
    exchange(&mut client, &mut gateway, now);
    let mut packet = vec![7; 1280];
    packet[..4].copy_from_slice(&[0x45, 0, 5, 0]);
    for (room, expected) in [(1296, true), (1280, true), (1279, false), (0, false)] {
        assert_eq!(client.send(peer(2), &packet, now), Verdict::Sent);
        let (sent, ..) = drain(&mut client);
        let mut plain = vec![0; room];
        let datagram = Datagram {
            local: address(1),
            remote: address(2),
            ecn: Ecn::NotEct,
            payload: &sent.last().unwrap().1,
        };
        match gateway.handle_datagram(datagram, &mut plain, now) {
            Received::Packet { len, .. } => assert!(expected && plain[..len] == packet),
            Received::Dropped(DropReason::TooLarge) => assert!(!expected, "{room}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_index_of_nobody_leads_to_nobody() {
    let now = Instant::now();
    let (mut client, mut gateway) = face_to_face(now);
    exchange(&mut client, &mut gateway, now);
    // Data for an index that nobody gave out.
    let message = [&[4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff][..], &[0; 24]].concat();
    let received = receive(&mut client, address(2), &message, now);
    let nobodys = [0, 0, 0, 0];
    let given_out = gateway_index(&mut gateway, now);
    assert!(
        given_out != nobodys && given_out != [0xff; 4],
        "it would be somebody's"
    );
    assert_eq!(received, Received::Dropped(DropReason::UnknownSession));
}

/// The index that the client has given out, as messages of the gateway carry it.
fn gateway_index(gateway: &mut Connectivity, now: Instant) -> [u8; 4] {
    gateway.send(peer(1), &[0x45; 100], now);
    let (sent, ..) = drain(gateway);
    sent.last().unwrap().1[4..8].try_into().unwrap()
}

#[test]
fn signals_are_repeated_for_a_peer_that_may_have_lost_them() {
    let now = Instant::now();
    let signalled = |node: &mut Connectivity| {
        let (_, events, _) = drain(node);
        let is_added = |event: &&Event| matches!(event, Event::CandidatesAdded { .. });
        events.iter().filter(is_added).count()
    };
    let (mut client, gateway) = face_to_face(now);
    signalled(&mut client);
    let to_gateway = authorization(&gateway, 1, false);
    assert_eq!(
        client.upsert(peer(2), to_gateway.clone(), now),
        Ok(Upsert::Reused)
    );
    assert_eq!(signalled(&mut client), 1, "there is no path yet");
    let (mut client, mut gateway) = face_to_face(now);
    exchange(&mut client, &mut gateway, now);
    signalled(&mut client);
    assert_eq!(client.upsert(peer(2), to_gateway, now), Ok(Upsert::Reused));
    assert_eq!(signalled(&mut client), 0, "there is one");
    signalled(&mut gateway);
    let to_client = authorization(&client, 1, true);
    assert_eq!(gateway.upsert(peer(1), to_client, now), Ok(Upsert::Reused));
    assert_eq!(signalled(&mut gateway), 1, "the client may have begun anew");
}

#[test]
fn packets_that_wait_for_a_session_are_counted_when_the_connection_goes() {
    let now = Instant::now();
    let (mut client, mut gateway) = face_to_face(now);
    exchange_up_to_initiation(&mut client, &mut gateway, now);
    for _ in 0..3 {
        assert_eq!(client.send(peer(2), &[0x45; 20], now), Verdict::Buffered);
    }
    client.remove(peer(2), now);
    assert_eq!(client.counters().get(DropReason::ConnectionClosed), 3);
}

#[test]
fn the_key_of_a_removed_connection_leads_to_nobody() {
    let now = Instant::now();
    let (mut client, mut gateway) = face_to_face(now);
    let initiation = exchange_up_to_initiation(&mut client, &mut gateway, now);
    gateway.remove(peer(1), now);
    // Another peer takes the place in the table.
    let other = node(Role::Client, 3, now);
    let upsert = gateway.upsert(peer(3), authorization(&other, 3, true), now);
    assert_eq!(upsert, Ok(Upsert::Created));
    let received = receive(&mut gateway, address(2), &initiation, now);
    assert_eq!(received, Received::Dropped(DropReason::UnknownSession));
}

#[test]
fn candidates_of_another_ice_session_do_not_count() {
    let now = Instant::now();
    let other = node(Role::Gateway, 2, now);
    for (ufrag, counts) in [("r1", true), ("r2", false)] {
        let mut client = node(Role::Client, 1, now);
        client.update_relays(&[], vec![relay(1)], now);
        let upsert = client.upsert(peer(2), authorization(&other, 1, false), now);
        assert_eq!(upsert, Ok(Upsert::Created));
        let text = format!("candidate:1 1 udp 9 192.0.2.9 9 typ host ufrag {ufrag}");
        client.add_remote_candidate(peer(2), &text.parse().unwrap(), now);
        client.handle_timeout(now + 10 * SECOND);
        let reason = crate::CloseReason::NoCandidates;
        let closed = Event::Closed {
            peer: peer(2),
            reason,
        };
        let is_closed = drain(&mut client).1.contains(&closed);
        assert_eq!(is_closed, !counts, "{ufrag}");
    }
}

#[test]
fn too_many_handshakes_are_answered_with_cookies_where_they_came_from() {
    let now = Instant::now();
    let (mut client, mut gateway) = face_to_face(now);
    let initiation = exchange_up_to_initiation(&mut client, &mut gateway, now);
    let limited = (0..110)
        .filter(|_| {
            receive(&mut gateway, address(66), &initiation, now)
                == Received::Dropped(DropReason::RateLimited)
        })
        .count();
    assert_eq!(limited, 10);
    let (sent, ..) = drain(&mut gateway);
    let cookies = sent
        .iter()
        .filter(|(to, payload)| *to == address(66) && payload.len() == 64);
    assert_eq!(cookies.count(), 10);
}

/// A packet of the gateway's reaches the client.
fn hand_over(gateway: &mut Connectivity, client: &mut Connectivity, now: Instant) {
    let mut packet = [0; 100];
    packet[..4].copy_from_slice(&[0x45, 0, 0, 100]);
    assert_eq!(gateway.send(peer(1), &packet, now), Verdict::Sent);
    let (sent, ..) = drain(gateway);
    let received = receive(client, address(2), &sent.last().unwrap().1, now);
    assert!(matches!(received, Received::Packet { len: 100, .. }));
}

#[test]
fn status_tells_path_traffic_and_handshake() {
    let now = Instant::now();
    let (mut client, mut gateway) = face_to_face(now);
    let before = client.peers().next().unwrap();
    assert_eq!((before.peer, before.path), (peer(2), None));
    assert_eq!(before.last_handshake, None);
    exchange(&mut client, &mut gateway, now);
    client.send(peer(2), &[0x45; 100], now);
    let after = client.peers().next().unwrap();
    assert_eq!(after.path, Some(crate::PathKind::PeerToPeer));
    assert_eq!((after.sent, after.received), (100, 0));
    for _ in 0..2 {
        hand_over(&mut gateway, &mut client, now);
    }
    let after = client.peers().next().unwrap();
    assert_eq!((after.sent, after.received), (100, 200));
    assert_eq!(
        after.last_handshake,
        Some(SECOND),
        "the epoch the test gave"
    );
    assert!(after.rtt.is_some() && !after.idle);
}

#[test]
fn the_whole_may_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Connectivity>();
    is_send::<Transmit>();
}

#[test]
fn two_nodes_with_one_seed_draw_the_same_and_resets_draw_anew() {
    let now = Instant::now();
    let key = |n| node(Role::Client, n, now).public_key();
    assert_eq!(key(1), key(1));
    assert_ne!(key(1), key(2));
    let mut node = node(Role::Client, 1, now);
    node.update_relays(&[], vec![relay(1)], now);
    node.reset(Seed::from_bytes([2; 32]), now);
    assert_eq!(node.public_key(), key(2));
    assert_eq!(drain(&mut node), (vec![], vec![], None));
}
