//! What is believed, and of whom.

use super::*;

#[test]
fn what_is_not_signed_by_the_relay_is_not_believed() {
    let stranger = Relay {
        password: "other".to_owned().into(),
        ..relay("2000000000:salt")
    };
    let stranger = Credentials::new(&stranger);
    for key in [None, stranger.as_ref()] {
        for code in [401, 420, 437, 438] {
            let mut bench = Bench::allocated();
            let request = bench.provoke(Request::Refresh);
            let error = ErrorCode::new(code, String::new()).unwrap();
            bench.answer(&request, vec![error.into()], key);
            assert_eq!(bench.handled, Err(DropReason::UnsolicitedAnswer));
            bench.none();
            assert_eq!(bench.events(), [], "{code}");
            bench.pass(SECOND);
            assert_eq!(bench.one().method(), REFRESH, "it stays outstanding");
        }
        let mut bench = Bench::new();
        bench.reach();
        let request = bench.one();
        bench.events();
        let relayed = XorRelayAddress::new(v4(1, 50_000)).into();
        bench.answer(&request, vec![relayed, Lifetime::from_u32(600).into()], key);
        assert_eq!(bench.events(), []);
    }
}

#[test]
fn what_stands_behind_the_integrity_is_not_believed() {
    let key = Credentials::new(&relay("2000000000:salt")).unwrap();
    let fingerprint = [0x80, 0x28, 0, 4, 1, 2, 3, 4];
    let (genuine, forged) = (v4(1, 50_000), v6(66, 66));
    let appended: [Attribute; 4] = [
        XorRelayAddress::new(forged).into(),
        Lifetime::from_u32(0).into(),
        ErrorCode::new(420, String::new()).unwrap().into(),
        XorMappedAddress::new(forged).into(),
    ];
    for attribute in appended {
        let mut bench = Bench::new();
        bench.reach();
        let request = bench.one();
        bench.events();
        let id = request.message.transaction_id();
        let mut answer = Message::new(MessageClass::SuccessResponse, ALLOCATE, id);
        answer.add_attribute(XorRelayAddress::new(genuine));
        answer.add_attribute(Lifetime::from_u32(600));
        key.sign(&mut answer).unwrap();
        let mut bytes = extended(answer, attribute);
        bytes.extend_from_slice(&fingerprint);
        let length = u16::try_from(bytes.len() - 20).unwrap();
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bench.deliver(&request, &bytes);
        let granted = AllocationEvent::Granted {
            address: genuine,
            local: local(SERVER),
        };
        assert_eq!(bench.events(), [granted]);
        let next = bench.allocation.deadline().unwrap().at;
        assert_eq!(next - bench.now, KEEP_ALIVE, "the lifetime is the relay's");
    }
}

#[test]
fn a_nonce_behind_the_integrity_is_not_used() {
    let mut bench = Bench::new();
    bench.reach();
    let request = bench.one();
    let id = request.message.transaction_id();
    let mut challenge = Message::new(MessageClass::ErrorResponse, ALLOCATE, id);
    challenge.add_attribute(ErrorCode::new(401, String::new()).unwrap());
    let key = Credentials::new(&relay("2000000000:salt")).unwrap();
    key.sign(&mut challenge).unwrap();
    let forged = Nonce::new("forged".to_owned()).unwrap();
    bench.deliver(&request, &extended(challenge, forged.into()));
    bench.none();
}

#[test]
fn errors_to_a_binding_are_ignored() {
    let mut bench = Bench::new();
    let bindings = bench.sent();
    bench.refuse(&bindings[0], 420);
    assert_eq!(bench.events(), []);
    bench.mapped(&bindings[0], v4(200, 1));
    assert_eq!(bench.one().method(), ALLOCATE);
}

#[test]
fn answers_of_another_method_or_class_are_ignored() {
    let mut bench = Bench::allocated();
    let request = bench.provoke(Request::Refresh);
    for (class, method, reason) in [
        (
            MessageClass::SuccessResponse,
            CHANNEL_BIND,
            DropReason::UnsolicitedAnswer,
        ),
        (MessageClass::Request, REFRESH, DropReason::Unrecognized),
        (MessageClass::Indication, REFRESH, DropReason::Unrecognized),
    ] {
        let mut reply = Message::new(class, method, request.message.transaction_id());
        reply.add_attribute(Lifetime::from_u32(600));
        let key = Credentials::new(&relay("2000000000:salt")).unwrap();
        key.sign(&mut reply).unwrap();
        let bytes = MessageEncoder::default().encode_into_bytes(reply).unwrap();
        let handled = bench
            .allocation
            .handle_stun(SERVER, local(SERVER), &bytes, bench.now);
        assert_eq!(handled, Err(reason));
    }
    bench.pass(SECOND);
    assert_eq!(bench.one().method(), REFRESH, "still outstanding");
}

#[test]
fn an_allocation_needs_a_lifetime_and_one_address() {
    let v4_address: Attribute = XorRelayAddress::new(v4(1, 50_000)).into();
    let v6_address: Attribute = XorRelayAddress::new(v6(1, 50_000)).into();
    let lifetime: Attribute = Lifetime::from_u32(600).into();
    for (attributes, expected) in [
        (
            vec![v4_address.clone(), lifetime.clone()],
            vec![v4(1, 50_000)],
        ),
        (
            vec![v6_address.clone(), lifetime.clone()],
            vec![v6(1, 50_000)],
        ),
        (
            vec![v6_address, v4_address.clone(), lifetime.clone()],
            vec![v4(1, 50_000), v6(1, 50_000)],
        ),
        (vec![lifetime], vec![]),
        (vec![v4_address.clone()], vec![]),
        (vec![v4_address, Lifetime::from_u32(0).into()], vec![]),
    ] {
        let mut bench = Bench::new();
        bench.reach();
        let request = bench.one();
        bench.events();
        bench.signed(&request, attributes);
        let granted: Vec<_> = bench
            .events()
            .into_iter()
            .filter_map(|event| match event {
                AllocationEvent::Granted { address, .. } => Some(address),
                _ => None,
            })
            .collect();
        assert_eq!(granted, expected);
        assert_eq!(bench.allocation.is_usable(), !expected.is_empty());
    }
}
