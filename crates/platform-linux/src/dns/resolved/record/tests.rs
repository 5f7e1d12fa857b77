//! Messages made of records, with `systemd-resolved` replaced by a table.

use super::*;
use dns_message::encode_name;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const A: u16 = 1;
const CNAME: u16 = 5;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn query(text: &str) -> Vec<u8> {
    let mut query = Message::new(0x1234, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name(text), RecordType::A));
    query.to_vec().unwrap()
}

/// A record of the class IN that lives for a minute, without compression.
fn record(owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let fixed = [kind, 1, 0, 60, length].map(u16::to_be_bytes).concat();
    [&encode_name(owner).unwrap()[..], &fixed, data].concat()
}

fn address(owner: &str) -> Vec<u8> {
    record(owner, A, &[192, 0, 2, 1])
}

fn alias(owner: &str, target: &str) -> Vec<u8> {
    record(owner, CNAME, &encode_name(target).unwrap())
}

/// Answers from a table of (name, kind), and NXDOMAIN for everything else.
async fn asked(text: &str, table: &[(&str, u16, Vec<Vec<u8>>)]) -> io::Result<Message> {
    let table: BTreeMap<(String, u16), Vec<Vec<u8>>> = table
        .iter()
        .map(|(name, kind, records)| (((*name).to_owned(), *kind), records.clone()))
        .collect();
    let resolve = |question: Question| {
        assert_eq!(question.class, 1);
        let key = (presentation(&question.name), question.rtype);
        let found = table.get(&key).cloned();
        async move { Ok(found.ok_or(rcode::NXDOMAIN)) }
    };
    let bytes = answer(&query(text), resolve).await?;
    Ok(Message::from_vec(&bytes).unwrap())
}

#[tokio::test]
async fn records_become_an_answer_to_the_query() {
    let table = [(
        "a.example.",
        A,
        vec![address("A.example."), address("a.example.")],
    )];
    let answer = asked("a.example.", &table).await.unwrap();
    assert_eq!(answer.metadata.id, 0x1234);
    assert_eq!(answer.metadata.message_type, MessageType::Response);
    assert!(answer.metadata.recursion_desired && answer.metadata.recursion_available);
    assert_eq!(answer.queries[0].name(), &name("a.example."));
    assert_eq!(answer.answers.len(), 2);
}

#[tokio::test]
async fn missing_names_and_missing_records_differ() {
    let answer = asked("b.example.", &[]).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let answer = asked("b.example.", &[("b.example.", A, vec![])])
        .await
        .unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.answers.is_empty());
}

#[tokio::test]
async fn aliases_lead_from_the_question_to_the_records() {
    let table = [
        ("www.example.", A, vec![address("c.example.")]),
        (
            "www.example.",
            CNAME,
            vec![alias("www.example.", "b.example.")],
        ),
        ("b.example.", CNAME, vec![alias("b.example.", "c.example.")]),
    ];
    let answer = asked("www.example.", &table).await.unwrap();
    let owners: Vec<String> = answer.answers.iter().map(|r| r.name.to_ascii()).collect();
    assert_eq!(owners, ["www.example.", "b.example.", "c.example."]);
}

#[tokio::test]
async fn chains_without_end_or_with_a_gap_fail() {
    let endless = [
        ("www.example.", A, vec![address("c.example.")]),
        (
            "www.example.",
            CNAME,
            vec![alias("www.example.", "www.example.")],
        ),
    ];
    assert!(asked("www.example.", &endless).await.is_err());
    let gap = [("www.example.", A, vec![address("c.example.")])];
    assert!(asked("www.example.", &gap).await.is_err());
}

#[tokio::test]
async fn nonsense_in_records_is_no_answer() {
    for broken in [
        vec![],
        vec![0; 5],
        vec![64; 20],
        address("a.example.")[..20].to_vec(),
    ] {
        let table = [("a.example.", A, vec![address("a.example."), broken])];
        assert!(asked("a.example.", &table).await.is_err());
    }
    let many = vec![address("a.example."); 70_000];
    assert!(
        asked("a.example.", &[("a.example.", A, many)])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn only_single_questions_are_asked() {
    let never = |_| async { panic!("nobody should be asked") };
    for query in [&b""[..], b"nonsense", &[0; 12]] {
        assert!(answer(query, never).await.is_err());
    }
}

proptest! {
    #[test]
    fn an_answer_is_no_larger_than_what_it_is_made_of(
        records in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                Just(address("a.example.")),
                Just(alias("a.example.", "a.example.")),
            ],
            0..8,
        ),
    ) {
        let question = query("a.example.");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let resolved = std::cell::Cell::new(0);
        let resolve = |_| {
            resolved.set(resolved.get() + 1);
            let found = records.clone();
            async move { Ok(Ok(found)) }
        };
        let answer = runtime.block_on(answer(&question, resolve));
        prop_assert!(resolved.get() <= MAX_CHAIN + 2, "asked {} times", resolved.get());
        if let Ok(answer) = answer {
            let longest = records.iter().map(Vec::len).max().unwrap_or(0);
            let bytes = records.concat().len() + longest * MAX_CHAIN;
            prop_assert!(answer.len() <= question.len() + bytes);
        }
    }
}
