//! What gateways hear of our addresses, and that nothing is forgotten.

use super::*;

fn gateway(n: u8) -> GatewayId {
    GatewayId::from_bytes([n; 16])
}

fn candidate(port: u16) -> Candidate {
    let text = format!("candidate:1 1 udp 2130706431 192.0.2.1 {port} typ host");
    text.parse().unwrap()
}

fn added(n: u8, ports: &[u16]) -> PortalRequest {
    PortalRequest::AddCandidates {
        gateway: gateway(n),
        candidates: ports.iter().copied().map(candidate).collect(),
    }
}

fn removed(n: u8, ports: &[u16]) -> PortalRequest {
    PortalRequest::RemoveCandidates {
        gateway: gateway(n),
        candidates: ports.iter().copied().map(candidate).collect(),
    }
}

fn told(candidates: &mut Candidates) -> Vec<PortalRequest> {
    candidates.take().collect()
}

#[test]
fn additions_add_up_for_each_gateway_and_are_told_once() {
    let mut candidates = Candidates::default();
    candidates.add(gateway(2), vec![candidate(1)]);
    candidates.add(gateway(1), vec![candidate(2)]);
    candidates.add(gateway(2), vec![candidate(3), candidate(1)]);
    assert_eq!(told(&mut candidates), [added(1, &[2]), added(2, &[1, 3])]);
    assert_eq!(told(&mut candidates), []);
}

#[test]
fn the_latest_change_of_an_address_counts() {
    let mut candidates = Candidates::default();
    candidates.add(gateway(1), vec![candidate(1), candidate(2)]);
    candidates.remove(gateway(1), vec![candidate(1), candidate(3)]);
    assert_eq!(
        told(&mut candidates),
        [removed(1, &[1, 3]), added(1, &[2])],
        "what is withdrawn comes first"
    );
    candidates.remove(gateway(1), vec![candidate(1)]);
    candidates.add(gateway(1), vec![candidate(1)]);
    assert_eq!(told(&mut candidates), [removed(1, &[1]), added(1, &[1])]);
    candidates.remove(gateway(1), vec![candidate(1)]);
    candidates.add(gateway(1), vec![candidate(1)]);
    candidates.remove(gateway(1), vec![candidate(1)]);
    assert_eq!(told(&mut candidates), [removed(1, &[1])]);
}

#[test]
fn what_changes_later_is_merged_as_if_it_had_come_one_by_one() {
    let mut waiting = Candidates::default();
    waiting.add(gateway(1), vec![candidate(1), candidate(2)]);
    waiting.remove(gateway(1), vec![candidate(3)]);
    let mut later = Candidates::default();
    later.remove(gateway(1), vec![candidate(1)]);
    later.add(gateway(1), vec![candidate(3), candidate(4)]);
    later.remove(gateway(1), vec![candidate(2)]);
    later.add(gateway(1), vec![candidate(2)]);
    waiting.extend(later);
    let expected = [removed(1, &[1, 2, 3]), added(1, &[2, 3, 4])];
    assert_eq!(told(&mut waiting), expected);
}

#[test]
fn what_waits_is_bounded_and_addresses_that_are_gone_go_first() {
    let mut candidates = Candidates::default();
    candidates.add(gateway(1), vec![candidate(1)]);
    for port in 2..10_000 {
        candidates.add(gateway(1), vec![candidate(port)]);
        candidates.remove(gateway(1), vec![candidate(port)]);
    }
    let waiting = candidates.changes[&gateway(1)].len();
    assert_eq!(waiting, MAX_CHANGES);
    assert_eq!(
        told(&mut candidates).last(),
        Some(&added(1, &[1])),
        "the one that leads to us"
    );
    for port in 1..=300 {
        candidates.add(gateway(1), vec![candidate(port)]);
    }
    let newest: Vec<u16> = (45..=300).collect();
    assert_eq!(told(&mut candidates), [added(1, &newest)]);
}
