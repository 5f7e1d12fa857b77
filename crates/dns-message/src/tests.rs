//! Whole messages, with another implementation of DNS as the oracle.

use super::*;
use hickory_proto::{
    op::{Edns as OracleEdns, Message, MessageType, OpCode, Query as Question, ResponseCode},
    rr::{
        Name, RData, Record as OracleRecord, RecordType,
        rdata::{A, AAAA, CNAME, SOA, TXT},
    },
};
use proptest::prelude::*;
use std::net::IpAddr;

fn message(labels: &[Vec<u8>], rtype: u16, size: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    let name = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
    message.add_query(Question::query(name, RecordType::from(rtype)));
    if let Some(size) = size {
        let mut edns = OracleEdns::new();
        edns.set_max_payload(size);
        message.edns = Some(edns);
    }
    message.to_vec().unwrap()
}

fn name_of(bytes: &[u8]) -> Option<String> {
    let mut buffer = [0; MAX_NAME];
    let query = Query::parse(bytes).unwrap();
    query.name(&mut buffer).map(str::to_owned)
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

const QUERY: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";

/// The same with an OPT record of version 0, 4096 bytes and the flag DO.
fn query_with_opt() -> Vec<u8> {
    let mut bytes = [QUERY, b"\0\0\x29\x10\0\0\0\x80\0\0\0"].concat();
    bytes[11] = 1;
    bytes
}

#[test]
fn a_query_is_written_byte_by_byte_as_the_rfc_says() {
    let bytes = compose_query(0x1234, "www.example.com.", rtype::A);
    assert_eq!(bytes.as_deref(), Ok(QUERY));
    assert_eq!(compose_query(1, "a..b", rtype::A), Err(NameFault));
}

#[test]
fn a_response_is_written_byte_by_byte_as_the_rfc_says() {
    let query = Query::parse(QUERY).unwrap();
    let mut out = b"before".to_vec();
    let mut builder = MessageBuilder::new(&mut out, &query, Protocol::Dns, rcode::NOERROR);
    builder.record(rtype::A, 300, &[192, 0, 2, 1]);
    builder.finish(&query);
    let expected = [
        b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00",
        &QUERY[12..],
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01",
    ];
    assert_eq!(out, expected.concat());
}

#[test]
fn extended_codes_are_split_between_header_and_opt_record() {
    let bytes = query_with_opt();
    let query = Query::parse(&bytes).unwrap();
    let mut out = vec![];
    MessageBuilder::new(&mut out, &query, Protocol::Dns, rcode::BADVERS).finish(&query);
    let opt = b"\0\0\x29\x04\xd0\x01\0\x80\0\0\0";
    let header = b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x01";
    assert_eq!(out, [&header[..], query.question(), opt].concat());
    assert_eq!(Response::parse(&out).unwrap().rcode(), rcode::BADVERS);
    let oracle = Message::from_vec(&out).unwrap();
    assert_eq!(u16::from(oracle.metadata.response_code), rcode::BADVERS);
}

#[test]
fn a_response_of_llmnr_has_no_flags() {
    let mut bytes = QUERY.to_vec();
    (bytes[2], bytes[3]) = (0x05, 0x10);
    let query = Query::parse(&bytes).unwrap();
    let mut out = vec![];
    MessageBuilder::new(&mut out, &query, Protocol::Llmnr, rcode::NOERROR).finish(&query);
    assert_eq!(out[2..4], [0x80, 0]);
    MessageBuilder::new(&mut out, &query, Protocol::Dns, rcode::REFUSED).finish(&query);
    assert_eq!(out[2..4], [0x81, 0x95]);
}

#[test]
fn edns_of_a_query_is_read() {
    let bytes = query_with_opt();
    let edns = Query::parse(&bytes).unwrap().edns().unwrap();
    assert_eq!((edns.max_payload, edns.version), (4096, 0));
    assert!(edns.dnssec_ok && !edns.has_client_subnet && !edns.is_malformed);
    for (version, supported) in [(0, true), (1, false)] {
        let mut bytes = query_with_opt();
        bytes[QUERY.len() + 6] = version;
        let query = Query::parse(&bytes).unwrap();
        assert_eq!(query.has_supported_edns(), supported);
    }
    let mut twice = [&bytes[..], &bytes[QUERY.len()..]].concat();
    twice[11] = 2;
    assert!(!Query::parse(&twice).unwrap().has_supported_edns());
    let limits = [100, 512, 1232, 5000].map(|largest| {
        let with = Query::parse(&bytes).unwrap().reply_limit(largest);
        (with, Query::parse(QUERY).unwrap().reply_limit(largest))
    });
    assert_eq!(limits, [(100, 100), (512, 512), (1232, 512), (4096, 512)]);
}

#[test]
fn a_forwarded_query_differs_by_id_and_size_unless_it_is_signed() {
    let bytes = query_with_opt();
    let query = Query::parse(&bytes).unwrap();
    let mut expected = bytes.clone();
    expected[..2].copy_from_slice(&[0xab, 0xcd]);
    assert_eq!(compose_forwarded(&query, 0xabcd, None), expected);
    expected[QUERY.len() + 3..QUERY.len() + 5].copy_from_slice(&[4, 0xd0]);
    assert_eq!(compose_forwarded(&query, 0xabcd, Some(1232)), expected);
    let tsig = b"\0\0\xfa\0\xff\0\0\0\0\0\0";
    let mut signed = [&bytes[..], tsig].concat();
    signed[11] = 2;
    let query = Query::parse(&signed).unwrap();
    assert!(query.is_signed());
    assert_eq!(compose_forwarded(&query, 0xabcd, Some(1232)), signed);
}

#[test]
fn only_the_answer_to_a_query_is_one() {
    let query = Query::parse(QUERY).unwrap();
    let good = {
        let mut bytes = QUERY.to_vec();
        bytes[2] |= 0x80;
        bytes
    };
    let changed = |at: usize, bits: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= bits;
        bytes
    };
    let end = good.len();
    let without_question = {
        let mut bytes = good[..12].to_vec();
        bytes[5] = 0;
        bytes
    };
    for (what, message, by_header, by_question) in [
        ("the same", good.clone(), true, true),
        ("other letters", changed(13, 0x20), true, true),
        ("no question", without_question, true, false),
        ("another id", changed(1, 1), false, false),
        ("a query", changed(2, 0x80), false, false),
        ("another operation", changed(2, 0x20), false, false),
        ("another name", changed(13, 1), false, false),
        ("another type", changed(end - 3, 0x40), false, false),
        ("another class", changed(end - 1, 0x20), false, false),
        ("two questions", changed(5, 3), false, false),
        ("half a question", good[..20].to_vec(), false, false),
        ("half a header", good[..11].to_vec(), false, false),
        ("nothing", vec![], false, false),
    ] {
        assert_eq!(query.is_answered_by(&message, 0x1234), by_header, "{what}");
        let response = Response::parse(&message);
        let answers = response.is_ok_and(|response| response.answers(&query, 0x1234));
        assert_eq!(answers, by_question, "{what}");
    }
    assert!(query.is_answered_by(&changed(0, 0x12), 0x0034));
    // Types and classes are no letters: 65 is HTTPS, and 97 is something else.
    for at in [end - 3, end - 1] {
        let (mut asked, mut answered) = (QUERY.to_vec(), good.clone());
        (asked[at], answered[at]) = (65, 97);
        let query = Query::parse(&asked).unwrap();
        assert!(!query.is_answered_by(&answered, 0x1234));
        answered[at] = 65;
        assert!(query.is_answered_by(&answered, 0x1234));
    }
}

