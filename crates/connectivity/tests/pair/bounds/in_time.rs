//! What a peer takes of something that all share comes back in time.

use super::candidate;
use crate::{
    lab::{Lab, Side},
    relay::TestRelay,
    replays::stranger,
};
use connectivity::PathKind;
use model::{CandidateKind, PeerId, PublicKey};
use netem::NatConfig;
use std::time::Duration;

/// The client's connection to a peer that is nowhere, as often as it is asked for.
fn greedy(lab: &mut Lab, peer: PeerId) {
    let (now, mut authorization) = (lab.now, lab.authorization(Side::Client));
    authorization.public_key = PublicKey::from_bytes([66; 32]);
    authorization.local_ice.username = "evil".to_owned();
    let client = &mut lab.node(Side::Client).connectivity;
    client.upsert(peer, authorization, now).expect("a relay");
}

#[test]
fn a_greedy_peer_leaves_channels_for_others() {
    let nat = Some(NatConfig::SYMMETRIC);
    let mut lab = Lab::behind([nat, nat], vec![TestRelay::new(1)]);
    lab.start_relays();
    let peer = PeerId::from_bytes([66; 16]);
    let mut n = 0;
    while lab.elapsed() < Duration::from_secs(3600) {
        // Its connection fails again and again, and is asked for again.
        greedy(&mut lab, peer);
        for _ in 0..40 {
            n += 1;
            let signalled = candidate(CandidateKind::Relay, stranger(n));
            let now = lab.now;
            let client = &mut lab.node(Side::Client).connectivity;
            client.add_remote_candidate(peer, &signalled, now);
            client.remove_remote_candidate(peer, &signalled, now);
        }
        lab.collect(Side::Client);
        lab.run_for(Duration::from_secs(6));
    }
    lab.authorize();
    lab.run_until(Duration::from_secs(5), Lab::is_established);
    assert!(lab.is_established(), "no channel is left");
    let path = lab.path(Side::Client);
    assert!(
        matches!(path, Some(PathKind::RelayToRelay | PathKind::PeerToRelay)),
        "{path:?}"
    );
    lab.ping();
}
