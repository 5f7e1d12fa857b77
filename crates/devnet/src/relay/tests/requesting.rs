//! What requests get. spec: data-plane 5.2, 5.4

use super::*;
use proptest::prelude::*;
use stun_codec::{
    rfc5766::methods::{CREATE_PERMISSION, SEND},
    rfc8656::attributes::RequestedAddressFamily,
};

#[test]
fn an_allocation_has_one_port_in_the_families_that_were_asked_for() {
    let (v4, v6) = (Some(V4), Some(V6));
    let requested = |family| Some(RequestedAddressFamily::new(family).into());
    let additional = |family| Some(AdditionalAddressFamily::new(family).into());
    let (four, six) = (AddressFamily::V4, AddressFamily::V6);
    let rows: [(
        (_, _),
        Option<Attribute>,
        Option<Attribute>,
        Result<(bool, bool), u16>,
    ); 16] = [
        ((v4, v6), None, None, Ok((true, false))),
        ((v4, None), None, None, Ok((true, false))),
        ((v4, v6), requested(four), None, Ok((true, false))),
        ((v4, None), requested(four), None, Ok((true, false))),
        ((v4, v6), requested(six), None, Ok((false, true))),
        ((None, v6), requested(six), None, Ok((false, true))),
        ((v4, v6), None, additional(six), Ok((true, true))),
        ((v4, None), None, additional(six), Ok((true, false))),
        ((None, v6), None, additional(six), Ok((false, true))),
        ((v4, v6), requested(four), additional(six), Err(400)),
        ((v4, v6), requested(six), additional(six), Err(400)),
        ((v4, v6), None, additional(four), Err(400)),
        ((None, v6), None, additional(four), Err(400)),
        ((None, v6), None, None, Err(440)),
        ((None, v6), requested(four), None, Err(440)),
        ((v4, None), requested(six), None, Err(440)),
    ];
    for ((v4, v6), requested, additional, expected) in rows {
        let row = format!("{v4:?} {v6:?} {requested:?} {additional:?}");
        let mut bench = Bench::with(v4, v6);
        let attributes = [Some(udp()), requested, additional]
            .into_iter()
            .flatten()
            .collect();
        let answer = bench.ask(client(), ALLOCATE, attributes);
        let Ok((has_v4, has_v6)) = expected else {
            assert_eq!(Err(answer.code()), expected, "{row}");
            assert!(bench.ports.open.is_empty(), "{row}");
            continue;
        };
        assert_eq!(answer.code(), 0, "{row}");
        let (&port, &families) = bench.ports.open.first_key_value().unwrap();
        assert!(port >= 49_152, "{port}");
        assert_eq!(families, (has_v4, has_v6), "{row}");
        let v4 = has_v4.then_some(SocketAddr::from((V4, port)));
        let v6 = has_v6.then_some(SocketAddr::from((V6, port)));
        assert_eq!(
            answer.relayed(),
            [v4, v6].into_iter().flatten().collect::<Vec<_>>(),
            "{row}"
        );
        assert_eq!(
            (answer.mapped(), answer.lifetime()),
            (Some(client()), Some(600)),
            "{row}"
        );
    }
}

#[test]
fn impossible_allocations_are_refused() {
    let (mut bench, _) = Bench::allocated();
    assert_eq!(bench.ask(client(), ALLOCATE, both_families()).code(), 437);
    let other = address("198.51.100.8:1");
    assert_eq!(bench.ask(other, ALLOCATE, vec![]).code(), 400);
    let tcp = RequestedTransport::new(6).into();
    assert_eq!(bench.ask(other, ALLOCATE, vec![tcp]).code(), 400);
    bench.ports.is_full = true;
    assert_eq!(bench.ask(other, ALLOCATE, both_families()).code(), 508);
    assert_eq!(bench.server.allocations(), 1);
}

#[test]
fn a_taken_port_leads_to_another_one() {
    let mut bench = Bench::new();
    for n in 1..=20 {
        let from = SocketAddr::from(([198, 51, 100, 9], n));
        assert_eq!(bench.ask(from, ALLOCATE, vec![udp()]).code(), 0);
    }
    assert_eq!(bench.ports.open.len(), 20);
}

#[test]
fn lifetimes_are_capped_and_have_a_default() {
    for (wanted, granted) in [
        (None, 600),
        (Some(60), 60),
        (Some(3600), 3600),
        (Some(9999), 3600),
    ] {
        let mut bench = Bench::new();
        let attributes = || wanted.map(lifetime).into_iter();
        let answer = bench.ask(client(), ALLOCATE, attributes().chain([udp()]).collect());
        assert_eq!(answer.lifetime(), Some(granted), "{wanted:?}");
        assert_eq!(
            bench.server.deadline(),
            Some(bench.now + Duration::from_secs(granted))
        );
        bench.after(10);
        let answer = bench.ask(client(), REFRESH, attributes().collect());
        assert_eq!(
            (answer.code(), answer.lifetime()),
            (0, Some(granted)),
            "{wanted:?}"
        );
        bench.after(granted - 1);
        assert_eq!(bench.server.allocations(), 1, "{wanted:?}");
        bench.after(1);
        assert_eq!(bench.server.allocations(), 0, "{wanted:?}");
        assert!(bench.ports.open.is_empty(), "{wanted:?}");
        assert_eq!(
            bench.ask(client(), REFRESH, vec![]).code(),
            437,
            "{wanted:?}"
        );
    }
}