#[test]
fn faults_say_what_is_wrong() {
    let response = {
        let mut bytes = QUERY.to_vec();
        bytes[2] |= 0x80;
        bytes
    };
    let mut announced = QUERY.to_vec();
    announced[11] = 1;
    for (bytes, query, other) in [
        (&QUERY[..11], MessageFault::Short, MessageFault::Short),
        (
            &QUERY[..20],
            MessageFault::Question,
            MessageFault::Direction,
        ),
        (&response, MessageFault::Direction, MessageFault::Record),
        (&announced, MessageFault::Record, MessageFault::Direction),
    ] {
        assert_eq!(Query::parse(bytes).unwrap_err(), query);
        if let Err(fault) = Response::parse(bytes) {
            assert_eq!(fault, other);
        }
    }
    let text = MessageFault::Question.to_string();
    assert_eq!(text, "the question is malformed");
}

#[test]
fn names_are_in_lower_case_and_printable() {
    for (labels, expected) in [
        (&["App", "Corp", "TEST"][..], Some("app.corp.test")),
        (&["intranet"], Some("intranet")),
        (&["_ldap", "_tcp", "a-b"], Some("_ldap._tcp.a-b")),
        (&["a.b", "test"], None),
        (&["a b", "test"], None),
        (&["\u{e4}", "test"], None),
        (&[], None),
    ] {
        let labels: Vec<Vec<u8>> = labels.iter().map(|l| l.as_bytes().to_vec()).collect();
        assert_eq!(name_of(&message(&labels, 1, None)).as_deref(), expected);
    }
}

