//! What is merged, what is bounded, and how it ends.

use super::*;
use crate::testing::now_or_never;
use model::{Candidate, GatewayId};
use std::{collections::BTreeSet, pin::pin};

fn plan(number: u8) -> InterfacePlan {
    InterfacePlan {
        ipv4: [100, 64, 0, number].into(),
        ipv6: "fd00:2021:1111::1".parse().unwrap(),
        routes: BTreeSet::new(),
        dns_servers: vec![],
        search_domain: None,
    }
}

fn flow(number: u16) -> PortalRequest {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    PortalRequest::CreateFlow {
        resource: ResourceId::from_bytes(id),
        connected_gateways: BTreeSet::new(),
    }
}

fn addresses(port: u16) -> PortalRequest {
    let text = format!("candidate:1 1 udp 2130706431 192.0.2.1 {port} typ host");
    PortalRequest::AddCandidates {
        gateway: GatewayId::from_bytes([1; 16]),
        candidates: vec![text.parse::<Candidate>().unwrap()],
    }
}

fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

/// All that waits; nothing more does.
async fn all(stream: &mut ReportStream) -> Reports {
    let reports = stream.next().await.unwrap();
    assert!(now_or_never(pin!(stream.next())).is_none());
    reports
}

#[tokio::test]
async fn of_ten_thousand_plans_the_last_one_is_left() {
    let (sink, mut stream) = channel();
    for n in 0..10_000_u16 {
        sink.plan(plan(n.to_be_bytes()[1]));
    }
    let last = 9_999_u16.to_be_bytes()[1];
    assert_eq!(all(&mut stream).await.plan, Some(plan(last)));
}

#[tokio::test]
async fn candidates_of_a_busy_time_all_arrive() {
    let (sink, mut stream) = channel();
    for port in 1..=200 {
        sink.request(addresses(port));
    }
    let told: Vec<_> = all(&mut stream).await.candidates.take().collect();
    let [PortalRequest::AddCandidates { candidates, .. }] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(candidates.len(), 200);
}

#[tokio::test]
async fn a_reset_voids_what_was_wanted_before_and_keeps_the_plan() {
    let (sink, mut stream) = channel();
    sink.plan(plan(1));
    sink.request(flow(1));
    sink.request(addresses(1));
    sink.request(PortalRequest::Reconnect);
    sink.reset(key(1));
    sink.reset(key(2));
    sink.request(flow(2));
    let mut reports = all(&mut stream).await;
    assert_eq!(reports.key, Some(key(2)));
    assert_eq!(reports.plan, Some(plan(1)));
    assert!(!reports.reconnect);
    assert_eq!(reports.flows, [flow(2)]);
    assert_eq!(reports.candidates.take().count(), 0);
}

#[tokio::test]
async fn requests_are_told_once_per_resource_and_the_newest_remain() {
    let (sink, mut stream) = channel();
    for number in 0..300 {
        sink.request(flow(number));
        sink.request(flow(number));
    }
    sink.request(flow(50));
    sink.request(PortalRequest::Reconnect);
    let reports = all(&mut stream).await;
    let newest = (44..50).chain(51..300).chain([50]).map(flow);
    assert_eq!(reports.flows, newest.collect::<Vec<_>>());
    assert!(reports.reconnect);
}

#[tokio::test]
async fn events_are_bounded_and_changed_lists_are_told_once() {
    let (sink, mut stream) = channel();
    for n in 0..2_000_u16 {
        let id = GatewayId::from_bytes([n.to_be_bytes()[1]; 16]);
        sink.event(Event::GatewayConnected(id));
        sink.event(Event::ResourcesChanged);
    }
    let reports = all(&mut stream).await;
    assert!(reports.resources_changed);
    assert_eq!(reports.events.len(), MAX_EVENTS);
    let last = GatewayId::from_bytes([1_999_u16.to_be_bytes()[1]; 16]);
    assert_eq!(reports.events.back(), Some(&Event::GatewayConnected(last)));
}

#[tokio::test]
async fn the_end_of_either_side_is_told_after_what_waits() {
    let (sink, mut stream) = channel();
    sink.plan(plan(1));
    drop(sink);
    assert!(stream.next().await.unwrap().plan.is_some());
    assert!(stream.next().await.is_none());

    let (sink, stream) = channel();
    {
        let mut closed = pin!(sink.closed());
        assert!(now_or_never(closed.as_mut()).is_none());
        drop(stream);
        closed.await;
    }
    sink.closed().await;
}
