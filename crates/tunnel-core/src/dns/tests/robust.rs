//! Whatever bytes come, from programs and from servers.

use super::*;
use proptest::prelude::*;

/// Messages that are nearly right.
fn nearly(message: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(move |(changes, end, cut)| {
        let mut bytes = message.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        bytes
    })
}

fn queries() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        nearly(query(7, "web.app.test.", RecordType::A)),
        nearly(extended(7, "other.test.", RecordType::TXT, 4096)),
        nearly(query(7, "1.0.96.100.in-addr.arpa.", RecordType::PTR)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_query_makes_it_panic(messages in proptest::collection::vec(queries(), 1..8)) {
        let mut fixture = Fixture::new();
        for message in &messages {
            for to in [SENTINEL, SENTINEL_V6] {
                let _dropped = fixture.send(4000, to, message);
            }
            let packet = crate::fixtures::udp(&format!("{PROGRAM}:4000"), "224.0.0.252:5355", message);
            let packet = IpPacket::parse(&packet[..]).unwrap();
            let _dropped = fixture.dns.handle_multicast(&packet, &fixture.resources);
        }
        while let Some(reply) = fixture.reply() {
            // What we say ourselves is always well-formed.
            prop_assert!(dns_message::Response::parse(&reply).is_ok());
            prop_assert!(messages.iter().any(|m| m.get(..2) == reply.get(..2)));
        }
    }

    #[test]
    fn no_answer_makes_it_panic(
        answers in proptest::collection::vec(nearly(respond(
            &extended(7, "other.test.", RecordType::TXT, 4096),
            vec![text("other.test.", 60, 300), address("other.test.", 60)],
        )), 1..8),
    ) {
        let mut fixture = Fixture::new();
        for answer in answers {
            let question = extended(7, "other.test.", RecordType::TXT, 4096);
            fixture.send(4000, SENTINEL, &question).unwrap();
            let Some(asked) = fixture.dns.poll_query() else {
                // A good one came through, and is kept.
                prop_assert!(fixture.reply().is_some());
                continue;
            };
            let mut answer = answer;
            if let (Some(id), Some(sent)) = (answer.get_mut(..2), asked.message.get(..2)) {
                id.copy_from_slice(sent);
            }
            fixture.answer(&asked, Ok(&answer));
            let reply = fixture.reply().unwrap();
            prop_assert_eq!(reply.get(..2), question.get(..2));
            prop_assert_eq!(reply.get(12..24), question.get(12..24));
        }
    }
}

#[test]
fn hostile_answers_are_failures() {
    let header =
        |id: &[u8], answers: u8| [id, &[0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0]].concat();
    let question = query(7, "other.test.", RecordType::A);
    let body = &question[12..];
    let at = u8::try_from(question.len()).unwrap();
    let record = |name: &[u8]| [name, &[0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 1]].concat();
    let long_name = [&[63; 64][..]; 5].concat();
    for (what, records) in [
        ("a pointer to itself", record(&[0xc0, at])),
        ("a pointer forwards", record(&[0xc0, at + 2])),
        ("a pointer into the header", record(&[0xc0, 3])),
        ("a loop", record(&[1, b'a', 0xc0, at])),
        ("a giant name", record(&[&long_name[..], &[0]].concat())),
        ("a reserved kind of label", record(&[0x80, 0])),
        ("no record at all", vec![]),
        (
            "a record that ends early",
            record(&[0xc0, 12])[..15].to_vec(),
        ),
    ] {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.ask(&question), None);
        let asked = fixture.dns.poll_query().unwrap();
        let answer = [&header(&asked.message[..2], 1), body, &records].concat();
        fixture.answer(&asked, Ok(&answer));
        let reply = parse(&fixture.reply().unwrap());
        assert_eq!(
            reply.metadata.response_code,
            ResponseCode::ServFail,
            "{what}"
        );
    }
}

#[test]
fn ten_thousand_names_under_one_wildcard_have_addresses_of_their_own() {
    let mut fixture = Fixture::new();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..10_000 {
        let question = query(7, &format!("n{n}.app.test."), RecordType::A);
        let answer = parse(&fixture.ask(&question).unwrap());
        for record in answer.answers {
            let RData::A(address) = record.data else {
                panic!("an address");
            };
            assert!(seen.insert(address.0), "{n}");
        }
    }
    assert_eq!(seen.len(), 40_000);
}

#[test]
fn flapping_servers_leave_nothing_behind() {
    let mut fixture = Fixture::new();
    for n in 0..2000_u16 {
        let servers: &[&str] = match n % 3 {
            0 => &["10.20.0.53:53"],
            1 => &["203.0.113.1:53", "203.0.113.2:53"],
            _ => &[],
        };
        fixture.set_portal_resolvers(servers);
        let sentinel = fixture.dns.sentinels().next().unwrap().to_string();
        fixture
            .send(4000, &sentinel, &query(n, "other.test.", RecordType::A))
            .unwrap();
        if let Some(asked) = fixture.dns.poll_query() {
            fixture.answer(&asked, Err(DnsFailure::Failed));
            assert_eq!(parse(&fixture.reply().unwrap()).metadata.id, n);
        }
        while fixture.dns.poll_tunneled().is_some() {}
    }
    fixture.pass(Duration::from_secs(11));
    assert_eq!(fixture.dns.deadline(), None);
    fixture.set_portal_resolvers(&[]);
    let sentinel = fixture.dns.sentinels().next().unwrap().to_string();
    let question = query(7, "web.app.test.", RecordType::A);
    fixture.send(4000, &sentinel, &question).unwrap();
    assert_eq!(parse(&fixture.reply().unwrap()).answers.len(), 4);
}