#[test]
fn the_longest_name_is_read() {
    let labels: Vec<Vec<u8>> = [63, 63, 63, 61].map(|n| vec![b'a'; n]).into();
    let name = name_of(&message(&labels, 1, None)).unwrap();
    assert_eq!(name.len(), 253);
    assert_eq!(encode_name(&name).unwrap().len(), MAX_NAME);
}

#[test]
fn names_of_questions_are_neither_compressed_nor_too_long() {
    let header = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let long = [&[63; 64][..]; 4].concat();
    for name in [&[0xc0, 12][..], &[0x40, 0], &[&long[..], &[0]].concat()] {
        let bytes = [&header[..], name, &[0, 1, 0, 1]].concat();
        assert_eq!(
            Query::parse(&bytes).unwrap_err(),
            MessageFault::Question,
            "{name:?}"
        );
    }
}

/// Records that the oracle writes.
fn records() -> impl Strategy<Value = Vec<OracleRecord>> {
    let owner = "([a-c]{1,3}\\.){1,4}";
    let data = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| RData::A(A(octets.into()))),
        any::<[u8; 16]>().prop_map(|octets| RData::AAAA(AAAA(octets.into()))),
        owner.prop_map(|target| RData::CNAME(CNAME(name(&target)))),
        "[a-z]{0,100}".prop_map(|text| RData::TXT(TXT::new(vec![text]))),
        (owner, any::<u32>()).prop_map(|(zone, minimum)| {
            RData::SOA(SOA::new(name(&zone), name(&zone), 1, 2, 3, 4, minimum))
        }),
    ];
    let record = (owner, 0..=0x7fff_ffff_u32, data)
        .prop_map(|(owner, ttl, data)| OracleRecord::from_rdata(name(&owner), ttl, data));
    proptest::collection::vec(record, 0..8)
}

