//! What a peer or the portal says over and over leaves no more behind than what it said once.

use crate::{
    lab::{Lab, Landed, Side},
    memory,
    replays::stranger,
};
use connectivity::{Connectivity, Datagram, Ecn, Output, Upsert, Verdict};
use is::stun::StunMessage;
use model::{Candidate, CandidateKind, PeerId, PublicKey, Relay, RelayId};
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    net::{SocketAddr, SocketAddrV4},
    time::Instant,
};

fn connected() -> Lab {
    let mut lab = Lab::direct();
    lab.connect();
    lab.deliver_all();
    lab
}

fn candidate(kind: CandidateKind, address: SocketAddr) -> Candidate {
    Candidate {
        foundation: "1".to_owned(),
        priority: 1,
        address,
        kind,
        base: None,
        ufrag: None,
    }
}

/// Everything an end wants to send, from where to where; and when it wants to be called.
fn drain(node: &mut Connectivity) -> (Vec<Landed>, Option<Instant>) {
    let mut sent = Vec::new();
    loop {
        match node.poll() {
            Output::Send(transmit) => {
                let Some(local) = transmit.source else {
                    continue;
                };
                sent.extend(transmit.segments().map(|segment| Landed {
                    local,
                    remote: transmit.destination,
                    payload: segment.to_vec(),
                }));
            }
            Output::Event(_) => {}
            Output::Idle(wakeup) => return (sent, wakeup.map(|wakeup| wakeup.at)),
        }
    }
}

/// How much more is kept at most during the second half of all rounds than during the first half, and
/// how often memory is taken in the last one.
fn growth(rounds: usize, mut round: impl FnMut(usize)) -> (i64, u64) {
    let half = rounds / 2;
    let mut most = |rounds: std::ops::Range<usize>| {
        let (mut kept, mut allocations) = (i64::MIN, 0);
        for n in rounds {
            allocations = memory::allocations();
            round(n);
            kept = kept.max(memory::kept());
        }
        (kept, memory::allocations() - allocations)
    };
    let (first, _) = most(0..half);
    let (second, allocations) = most(half..rounds);
    (second - first, allocations)
}

#[test]
fn candidates_that_come_and_go_are_forgotten() {
    for kind in [
        CandidateKind::Host,
        CandidateKind::ServerReflexive,
        CandidateKind::Relay,
    ] {
        let mut lab = connected();
        let now = lab.now;
        let node = &mut lab.node(Side::Client).connectivity;
        let grown = growth(2400, |n| {
            let signalled = candidate(kind, stranger(u32::try_from(n).expect("few")));
            let peer = Side::Client.peer();
            node.add_remote_candidate(peer, &signalled, now);
            drain(node);
            node.remove_remote_candidate(peer, &signalled, now);
            drain(node);
        });
        assert!(grown.0 < 128 * 1024, "{kind:?}: {grown:?}");
        assert!(grown.1 < 1000, "{kind:?}: {grown:?}");
        lab.ping();
    }
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let mut lab = connected();
    let (now, mut authorization) = (lab.now, lab.authorization(Side::Client));
    let node = &mut lab.node(Side::Client).connectivity;
    let signalled = candidate(CandidateKind::Relay, stranger(1));
    let (grown, _) = growth(1000, |n| {
        let id: [u8; 2] = u16::try_from(n).expect("few").to_be_bytes();
        let peer = PeerId::from_bytes([[1; 14].as_slice(), &id].concat().try_into().expect("16"));
        let key = [[1; 30].as_slice(), &id].concat();
        authorization.public_key = PublicKey::from_bytes(key.try_into().expect("32"));
        authorization.local_ice.username = format!("peer {n}");
        let upsert = node.upsert(peer, authorization.clone(), now);
        assert_eq!(upsert, Ok(Upsert::Created));
        node.add_remote_candidate(peer, &signalled, now);
        assert_eq!(node.send(peer, &[0x45; 100], now), Verdict::Buffered);
        drain(node);
        node.remove(peer, now);
        drain(node);
    });
    assert!(grown < 1024, "{grown}");
    lab.ping();
}

#[test]
fn relays_that_come_and_go_leave_nothing_behind() {
    let mut lab = connected();
    let (now, listed) = (lab.now, lab.relays[0].listed());
    let node = &mut lab.node(Side::Client).connectivity;
    let (grown, _) = growth(1000, |n| {
        let port = u16::try_from(n).expect("few");
        let id = [[1; 14].as_slice(), &port.to_be_bytes()].concat();
        let relay = Relay {
            id: RelayId::from_bytes(id.try_into().expect("16")),
            v4: Some(SocketAddrV4::new([198, 51, 100, 9].into(), port)),
            ..listed.clone()
        };
        let id = relay.id;
        node.update_relays(&[], vec![relay], now);
        drain(node);
        node.update_relays(&[id], Vec::new(), now);
        drain(node);
    });
    assert!(grown < 1024, "{grown}");
    lab.ping();
}

#[test]
fn addresses_that_a_peer_pretends_to_see_us_at_are_forgotten() {
    let mut lab = connected();
    let password = lab.authorization(Side::Gateway).remote_ice.password;
    let mut now = lab.now;
    let node = &mut lab.node(Side::Gateway).connectivity;
    let mut lies = 0;
    let mut round = |_| {
        node.handle_timeout(now);
        let (sent, wakeup) = drain(node);
        for check in sent {
            let Some(lie) = lie(&check.payload, stranger(lies), &password) else {
                continue;
            };
            lies += 1;
            let datagram = Datagram {
                local: check.local,
                remote: check.remote,
                ecn: Ecn::NotEct,
                payload: &lie,
            };
            node.handle_datagram(datagram, &mut [0; 1300], now);
        }
        now = wakeup.expect("checks go on").max(now);
    };
    let grown = growth(3000, &mut round);
    assert!(lies > 4000, "it was asked: {lies}");
    assert!(grown.0 < 128 * 1024, "{grown:?}");
}

/// The answer to a check with another address than it came from.
fn lie(check: &[u8], mapped: SocketAddr, password: &SecretString) -> Option<Vec<u8>> {
    let check = StunMessage::parse(check).ok()?;
    if !check.is_binding_request() {
        return None;
    }
    let answer = StunMessage::binding_reply(check.trans_id(), mapped);
    let mut bytes = vec![0; 200];
    let hmac = |key: &[u8], payloads: &[&[u8]]| {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let tag = hmac::sign(&key, &payloads.concat());
        tag.as_ref().try_into().expect("20 bytes")
    };
    let key = password.expose_secret().as_bytes();
    let length = answer.to_bytes(Some(key), &mut bytes, hmac).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(feature = "__virtual-time")]
mod in_time;
