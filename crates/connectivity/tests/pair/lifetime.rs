//! What time and bad luck do to a connection.

use crate::{
    lab::{GATEWAY, Lab, Side, ipv4_packet},
    relay::{PORT, TestRelay},
};
use connectivity::{CloseReason, Ecn, Event, NoRelay, Output, PathKind, Upsert, Verdict};
use model::{CandidateKind, Seed};
use netem::NatConfig;
use std::{net::SocketAddr, time::Duration};
use stun_codec::rfc5766::methods::{ALLOCATE, CHANNEL_BIND, REFRESH};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Sends a packet each way every 100 ms for a while; how many of them did not arrive.
fn chatter(lab: &mut Lab, duration: Duration) -> usize {
    let end = lab.now + duration;
    let before = Side::BOTH.map(|side| lab.node(side).inbox.len());
    let mut sent = 0;
    while lab.now < end {
        for side in Side::BOTH {
            lab.send(side, &ipv4_packet(b"chatter"));
        }
        sent += 2;
        lab.run_for(Duration::from_millis(100));
    }
    lab.run_for(Duration::from_millis(100));
    let after = Side::BOTH.map(|side| lab.node(side).inbox.len());
    sent - (after[0] - before[0]) - (after[1] - before[1])
}

fn closed(lab: &mut Lab, side: Side) -> Option<CloseReason> {
    lab.node(side).events.iter().find_map(|event| match event {
        Event::Closed { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn nothing_is_lost_over_many_rekeys_and_refreshes() {
    for mut lab in [Lab::direct(), Lab::relayed()] {
        lab.connect();
        lab.run_for(seconds(2));
        for _ in 0..60 {
            assert_eq!(chatter(&mut lab, seconds(5)), 0, "{:?}", lab.elapsed());
            lab.run_for(seconds(55));
        }
        for side in Side::BOTH {
            assert_eq!(closed(&mut lab, side), None);
        }
    }
}

#[test]
fn relays_are_kept_alive_for_hours() {
    let mut lab = Lab::relayed();
    lab.connect();
    chatter(&mut lab, seconds(3600));
    lab.ping();
    let count = |lab: &Lab, method| {
        let requests = lab.relays.iter().flat_map(|relay| &relay.requests);
        requests.filter(|&&request| request == method).count()
    };
    // Two ends at two relays: one ALLOCATE without nonce, one with it.
    assert_eq!(count(&lab, ALLOCATE), 8);
    // Every 300 s, and again whenever a nonce is used up.
    assert!(
        (44..80).contains(&count(&lab, REFRESH)),
        "{}",
        count(&lab, REFRESH)
    );
    assert!(
        count(&lab, CHANNEL_BIND) < 300,
        "{}",
        count(&lab, CHANNEL_BIND)
    );
    assert_eq!(chatter(&mut lab, seconds(10)), 0);
}

#[test]
fn used_up_nonces_cost_nothing_but_a_round_trip() {
    let mut lab = Lab::relayed();
    for relay in &mut lab.relays {
        relay.nonce_uses = 1;
    }
    lab.connect();
    lab.ping();
}

#[test]
fn a_quiet_connection_slows_down_and_wakes_up_at_once() {
    let mut lab = Lab::direct();
    lab.connect();
    lab.run_for(seconds(60));
    for side in Side::BOTH {
        assert!(lab.status(side).unwrap().idle, "{side:?}");
        lab.node(side).sent = 0;
    }
    lab.run_for(seconds(100));
    for side in Side::BOTH {
        // Checks on six pairs and answers to as many, five times at most, and two relays'
        // keep-alives; it would be 800 at the usual pace.
        let sent = lab.node(side).sent;
        assert!((10..120).contains(&sent), "{side:?} {sent}");
    }
    lab.ping();
    for side in Side::BOTH {
        assert!(!lab.status(side).unwrap().idle, "{side:?}");
    }
    assert_eq!(chatter(&mut lab, seconds(30)), 0);
}

#[test]
fn a_healthy_connection_wakes_up_seldom() {
    for mut lab in [Lab::direct(), Lab::relayed()] {
        lab.connect();
        lab.run_for(seconds(8));
        for side in Side::BOTH {
            lab.node(side).awake.clear();
        }
        lab.run_for(seconds(11));
        for side in Side::BOTH {
            assert!(!lab.status(side).unwrap().idle, "{side:?}");
            let awake = lab.node(side).awake.len();
            // Four or five coalesced wake-ups for all pairs and for WireGuard's timers, and what relays need.
            assert!((4..=7).contains(&awake), "{side:?} {awake}");
        }
    }
}

#[test]
fn a_connection_without_packets_ends_after_nine_minutes() {
    let mut lab = Lab::direct();
    lab.connect();
    lab.run_for(seconds(500));
    assert!(lab.is_established());
    lab.run_for(seconds(60));
    for side in Side::BOTH {
        assert_eq!(
            closed(&mut lab, side),
            Some(CloseReason::Expired),
            "{side:?}"
        );
    }
}

#[test]
fn a_peer_that_signals_nothing_is_given_up_after_ten_seconds() {
    let mut lab = Lab::direct();
    lab.start_relays();
    lab.upsert(Side::Client);
    lab.run_for(Duration::from_millis(9_900));
    assert_eq!(closed(&mut lab, Side::Client), None);
    lab.run_for(Duration::from_millis(200));
    let reason = closed(&mut lab, Side::Client);
    assert_eq!(reason, Some(CloseReason::NoCandidates));
    assert!(!lab.node(Side::Client).connectivity.has_peer(GATEWAY));
}

#[test]
fn different_preshared_keys_end_in_a_handshake_timeout() {
    let mut lab = Lab::direct();
    lab.start_relays();
    lab.upsert(Side::Gateway);
    lab.psk = [1; 32];
    lab.upsert(Side::Client);
    lab.run_for(seconds(14));
    assert_eq!(lab.path(Side::Client), Some(PathKind::PeerToPeer));
    assert_eq!(closed(&mut lab, Side::Client), None);
    lab.run_for(seconds(2));
    let reason = closed(&mut lab, Side::Client);
    assert_eq!(reason, Some(CloseReason::HandshakeTimeout));
}

#[test]
fn a_direct_path_survives_the_loss_of_all_relays() {
    let mut lab = Lab::direct();
    lab.connect();
    lab.run_for(seconds(2));
    let ids: Vec<_> = lab.relays.iter().map(|relay| relay.id).collect();
    for relay in &mut lab.relays {
        relay.up = false;
    }
    lab.disconnect_relays(&ids);
    for side in Side::BOTH {
        assert!(lab.node(side).events.contains(&Event::NoRelays), "{side:?}");
    }
    assert_eq!(chatter(&mut lab, seconds(60)), 0);

    let authorization = lab.authorization(Side::Client);
    let other = model::PeerId::from_bytes([5; 16]);
    let now = lab.now;
    let client = &mut lab.node(Side::Client).connectivity;
    assert_eq!(client.upsert(other, authorization, now), Err(NoRelay));
    assert_eq!(
        lab.upsert(Side::Client),
        Upsert::Reused,
        "this one needs none"
    );
}

#[test]
fn relays_that_fall_silent_are_given_up_without_the_portal() {
    let mut lab = Lab::direct();
    lab.connect();
    for relay in &mut lab.relays {
        relay.up = false;
    }
    lab.run_for(seconds(34));
    for side in Side::BOTH {
        assert!(lab.node(side).events.contains(&Event::NoRelays), "{side:?}");
        let reports = lab
            .node(side)
            .events
            .iter()
            .filter(|event| **event == Event::NoRelays);
        assert_eq!(reports.count(), 1);
    }
    assert_eq!(chatter(&mut lab, seconds(5)), 0);
}

#[test]
fn a_relayed_connection_moves_to_another_relay_when_the_portal_says_so() {
    let mut lab = Lab::relayed();
    lab.connect();
    lab.run_for(seconds(2));
    lab.relays[0].up = false;
    let id = lab.relays[0].id;
    lab.disconnect_relays(&[id]);
    lab.run_for(seconds(2));
    assert!(lab.is_established());
    assert_eq!(chatter(&mut lab, seconds(10)), 0);
}

/// How long until packets get through both ways again.
fn recovery(lab: &mut Lab) -> Duration {
    let start = lab.now;
    while chatter(lab, Duration::from_millis(500)) > 0 {
        assert!(lab.now - start < seconds(60), "no recovery");
    }
    lab.now - start
}

#[test]
fn a_relay_that_the_portal_leaves_out_is_asked_whether_it_knows_us() {
    let mut lab = Lab::relayed();
    lab.start_relays();
    let [kept, left_out] = [0, 1].map(|n: usize| lab.relays[n].listed());
    let now = lab.now;
    let client = &mut lab.node(Side::Client).connectivity;
    client.update_relays(&[], vec![kept], now);
    let mut asked = vec![];
    while let Output::Send(transmit) = client.poll() {
        asked.push(transmit.destination);
    }
    assert_eq!(asked, [left_out.addresses().next().unwrap()]);
}

#[test]
fn a_relay_that_dies_without_a_word_is_replaced_within_seconds() {
    let mut lab = Lab::relayed();
    lab.connect();
    chatter(&mut lab, seconds(2));
    lab.relays[0].up = false;
    let outage = recovery(&mut lab);
    assert!(outage < seconds(9), "{outage:?}");
    for side in Side::BOTH {
        assert_eq!(closed(&mut lab, side), None);
        assert!(!lab.node(side).events.contains(&Event::NoRelays));
    }
}

#[test]
fn a_relay_that_restarts_is_allocated_anew() {
    let mut lab = Lab::relayed();
    lab.relays.truncate(1);
    lab.connect();
    chatter(&mut lab, seconds(2));
    lab.relays[0].restart();
    let outage = recovery(&mut lab);
    assert!(outage < seconds(30), "{outage:?}");
}

#[test]
fn a_direct_path_that_is_cut_is_replaced_by_a_relayed_one() {
    let mut lab = Lab::direct();
    lab.connect();
    lab.run_for(seconds(2));
    let is_household = |address: SocketAddr| matches!(address, SocketAddr::V4(a) if a.ip().octets()[..3] == [203, 0, 113]);
    lab.network
        .cut(move |from, to| is_household(from) && is_household(to));
    let start = lab.now;
    while lab.now < start + seconds(25) {
        chatter(&mut lab, seconds(1));
    }
    for side in Side::BOTH {
        assert_ne!(lab.path(side), Some(PathKind::PeerToPeer), "{side:?}");
    }
    assert_eq!(chatter(&mut lab, seconds(10)), 0);
}

#[test]
fn invalidated_candidates_take_their_path_with_them() {
    let mut lab = Lab::direct();
    lab.connect();
    lab.run_for(seconds(2));
    let reflexive: Vec<_> = lab
        .node(Side::Gateway)
        .signalled
        .iter()
        .filter(|candidate| candidate.kind == CandidateKind::ServerReflexive)
        .cloned()
        .collect();
    lab.retract(Side::Client, &reflexive);
    assert!(!reflexive.is_empty());
    let path = lab.path(Side::Client);
    assert!(
        path.is_some() && path != Some(PathKind::PeerToPeer),
        "{path:?}"
    );
    lab.ping();
}

#[test]
fn a_nat_that_forgets_everything_interrupts_nothing_for_long() {
    for mut lab in [Lab::direct(), Lab::relayed()] {
        lab.connect();
        chatter(&mut lab, seconds(2));
        lab.forget_mappings(Side::Client);
        let outage = recovery(&mut lab);
        assert!(outage < seconds(6), "{outage:?}");
        assert_eq!(chatter(&mut lab, seconds(30)), 0);
    }
}

#[test]
fn a_changed_mapping_is_signalled_and_the_old_one_taken_back() {
    let mut lab = Lab::direct();
    lab.connect();
    let reflexive = |lab: &mut Lab| {
        let signalled = lab.node(Side::Client).signalled.iter();
        let kind = CandidateKind::ServerReflexive;
        let mut addresses: Vec<_> = signalled
            .filter(|c| c.kind == kind)
            .map(|c| c.address)
            .collect();
        addresses.dedup();
        addresses
    };
    let before = reflexive(&mut lab);
    lab.forget_mappings(Side::Client);
    lab.run_for(seconds(30));
    let after = reflexive(&mut lab);
    assert!(after.len() > before.len(), "{after:?}");
    let removed: Vec<_> = lab
        .node(Side::Client)
        .events
        .iter()
        .filter_map(|event| match event {
            Event::CandidatesRemoved { candidates, .. } => Some(candidates),
            _ => None,
        })
        .flatten()
        .map(|candidate| candidate.address)
        .collect();
    assert!(removed.contains(&before[0]), "{removed:?}");
}

#[test]
fn reset_forgets_everything_and_everything_comes_back() {
    let mut lab = Lab::direct();
    lab.connect();
    let now = lab.now;
    let old_key = lab.node(Side::Client).connectivity.public_key();
    let client = lab.node(Side::Client);
    client.connectivity.reset(Seed::from_bytes([77; 32]), now);
    assert_ne!(client.connectivity.public_key(), old_key);
    assert!(!client.connectivity.has_peer(GATEWAY));
    client.events.clear();
    lab.run_for(seconds(1));
    assert!(lab.node(Side::Client).events.is_empty());
    assert_eq!(lab.node(Side::Client).connectivity.peers().count(), 0);

    lab.connect();
    assert_eq!(chatter(&mut lab, seconds(2)), 0);
}

#[test]
fn a_process_that_was_stopped_for_forty_seconds_finds_out_soon() {
    let mut lab = Lab::direct();
    lab.connect();
    chatter(&mut lab, seconds(2));
    lab.node(Side::Client).paused = true;
    lab.run_for(seconds(40));
    lab.node(Side::Client).paused = false;
    let reason = closed(&mut lab, Side::Gateway);
    assert_eq!(reason, Some(CloseReason::NoPath), "the gateway gave up");
    let woken = lab.now;
    lab.run_until(seconds(20), |lab| closed(lab, Side::Client).is_some());
    assert!(lab.now - woken < seconds(5), "{:?}", lab.now - woken);
    lab.node(Side::Client).events.clear();
    lab.authorize();
    lab.run_until(seconds(2), Lab::is_established);
    assert_eq!(chatter(&mut lab, seconds(5)), 0);
}

#[test]
fn ten_seconds_without_network_are_survived() {
    for mut lab in [Lab::direct(), Lab::relayed()] {
        lab.connect();
        chatter(&mut lab, seconds(2));
        lab.cut(|_, _| true);
        chatter(&mut lab, seconds(10));
        lab.network.heal();
        chatter(&mut lab, seconds(2));
        assert_eq!(chatter(&mut lab, seconds(20)), 0);
    }
}

#[test]
fn a_relay_whose_ipv6_address_is_out_of_reach_works_over_ipv4() {
    let relays = vec![TestRelay::dual_stack(1), TestRelay::dual_stack(2)];
    let mut lab = Lab::new(Some(NatConfig::SYMMETRIC), relays);
    lab.start_relays();
    assert!(
        lab.elapsed() < Duration::from_millis(100),
        "{:?}",
        lab.elapsed()
    );
    lab.authorize();
    lab.run_until(seconds(1), Lab::is_established);
    assert!(lab.is_established());
    lab.run_for(seconds(20));
    assert!(!lab.node(Side::Client).events.contains(&Event::NoRelays));
    lab.ping();
}

#[test]
fn dual_stack_peers_meet_over_ipv6() {
    let relays = vec![TestRelay::dual_stack(1), TestRelay::dual_stack(2)];
    let mut lab = Lab::new(Some(NatConfig::SYMMETRIC), relays).with_ipv6();
    lab.connect();
    lab.run_for(seconds(2));
    for side in Side::BOTH {
        assert_eq!(lab.path(side), Some(PathKind::PeerToPeer), "{side:?}");
    }
    lab.ping();
}

#[test]
fn lost_first_datagrams_are_repeated_after_a_second() {
    let mut lab = Lab::direct();
    let mut lost = 0;
    lab.cut(move |_, to| {
        lost += usize::from(to.port() == PORT);
        to.port() == PORT && lost <= 4
    });
    lab.start_relays();
    lab.authorize();
    lab.run_until(seconds(5), Lab::is_established);
    assert!(lab.is_established());
    assert!(lab.elapsed() >= seconds(1));
    assert!(
        lab.elapsed() < Duration::from_millis(1_200),
        "{:?}",
        lab.elapsed()
    );
}

#[test]
fn congestion_marks_reach_the_inner_packet() {
    let mut lab = Lab::direct();
    lab.connect();
    lab.congested = true;
    for (sent, arrives) in [
        (Ecn::NotEct, Ecn::NotEct),
        (Ecn::Ect0, Ecn::Ce),
        (Ecn::Ect1, Ecn::Ce),
        (Ecn::Ce, Ecn::Ce),
    ] {
        let mut packet = ipv4_packet(b"marked");
        packet[1] = sent.bits();
        assert_eq!(lab.send(Side::Client, &packet), Verdict::Sent);
        lab.deliver_all();
        let received = lab.node(Side::Gateway).inbox.pop().unwrap();
        assert_eq!(Ecn::from_bits(received[1]), arrives, "{sent:?}");
    }
}

#[test]
fn upsert_of_the_same_authorization_keeps_the_connection() {
    let mut lab = Lab::direct();
    lab.connect();
    lab.node(Side::Client).events.clear();
    lab.psk = [3; 32];
    assert_eq!(lab.upsert(Side::Client), Upsert::Reused);
    assert_eq!(lab.upsert(Side::Gateway), Upsert::Reused);
    lab.run_for(seconds(1));
    assert!(
        lab.node(Side::Client).events.is_empty(),
        "a client has nothing to add"
    );
    lab.ping();
}

#[test]
fn handshakes_come_back_when_the_first_ones_are_lost() {
    let mut lab = Lab::direct();
    lab.start_relays();
    // Whatever a gateway's NAT sends to a client's after the checks is lost for a while.
    lab.authorize();
    let end = lab.now + seconds(4);
    lab.run_until(seconds(1), |lab| lab.path(Side::Client).is_some());
    lab.network
        .cut(|from, to| from.port() != PORT && to.port() != PORT);
    lab.run_until(end - lab.now, |_| false);
    lab.network.heal();
    lab.run_until(seconds(3), Lab::is_established);
    assert!(lab.is_established());
}
