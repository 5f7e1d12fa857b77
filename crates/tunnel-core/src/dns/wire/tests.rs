//! The views, with another implementation of DNS as the oracle.

use super::*;
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query as Question},
    rr::{Name, RecordType},
};
use proptest::prelude::*;

fn message(labels: &[Vec<u8>], kind: u16, size: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    let name = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
    message.add_query(Question::query(name, RecordType::from(kind)));
    if let Some(size) = size {
        let mut edns = Edns::new();
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

#[test]
fn names_are_in_lower_case_and_only_such_that_a_resource_can_have() {
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
    assert!(name.parse::<model::DomainName>().is_ok());
}

#[test]
fn names_of_questions_are_neither_compressed_nor_too_long() {
    let header = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let long = [&[63; 64][..]; 4].concat();
    for name in [&[0xc0, 12][..], &[0x40, 0], &[&long[..], &[0]].concat()] {
        let bytes = [&header[..], name, &[0, 1, 0, 1]].concat();
        assert!(Query::parse(&bytes).is_none(), "{name:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn queries_are_read_as_the_oracle_writes_them(
        labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..6),
        kind in any::<u16>(),
        size in proptest::option::of(512_u16..),
    ) {
        let bytes = message(&labels, kind, size);
        let query = Query::parse(&bytes).unwrap();
        prop_assert_eq!(query.bytes(), &bytes[..]);
        prop_assert_eq!(query.id(), 7);
        prop_assert_eq!((query.rtype(), query.class()), (kind, INTERNET));
        prop_assert_eq!(query.edns().map(|edns| edns.max_payload), size);
        prop_assert_eq!(query.edns().map(|edns| edns.is_malformed), size.map(|_| false));
    }

    #[test]
    fn what_the_oracle_reads_as_a_query_is_one(bytes in proptest::collection::vec(any::<u8>(), 12..80)) {
        let mut bytes = bytes;
        bytes[2] &= 0x7f;
        bytes[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        bytes[12 - 1] = 0;
        let ours = Query::parse(&bytes);
        if Message::from_vec(&bytes).is_ok_and(|m| m.queries.len() == 1) {
            // The oracle follows pointers, which a question cannot have.
            let is_compressed = bytes[12..].iter().any(|&byte| byte >= 0xc0);
            prop_assert!(ours.is_some() || is_compressed);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut buffer = [0; MAX_NAME];
        if let Some(query) = Query::parse(&bytes) {
            query.name(&mut buffer);
            let mut out = vec![];
            truncated(&mut out, &bytes, &query);
            prop_assert!(Response::parse(&out).is_some());
        }
        let mut response = bytes;
        if let Some(flags) = response.get_mut(2) {
            *flags |= 0x80;
        }
        if let Some(response) = Response::parse(&response) {
            let records = response.records().count();
            prop_assert!(records <= response.bytes().len() / 11);
        }
    }
}
