//! DNS queries of programs, and responses of servers.

use crate::script::Script;
use dns_message::{
    Frames, MessageBuilder, Protocol, Query, Response, UncompressedRecord, append_opt, class,
    clear_authoritative, compose_forwarded, compose_truncated, presentation, reversed_address,
    set_id,
};

/// The largest reply over UDP, as without EDNS.
const SMALL: usize = 512;

/// What the stub resolver does with a query: reads it, replies, forwards it.
pub(crate) fn query(input: &[u8]) {
    frames(input);
    let Ok(query) = Query::parse(input) else {
        return;
    };
    let bytes = query.bytes();
    assert_eq!(Query::parse(bytes).map(|again| again.bytes()), Ok(bytes));
    let mut buffer = [0; dns_message::MAX_NAME];
    if let Some(name) = query.name(&mut buffer) {
        assert!(name.len() <= dns_message::MAX_NAME);
        let _address = reversed_address(name);
    }
    let _shown = presentation(query.name_bytes());
    for protocol in [Protocol::Dns, Protocol::Llmnr] {
        let mut reply = vec![];
        let mut builder = MessageBuilder::new(&mut reply, &query, protocol, 0);
        builder.record(query.rtype(), 60, &[192, 0, 2, 1]);
        builder.finish(&query);
        let response = Response::parse(&reply).expect("we write responses");
        // Over LLMNR other operations get no answer.
        if protocol == Protocol::Dns || query.is_standard() {
            assert!(response.answers(&query, query.id()));
        }
    }
    for limit in [None, Some(SMALL)] {
        let forwarded = compose_forwarded(&query, 0x1234, limit);
        let forwarded = Query::parse(&forwarded).expect("we forward queries");
        assert_eq!(forwarded.question(), query.question());
    }
}

/// The same response as an answer to several queries, cut down and taken apart.
pub(crate) fn response(input: &[u8]) {
    let mut script = Script::new(input);
    let asked = script.bytes();
    let answer = script.rest();
    let Ok(response) = Response::parse(answer) else {
        return;
    };
    let bytes = response.bytes();
    assert_eq!(Response::parse(bytes).map(|again| again.bytes()), Ok(bytes));
    let records = response.records();
    for record in records {
        assert!(record.data.end <= bytes.len() && record.ttl_at() + 4 <= bytes.len());
        let _one = UncompressedRecord::parse(&bytes[record.start..]);
    }
    assert!(response.addresses().count() <= bytes.len() / 4);
    let _seen = (response.rcode(), response.rtype(), response.is_truncated());
    let mut changed = bytes.to_vec();
    clear_authoritative(&mut changed);
    set_id(&mut changed, 7);
    Response::parse(&changed).expect("it is still a response");
    let Ok(query) = Query::parse(asked) else {
        return;
    };
    if response.answers(&query, query.id()) {
        assert_eq!(response.rtype(), Some(query.rtype()));
        assert!(query.class() == class::IN || response.question().is_some());
        let mut truncated = vec![];
        compose_truncated(&mut truncated, bytes, &query);
        Response::parse(&truncated).expect("we write responses");
        append_opt(&mut changed, &query);
    }
}

/// A program's TCP connection: messages come out as they went in, and no more is kept than fits.
fn frames(input: &[u8]) {
    let mut frames = Frames::default();
    let mut rest = input;
    while !rest.is_empty() {
        let taken = frames.receive(rest);
        rest = &rest[taken..];
        let mut found = false;
        while let Some(message) = frames.next() {
            found = true;
            assert!(message.len() <= input.len());
            let before = frames.unsent_len();
            if frames.push(&message) {
                assert_eq!(frames.unsent_len(), before + message.len() + 2);
            }
            frames.sent(frames.unsent().len());
        }
        if taken == 0 && !found {
            break;
        }
    }
}
