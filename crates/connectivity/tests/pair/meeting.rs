//! A client and a gateway find each other. These need no timer, so they run with either clock.

use crate::lab::{Lab, Side, ipv4_packet};
use connectivity::{Event, PathKind, Verdict};
use model::CandidateKind;
use std::time::Duration;

#[test]
fn peers_behind_friendly_nats_meet_directly() {
    let mut lab = Lab::direct();
    lab.connect();
    lab.deliver_all();
    for side in Side::BOTH {
        assert_eq!(lab.path(side), Some(PathKind::PeerToPeer), "{side:?}");
        let peer = side.peer();
        assert!(lab.node(side).events.contains(&Event::Established { peer }));
    }
    lab.ping();
}

#[test]
fn peers_behind_symmetric_nats_meet_through_relays() {
    let mut lab = Lab::relayed();
    lab.connect();
    lab.deliver_all();
    for side in Side::BOTH {
        let path = lab.path(side);
        assert!(
            matches!(path, Some(PathKind::RelayToRelay | PathKind::PeerToRelay)),
            "{side:?} {path:?}"
        );
    }
    lab.ping();
}

#[test]
fn packets_sent_while_connecting_arrive_in_order_and_only_from_the_client() {
    let mut lab = Lab::direct();
    lab.start_relays();
    lab.authorize();
    let packets: Vec<_> = (0..3).map(|n| ipv4_packet(&[n])).collect();
    for packet in &packets {
        assert_eq!(lab.send(Side::Client, packet), Verdict::Buffered);
        assert!(matches!(
            lab.send(Side::Gateway, packet),
            Verdict::Dropped(_)
        ));
    }
    lab.run_until(Duration::from_secs(5), Lab::is_established);
    lab.deliver_all();
    assert_eq!(lab.node(Side::Gateway).inbox, packets);
    assert!(lab.node(Side::Client).inbox.is_empty());
}

#[test]
fn a_new_connection_signals_the_best_candidate_first() {
    let mut lab = Lab::direct();
    lab.start_relays();
    lab.authorize();
    for side in Side::BOTH {
        let kinds: Vec<_> = lab.node(side).signalled.iter().map(|c| c.kind).collect();
        assert_eq!(
            kinds,
            [
                CandidateKind::Host,
                CandidateKind::ServerReflexive,
                CandidateKind::Relay
            ],
            "{side:?}"
        );
    }
}

// WireGuard's timestamps come from the real clock, which virtual time outruns.
#[cfg(not(feature = "__virtual-time"))]
#[test]
fn a_gateway_that_kept_its_half_helps_a_client_that_lost_its_own() {
    use crate::lab::{CLIENT, GATEWAY};
    use connectivity::Upsert;

    let mut lab = Lab::direct();
    lab.connect();
    lab.ping();
    let now = lab.now;
    lab.node(Side::Client).connectivity.remove(GATEWAY, now);
    assert_eq!(lab.upsert(Side::Gateway), Upsert::Reused);
    assert_eq!(lab.upsert(Side::Client), Upsert::Created);
    lab.run_until(Duration::from_secs(2), Lab::is_established);
    lab.ping();
    assert!(lab.node(Side::Gateway).connectivity.has_peer(CLIENT));
}
