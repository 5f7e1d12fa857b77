//! Channels of an allocation: asked for, shared, kept.

use super::*;

#[test]
fn addresses_wait_for_the_allocation_up_to_a_hundred_and_32_of_a_peer() {
    let mut bench = Bench::new();
    for port in 1..=150u16 {
        // The first peer is greedy, the others have an address each.
        let owner = u8::try_from(port.saturating_sub(40)).unwrap();
        for _ in 0..2 {
            let owner = PeerId::from_bytes([owner; 16]);
            bench.allocation.bind(v4(9, port), owner, bench.now);
        }
    }
    // Who withdraws an address that is another's changes nothing.
    let owner = PeerId::from_bytes([10; 16]);
    bench.allocation.release(v4(9, 50), owner);
    bench.allocation.release(v4(9, 60), owner);
    bench.reach();
    let request = bench.one();
    bench.challenge(&request, 401, "nonce1");
    let request = bench.one();
    bench.grant(&request);
    let binds = bench.sent();
    let ports: Vec<u16> = binds.iter().map(|seen| seen.peer().port()).collect();
    let expected = (1..=32).chain(41..=49).chain(51..=108);
    assert_eq!(ports, expected.collect::<Vec<u16>>(), "99 of a hundred");
    let numbers: Vec<_> = binds.iter().filter_map(Seen::number).collect();
    assert_eq!(numbers, (0x4000..0x4000 + 99).collect::<Vec<u16>>());
}

#[test]
fn requests_do_not_pile_up_however_often_there_is_a_reason() {
    let mut bench = Bench::allocated();
    for _ in 0..100 {
        bench.allocation.send_binding(bench.now);
        bench.allocation.send_refresh(bench.now);
        bench.allocation.bind(v4(9, 9), OWNER, bench.now);
        bench.allocation.route_to(v4(9, 9), Some(OWNER), bench.now);
    }
    let sent = bench.sent();
    let methods: Vec<_> = sent.iter().map(Seen::method).collect();
    assert_eq!(methods, [BINDING, REFRESH, CHANNEL_BIND]);
}

#[test]
fn without_an_owner_no_channel_is_opened() {
    let mut bench = Bench::allocated();
    assert_eq!(bench.allocation.route_to(v4(9, 9), None, bench.now), None);
    bench.none();
    let bind = bench.provoke(BIND);
    bench.signed(&bind, vec![]);
    let Request::ChannelBind { number, peer } = BIND else {
        panic!("it binds a channel");
    };
    let route = bench.allocation.route_to(peer, None, bench.now);
    assert_eq!(route, Some((SERVER, number)));
}

#[test]
fn no_channel_is_asked_for_in_a_family_the_allocation_lacks() {
    let mut bench = Bench::new();
    bench.reach();
    let request = bench.one();
    let relayed = XorRelayAddress::new(v4(1, 50_000)).into();
    bench.signed(&request, vec![relayed, Lifetime::from_u32(600).into()]);
    bench.allocation.bind(v6(9, 9), OWNER, bench.now);
    bench.none();
    assert_eq!(
        bench.allocation.route_to(v6(9, 9), Some(OWNER), bench.now),
        None
    );
    bench.none();
}

#[test]
fn sending_without_a_channel_asks_for_one_and_uses_it_at_once() {
    let mut bench = Bench::allocated();
    let route = bench.allocation.route_to(v4(9, 9), Some(OWNER), bench.now);
    assert_eq!(route, Some((SERVER, 0x4000)));
    let bind = bench.one();
    assert_eq!(bind.number(), Some(0x4000));
    assert_eq!(
        bench.allocation.route_to(v4(9, 9), Some(OWNER), bench.now),
        route
    );
    bench.none();
    assert_eq!(bench.allocation.handle_channel(0x4000, bench.now), None);
    bench.signed(&bind, vec![]);
    assert_eq!(
        bench.events(),
        [AllocationEvent::ChannelBound { peer: v4(9, 9) }]
    );
    assert_eq!(
        bench.allocation.handle_channel(0x4000, bench.now),
        Some((v4(9, 9), v4(1, 50_000)))
    );
}

#[test]
fn a_used_channel_is_bound_again_after_five_minutes() {
    let mut bench = Bench::allocated();
    let bind = bench.provoke(BIND);
    bench.signed(&bind, vec![]);
    bench.allocation.handle_channel(0x4000, bench.now);
    let mut binds = 0;
    for _ in 0..330 {
        bench.pass(SECOND);
        for request in bench.sent() {
            match request.method() {
                BINDING => bench.mapped(&request, v4(200, 40_000)),
                REFRESH => bench.signed(&request, vec![Lifetime::from_u32(600).into()]),
                _ => {
                    binds += 1;
                    assert_eq!(request.number(), Some(0x4000));
                    bench.signed(&request, vec![]);
                }
            }
        }
    }
    assert_eq!(binds, 1);
}