#[test]
fn refreshing_with_no_lifetime_deletes() {
    let (mut bench, port) = Bench::allocated();
    bench.bind(0x4000, "203.0.113.9:9");
    let answer = bench.ask(client(), REFRESH, vec![lifetime(0)]);
    assert_eq!((answer.code(), answer.lifetime()), (0, Some(0)));
    assert!(bench.ports.open.is_empty());
    assert_eq!(bench.peer(port, "203.0.113.9:9"), None);
    assert_eq!(bench.ask(client(), REFRESH, vec![lifetime(0)]).code(), 437);
    assert_eq!(bench.ask(client(), ALLOCATE, both_families()).code(), 0);
}

#[test]
fn channels_are_bound_one_to_one() {
    let (a, b, six) = ("203.0.113.9:9", "203.0.113.9:10", "[2001:db8::9]:9");
    let (mut bench, _) = Bench::allocated();
    for (number, peer, code, why) in [
        (0x4000, a, 0, "new"),
        (0x4000, a, 0, "refreshed"),
        (0x4001, a, 400, "the peer has another number"),
        (0x4000, b, 400, "the number has another peer"),
        (0x4001, b, 0, "another port is another peer"),
        (0x4002, six, 0, "the other family"),
    ] {
        assert_eq!(bench.bind(number, peer), code, "{why}");
    }
    let bound = bench.ask(client(), CHANNEL_BIND, channel(0x4000, a));
    let types: Vec<u16> = bound
        .0
        .attributes()
        .map(|it| stun_codec::Attribute::get_type(it).as_u16())
        .collect();
    assert_eq!(
        types,
        [0x8022, 0x0008],
        "only SOFTWARE and MESSAGE-INTEGRITY"
    );
}

#[test]
fn impossible_channels_are_refused() {
    let mut bench = Bench::new();
    assert_eq!(bench.bind(0x4000, "203.0.113.9:9"), 437);
    bench.ask(client(), ALLOCATE, vec![udp()]);
    assert_eq!(bench.bind(0x4000, "[2001:db8::9]:9"), 443);
    let number = ChannelNumber::new(0x4000).unwrap().into();
    assert_eq!(bench.ask(client(), CHANNEL_BIND, vec![number]).code(), 400);
    let peer = XorPeerAddress::new(address("203.0.113.9:9")).into();
    assert_eq!(bench.ask(client(), CHANNEL_BIND, vec![peer]).code(), 400);

    let mut bench = Bench::with(None, Some(V6));
    bench.ask(client(), ALLOCATE, both_families());
    assert_eq!(bench.bind(0x4000, "203.0.113.9:9"), 443);
    assert_eq!(bench.bind(0x4000, "[2001:db8::9]:9"), 0);
}

#[test]
fn permissions_are_accepted_without_effect() {
    let (mut bench, port) = Bench::allocated();
    let peer = XorPeerAddress::new(address("203.0.113.9:9")).into();
    assert_eq!(bench.ask(client(), CREATE_PERMISSION, vec![peer]).code(), 0);
    assert_eq!(bench.peer(port, "203.0.113.9:9"), None);
}

#[test]
fn what_is_no_request_gets_no_answer() {
    let mut bench = Bench::new();
    for class in [
        MessageClass::Indication,
        MessageClass::SuccessResponse,
        MessageClass::ErrorResponse,
    ] {
        let message = Message::<Attribute>::new(class, ALLOCATE, TransactionId::new([1; 12]));
        assert!(
            bench.send(client(), &encode(message)).is_none(),
            "{class:?}"
        );
    }
    for first in (4..=63).chain(80..=255) {
        assert_eq!(
            bench.handle(client(), &[first; 40]),
            Forward::Drop,
            "{first}"
        );
    }
    assert_eq!(bench.handle(client(), &[]), Forward::Drop);
}

#[test]
fn requests_that_make_no_sense_are_refused_without_a_signature() {
    let mut bench = Bench::new();
    let unknown = encode(request(SEND, vec![]));
    // REQUESTED-ADDRESS-FAMILY with a family that does not exist.
    let undecodable = hex("00030008 2112a442 010101010101010101010101 00170004 09000000");
    for bytes in [unknown, undecodable] {
        let answer = bench.send(client(), &bytes).unwrap();
        assert_eq!((answer.code(), answer.is_signed()), (400, false));
        assert_eq!(answer.software(), Some("firezone-relay; rev=xxxx"));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        first in prop_oneof![0_u8..4, 64_u8..80, any::<u8>()],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let (mut bench, _) = Bench::allocated();
        let datagram = [&[first][..], &rest].concat();
        bench.handle(client(), &datagram);
        prop_assert_eq!(bench.server.allocations(), 1);
    }

    #[test]
    fn no_damage_to_a_request_makes_it_panic(
        at in 0_usize..200,
        value in any::<u8>(),
        length in 0_usize..200,
    ) {
        let mut bench = Bench::new();
        let mut message = request(ALLOCATE, both_families());
        message.add_attribute(Nonce::new(bench.nonce.clone()).unwrap());
        let mut bytes = encode(sign(message, USER, &password_of(USER)));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        bytes.truncate(bytes.len().saturating_sub(length / 20));
        bench.handle(client(), &bytes);
        // Whatever is granted was signed.
        prop_assert!(bench.server.allocations() <= 1);
    }
}
