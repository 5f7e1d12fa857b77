//! What time does: silence, probes, lease and mapping.

use super::*;

#[test]
fn unanswered_requests_end_the_allocation_if_they_went_where_it_lives() {
    // Where the request went, and whether the relay is given up.
    for (request, server, ends) in [
        (Request::Refresh, SERVER, true),
        (BIND, SERVER, true),
        (Request::Binding, SERVER, true),
        (Request::Binding, v6(1, 3478), false),
    ] {
        let mut bench = Bench::allocated();
        bench
            .allocation
            .send(Pending::new(request, server, bench.now));
        let ids: Vec<_> = std::iter::once(bench.one())
            .chain([1000, 1500, 2250].into_iter().flat_map(|gap| {
                bench.pass(Duration::from_millis(gap));
                bench.sent()
            }))
            .map(|seen| seen.message.transaction_id())
            .collect();
        assert_eq!(ids.len(), 4, "{request:?}");
        let is_same = ids.iter().all(|id| *id == ids[0]);
        assert_eq!(is_same, request == Request::Binding, "{request:?}");
        bench.pass(Duration::from_millis(8000 - 4750 - 1));
        assert_eq!(bench.events(), []);
        bench.pass(Duration::from_millis(1));
        let expected = if ends { 2 } else { 0 };
        assert_eq!(revoked(&bench.events()), expected, "{request:?} {server}");
        assert_eq!(bench.allocation.is_gone(), ends, "{request:?} {server}");
    }
}

#[test]
fn a_relay_that_never_answers_is_gone_after_eight_seconds() {
    let mut bench = Bench::new();
    bench.pass(8 * SECOND - Duration::from_millis(1));
    assert!(!bench.allocation.is_gone());
    bench.pass(Duration::from_millis(1));
    assert!(bench.allocation.is_gone());
}

#[test]
fn a_probe_is_one_attempt_of_one_second() {
    let mut bench = Bench::allocated();
    bench.allocation.send_refresh(bench.now);
    assert_eq!(bench.one().method(), REFRESH);
    bench.allocation.send_refresh(bench.now);
    bench.none();
    bench.pass(SECOND);
    bench.none();
    assert_eq!(revoked(&bench.events()), 2);
    assert!(bench.allocation.is_gone());
}

#[test]
fn a_probe_survives_a_challenge() {
    let mut bench = Bench::allocated();
    bench.allocation.send_refresh(bench.now);
    let request = bench.one();
    bench.challenge(&request, 438, "fresh");
    let again = bench.one();
    bench.signed(&again, vec![Lifetime::from_u32(600).into()]);
    bench.pass(2 * SECOND);
    bench.none();
    assert!(bench.allocation.is_usable());
}

#[test]
fn round_trips_are_averaged_from_the_first_transmission() {
    let mut bench = Bench::new();
    let bindings = bench.sent();
    bench.now += Duration::from_millis(80);
    bench.mapped(&bindings[0], v4(200, 1));
    assert_eq!(bench.allocation.rtt(), Some(Duration::from_millis(80)));
    let request = bench.one();
    bench.pass(Duration::from_millis(1600));
    let again = bench.sent().pop().unwrap();
    assert_eq!(again.method(), ALLOCATE);
    bench.challenge(&again, 401, "nonce1");
    let expected = Duration::from_millis(80 * 7 / 8 + 1600 / 8);
    assert_eq!(bench.allocation.rtt(), Some(expected));
    bench.sent();
    bench.challenge(&request, 401, "nonce2");
    bench.none();
}

#[test]
fn the_lease_is_refreshed_at_half_time_and_ends_without() {
    let mut bench = Bench::allocated();
    let binding_only = |bench: &mut Bench, until: Duration| {
        let end = bench.now + until;
        while bench.now < end {
            bench.pass(SECOND);
            for request in bench.sent() {
                assert_eq!(request.method(), BINDING);
                bench.mapped(&request, v4(200, 40_000));
            }
        }
    };
    binding_only(&mut bench, 299 * SECOND);
    bench.pass(SECOND);
    let refresh = bench
        .sent()
        .into_iter()
        .find(|seen| seen.method() == REFRESH);
    let refresh = refresh.expect("a refresh after 300 s");
    assert_eq!(refresh.lifetime(), None);
    bench.signed(&refresh, vec![Lifetime::from_u32(600).into()]);
    binding_only(&mut bench, 290 * SECOND);

    // A process that slept through all of it starts over.
    bench.now += 3600 * SECOND;
    bench.allocation.handle_timeout(bench.now);
    assert_eq!(revoked(&bench.events()), 2);
    let methods: Vec<_> = bench.sent().iter().map(Seen::method).collect();
    assert!(methods.ends_with(&[BINDING, BINDING]), "{methods:?}");
}

#[test]
fn the_mapping_is_kept_alive_every_25_seconds_while_there_is_a_lease() {
    let mut bench = Bench::allocated();
    for _ in 0..3 {
        bench.pass(25 * SECOND - Duration::from_millis(1));
        bench.none();
        bench.pass(Duration::from_millis(1));
        let binding = bench.one();
        assert_eq!((binding.method(), binding.server), (BINDING, SERVER));
        bench.mapped(&binding, v4(200, 40_000));
        bench.events();
    }
}

#[test]
fn another_mapping_makes_sure_that_the_relay_still_knows_us() {
    let mut bench = Bench::allocated();
    bench.pass(25 * SECOND);
    let binding = bench.one();
    bench.mapped(&binding, v4(200, 40_001));
    let refresh = bench.one();
    assert_eq!(refresh.method(), REFRESH);
    bench.refuse(&refresh, 437);
    assert_eq!(bench.one().method(), ALLOCATE);
}

#[test]
fn an_urgent_binding_leads_to_a_refresh_or_to_silence() {
    let mut bench = Bench::allocated();
    bench.allocation.send_binding(bench.now);
    let binding = bench.one();
    assert_eq!(binding.method(), BINDING);
    bench.allocation.send_binding(bench.now);
    bench.none();
    bench.mapped(&binding, v4(200, 40_000));
    assert_eq!(bench.one().method(), REFRESH);

    let mut bench = Bench::allocated();
    bench.allocation.send_binding(bench.now);
    bench.pass(3 * SECOND);
    assert_eq!(bench.events(), [AllocationEvent::Silent]);
    assert!(!bench.allocation.is_gone(), "that is for others to decide");
}