/// Type, lifetime and addresses of records, as both sides know them.
fn known(records: &[OracleRecord]) -> Vec<(u16, u32)> {
    let known = |record: &OracleRecord| (record.record_type().into(), record.ttl);
    records.iter().map(known).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn queries_are_read_as_the_oracle_writes_them(
        labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..6),
        rtype in any::<u16>(),
        size in proptest::option::of(512_u16..),
    ) {
        let bytes = message(&labels, rtype, size);
        let query = Query::parse(&bytes).unwrap();
        prop_assert_eq!(query.bytes(), &bytes[..]);
        prop_assert_eq!(query.id(), 7);
        prop_assert_eq!((query.rtype(), query.class()), (rtype, class::IN));
        prop_assert_eq!(query.edns().map(|edns| edns.max_payload), size);
        prop_assert_eq!(query.edns().map(|edns| edns.is_malformed), size.map(|_| false));
        let lengths = labels.iter().map(|label| label.len() + 1).sum::<usize>();
        prop_assert_eq!(query.name_bytes().len(), lengths + 1);
    }

    #[test]
    fn the_oracle_reads_the_queries_that_are_written(
        labels in proptest::collection::vec("[a-zA-Z0-9_-]{1,30}", 1..6),
        id in any::<u16>(),
        rtype in any::<u16>(),
    ) {
        let text = labels.join(".");
        let bytes = compose_query(id, &text, rtype).unwrap();
        let oracle = Message::from_vec(&bytes).unwrap();
        prop_assert_eq!(oracle.metadata.id, id);
        prop_assert!(oracle.metadata.recursion_desired);
        prop_assert!(oracle.queries[0].name().iter().eq(labels.iter().map(String::as_bytes)));
        prop_assert_eq!(u16::from(oracle.queries[0].query_type()), rtype);
        prop_assert_eq!(oracle.to_vec().unwrap(), &bytes[..]);
        let query = Query::parse(&bytes).unwrap();
        prop_assert_eq!((query.id(), query.rtype()), (id, rtype));
        prop_assert_eq!(name_of(&bytes), Some(text.to_ascii_lowercase()));
    }

    #[test]
    fn what_the_oracle_reads_as_a_query_is_one(bytes in proptest::collection::vec(any::<u8>(), 12..80)) {
        let mut bytes = bytes;
        bytes[2] &= 0x7f;
        bytes[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        let ours = Query::parse(&bytes);
        if Message::from_vec(&bytes).is_ok_and(|m| m.queries.len() == 1) {
            // The oracle follows pointers, which a question cannot have.
            let is_compressed = bytes[12..].iter().any(|&byte| byte >= 0xc0);
            prop_assert!(ours.is_ok() || is_compressed);
        }
    }

    #[test]
    fn responses_are_read_as_the_oracle_writes_them(
        answers in records(),
        authorities in records(),
        additionals in records(),
        size in proptest::option::of(512_u16..),
        low in 0..16_u16,
    ) {
        let mut oracle = Message::from_vec(QUERY).unwrap();
        oracle.metadata.message_type = MessageType::Response;
        oracle.metadata.response_code = ResponseCode::from(0, u8::try_from(low).unwrap());
        oracle.answers = answers;
        oracle.authorities = authorities;
        oracle.additionals = additionals;
        if let Some(size) = size {
            let mut edns = OracleEdns::new();
            edns.set_max_payload(size);
            oracle.edns = Some(edns);
        }
        let bytes = oracle.to_vec().unwrap();
        let response = Response::parse(&bytes).unwrap();
        prop_assert_eq!(response.bytes(), &bytes[..]);
        prop_assert_eq!((response.rcode(), response.rtype()), (low, Some(rtype::A)));
        prop_assert!(response.answers(&Query::parse(QUERY).unwrap(), 0x1234));
        for (section, expected) in [
            (Section::Answer, &oracle.answers),
            (Section::Authority, &oracle.authorities),
            (Section::Additional, &oracle.additionals),
        ] {
            let read = response.records().filter(|r| r.section == section && r.rtype != rtype::OPT);
            let read: Vec<(u16, u32)> = read.map(|r| (r.rtype, r.ttl)).collect();
            prop_assert_eq!(read, known(expected));
        }
        let addresses: Vec<IpAddr> = oracle.answers.iter().filter_map(|r| r.data.ip_addr()).collect();
        prop_assert_eq!(response.addresses().collect::<Vec<_>>(), addresses);
        for record in response.records() {
            let ttl = &bytes[record.ttl_at()..record.ttl_at() + 4];
            prop_assert_eq!(ttl, record.ttl.to_be_bytes());
        }
    }

    #[test]
    fn the_oracle_reads_the_responses_that_are_written(
        records in proptest::collection::vec((any::<u32>(), any::<[u8; 4]>()), 0..20),
        has_opt in any::<bool>(),
        low in 0..16_u16,
    ) {
        let asked = if has_opt { query_with_opt() } else { QUERY.to_vec() };
        let query = Query::parse(&asked).unwrap();
        let mut out = vec![];
        let mut builder = MessageBuilder::new(&mut out, &query, Protocol::Dns, low);
        for (ttl, octets) in &records {
            builder.record(rtype::A, *ttl, octets);
        }
        builder.finish(&query);
        let oracle = Message::from_vec(&out).unwrap();
        prop_assert_eq!(oracle.metadata.id, 0x1234);
        prop_assert_eq!(oracle.metadata.message_type, MessageType::Response);
        prop_assert_eq!(u16::from(oracle.metadata.response_code), low);
        prop_assert_eq!(oracle.edns.map(|edns| edns.max_payload()), has_opt.then_some(ADVERTISED_PAYLOAD));
        let written = records.iter().map(|(_, octets)| RData::A(A((*octets).into())));
        prop_assert!(oracle.answers.iter().map(|r| r.data.clone()).eq(written));
        // And so do we.
        let response = Response::parse(&out).unwrap();
        prop_assert!(response.answers(&query, 0x1234) && !response.is_truncated());
        let read = response.records().filter(|r| r.section == Section::Answer).map(|r| r.ttl);
        prop_assert!(read.eq(records.iter().map(|(ttl, _)| *ttl)));
        let mut cut = vec![];
        compose_truncated(&mut cut, &out, &query);
        let cut = Response::parse(&cut).unwrap();
        prop_assert!(cut.is_truncated() && cut.answers(&query, 0x1234) && cut.rcode() == low);
    }

    #[test]
    fn no_bytes_make_it_panic_or_find_more_than_there_is(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        is_plausible in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if is_plausible && bytes.len() >= 12 {
            bytes[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 1, 0, 1]);
        }
        let mut buffer = [0; MAX_NAME];
        if let Ok(query) = Query::parse(&bytes) {
            query.name(&mut buffer);
            let mut out = vec![];
            compose_truncated(&mut out, &bytes, &query);
            prop_assert!(Response::parse(&out).is_ok());
            prop_assert!(Query::parse(&compose_forwarded(&query, 1, Some(512))).is_ok());
            let _answered = query.is_answered_by(&bytes, 1);
        }
        if let Some(flags) = bytes.get_mut(2) {
            *flags |= 0x80;
        }
        if let Ok(response) = Response::parse(&bytes) {
            let records = response.records().count();
            prop_assert!(records <= response.bytes().len() / 11);
            prop_assert!(response.addresses().count() <= records);
        }
        set_id(&mut bytes, 7);
        clear_authoritative(&mut bytes);
    }
}

#[test]
fn a_forwarded_query_is_one_even_if_a_name_points_at_the_size() {
    let mut message = compose_query(7, "a.test", rtype::A).unwrap();
    message[11] = 2;
    let payload_at = message.len() + 3;
    // Its size is read as a label, too, and no label begins with 0x40.
    message.extend([0, 0, 41, 1, b'a', 0, 0, 0, 0, 0, 0]);
    message.extend([
        0xc0,
        u8::try_from(payload_at).unwrap(),
        0,
        1,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    let query = Query::parse(&message).unwrap();
    for limit in [0x4000, 0x0100 + u16::from(b'b')] {
        let forwarded = compose_forwarded(&query, 8, Some(usize::from(limit)));
        let forwarded = Query::parse(&forwarded).unwrap();
        let is_changed = limit != 0x4000;
        let expected = if is_changed {
            limit
        } else {
            0x0100 + u16::from(b'a')
        };
        assert_eq!(forwarded.edns().unwrap().max_payload, expected);
    }
}
