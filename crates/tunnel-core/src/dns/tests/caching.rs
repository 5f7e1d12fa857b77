//! What is remembered of answers, and for how long.

use super::*;

impl Fixture {
    /// Whether a query is answered without asking a server.
    fn is_known(&mut self, to: &str, question: &[u8]) -> bool {
        self.send(4000, to, question).unwrap();
        let asked = self.dns.poll_query();
        if let Some(asked) = &asked {
            self.answer(asked, Err(DnsFailure::TimedOut));
        }
        while self.reply().is_some() {}
        asked.is_none()
    }

    /// Asks, and lets the server answer what is made of its query.
    fn learn(&mut self, question: &[u8], answer: impl Fn(&[u8]) -> Message) -> Vec<u8> {
        assert_eq!(self.ask(question), None);
        let asked = self.dns.poll_query().unwrap();
        let answer = answer(&asked.message).to_vec().unwrap();
        self.answer(&asked, Ok(&answer));
        self.reply().unwrap()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let name = || Name::from_ascii("test.").unwrap();
    let data = SOA::new(name(), name(), 1, 2, 3, 4, minimum);
    Record::from_rdata(name(), ttl, RData::SOA(data))
}

#[test]
fn an_answer_is_given_again_with_shorter_lifetimes_until_it_ends() {
    let mut fixture = Fixture::new();
    let question = query(7, "a.test.", RecordType::A);
    let records = || vec![address("a.test.", 60), address("a.test.", 90)];
    fixture.learn(&question, |q| {
        let mut answer = response(q, records());
        answer.metadata.authoritative = true;
        answer
    });
    for (passed, ttls) in [(0, [60, 90]), (20, [40, 70]), (39, [1, 31])] {
        fixture.pass(seconds(passed));
        let again = parse(&fixture.ask(&query(9, "A.teSt.", RecordType::A)).unwrap());
        assert_eq!(again.metadata.id, 9);
        assert_eq!(again.queries[0].name().to_ascii(), "A.teSt.");
        assert!(!again.metadata.authoritative);
        let found: Vec<u32> = again.answers.iter().map(|r| r.ttl).collect();
        assert_eq!(found, ttls);
    }
    fixture.pass(seconds(1));
    assert!(!fixture.is_known(SENTINEL, &question));
}

#[test]
fn answers_belong_to_their_server_question_and_flags() {
    let mut fixture = Fixture::new();
    let question = query(7, "a.test.", RecordType::A);
    fixture.learn(&question, |q| response(q, vec![address("a.test.", 60)]));
    assert!(fixture.is_known(SENTINEL, &question));
    assert!(!fixture.is_known(SENTINEL_V6, &question), "another server");
    let mut chaos = question.clone();
    *chaos.last_mut().unwrap() = 3;
    let mut unchecked = question.clone();
    unchecked[3] |= 0x10;
    for other in [
        query(7, "b.test.", RecordType::A),
        query(7, "a.test.", RecordType::AAAA),
        chaos,
        unchecked,
        extended(7, "a.test.", RecordType::A, 1232),
    ] {
        assert!(!fixture.is_known(SENTINEL, &other));
    }
}

#[test]
fn options_belong_to_one_exchange() {
    let mut fixture = Fixture::new();
    let extended = |dnssec: bool| {
        let mut query = message(7, "a.test.", RecordType::A);
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        edns.set_dnssec_ok(dnssec);
        query.edns = Some(edns);
        query.to_vec().unwrap()
    };
    fixture.learn(&extended(false), |q| {
        response(q, vec![address("a.test.", 60)])
    });
    let plain = parse(&fixture.ask(&query(8, "a.test.", RecordType::A)).unwrap());
    assert!(plain.edns.is_none());
    assert_eq!(plain.answers.len(), 1);
    let again = parse(&fixture.ask(&extended(false)).unwrap());
    assert_eq!(again.edns.unwrap().max_payload(), 1232);
    assert!(!fixture.is_known(SENTINEL, &extended(true)));
}

#[test]
fn what_must_not_be_kept_is_not() {
    type Make = fn(&[u8]) -> Message;
    let answers: [(&str, Make); 8] = [
        ("short-lived", |q| response(q, vec![address("a.test.", 4)])),
        ("one is short-lived", |q| {
            response(q, vec![address("a.test.", 60), address("a.test.", 4)])
        }),
        ("overflowing", |q| {
            response(q, vec![address("a.test.", 1 << 31)])
        }),
        ("truncated", |q| {
            let mut answer = response(q, vec![address("a.test.", 60)]);
            answer.metadata.truncation = true;
            answer
        }),
        ("failed", |q| {
            let mut answer = response(q, vec![]);
            answer.metadata.response_code = ResponseCode::ServFail;
            answer.authorities.push(soa(60, 60));
            answer
        }),
        ("negative without a lifetime", |q| response(q, vec![])),
        ("negative with lifetime 0", |q| {
            let mut answer = response(q, vec![]);
            answer.authorities.push(soa(60, 0));
            answer
        }),
        ("referral", |q| {
            let mut answer = response(q, vec![]);
            answer.authorities.push(address("a.test.", 60));
            answer
        }),
    ];
    for (what, make) in answers {
        let mut fixture = Fixture::new();
        let question = query(7, "a.test.", RecordType::A);
        fixture.learn(&question, make);
        assert!(!fixture.is_known(SENTINEL, &question), "{what}");
    }
}

#[test]
fn answers_for_a_network_are_not_kept() {
    let mut fixture = Fixture::new();
    let mut question = extended(7, "a.test.", RecordType::A, 1232);
    // Client subnet 192.0.2.0/24.
    let option = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    let length = question.len();
    question[length - 1] = 11;
    question.extend(option);
    fixture.learn(&question, |q| response(q, vec![address("a.test.", 60)]));
    assert!(!fixture.is_known(SENTINEL, &question));

    // A server that answers for a network although nobody named one.
    let question = extended(7, "a.test.", RecordType::A, 1232);
    assert_eq!(fixture.ask(&question), None);
    let asked = fixture.dns.poll_query().unwrap();
    let mut answer = respond(&asked.message, vec![address("a.test.", 60)]);
    let length = answer.len();
    answer[length - 1] = 11;
    answer.extend(option);
    fixture.answer(&asked, Ok(&answer));
    assert!(fixture.reply().is_some());
    assert!(!fixture.is_known(SENTINEL, &question));
}

#[test]
fn negative_answers_live_as_long_as_the_zone_says() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        for (ttl, minimum, lives) in [(300, 30, 30), (20, 30, 20), (9000, 9000, 3600), (2, 2, 2)] {
            let mut fixture = Fixture::new();
            let question = query(7, "a.test.", RecordType::A);
            let make = |q: &[u8]| {
                let mut answer = response(q, vec![]);
                answer.metadata.response_code = code;
                answer.authorities.push(soa(ttl, minimum));
                answer
            };
            fixture.learn(&question, make);
            fixture.pass(seconds(lives - 1));
            let again = parse(&fixture.ask(&question).unwrap());
            assert_eq!(again.metadata.response_code, code);
            assert_eq!(again.authorities[0].ttl, 1, "what is left of it");
            fixture.pass(seconds(1));
            assert!(!fixture.is_known(SENTINEL, &question), "{ttl} {minimum}");
        }
    }
}

#[test]
fn everything_is_forgotten_when_resources_or_servers_change() {
    let question = query(7, "a.test.", RecordType::A);
    let changes: [fn(&mut Fixture); 5] = [
        |fixture| {
            let other = named(ResourceId::from_bytes([7; 16]), "other.test");
            fixture.resources.insert(other).unwrap();
        },
        |fixture| assert!(fixture.resources.remove(RESOURCE)),
        |fixture| {
            let servers = ["192.0.2.53:53", "192.0.2.54:53"].map(server);
            fixture.dns.set_system_resolvers(&servers);
        },
        |fixture| fixture.dns.reset(fixture.now),
        |fixture| assert!(fixture.resources.set_internet(true)),
    ];
    for change in changes {
        let mut fixture = Fixture::new();
        fixture.learn(&question, |q| response(q, vec![address("a.test.", 60)]));
        assert!(fixture.is_known(SENTINEL, &question));
        // One that is under way meanwhile is handed on, but not kept.
        let late = query(7, "late.test.", RecordType::A);
        assert_eq!(fixture.ask(&late), None);
        let asked = fixture.dns.poll_query().unwrap();
        change(&mut fixture);
        let sentinel = fixture.dns.sentinels().next().unwrap().to_string();
        assert!(!fixture.is_known(&sentinel, &question));
        let answer = respond(&asked.message, vec![address("late.test.", 60)]);
        fixture.answer(&asked, Ok(&answer));
        fixture.reply();
        assert!(!fixture.is_known(&sentinel, &late));
    }
}

#[test]
fn an_answer_obeys_the_size_of_who_asks() {
    let mut fixture = Fixture::new();
    let mut large = message(7, "a.test.", RecordType::TXT);
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    large.edns = Some(edns);
    let large = large.to_vec().unwrap();
    fixture.learn(&large, |q| response(q, vec![text("a.test.", 60, 800)]));
    let whole = parse(&fixture.ask(&large).unwrap());
    assert!(!whole.metadata.truncation);
    let cut = parse(&fixture.ask(&query(8, "a.test.", RecordType::TXT)).unwrap());
    assert!(cut.metadata.truncation && cut.answers.is_empty());
}

#[test]
fn the_oldest_give_way_to_the_newest_by_number_and_by_size() {
    for (length, kept) in [(10, 4096), (2500, 1500)] {
        let mut fixture = Fixture::new();
        let name = |n: usize| format!("n{n}.test.");
        for n in 0..5000 {
            let question = query(7, &name(n), RecordType::TXT);
            fixture.learn(&question, |q| {
                response(q, vec![text(&name(n), 3600, length)])
            });
        }
        let mut known = |n| fixture.is_known(SENTINEL, &query(7, &name(n), RecordType::TXT));
        assert!(known(4999) && known(5000 - kept) && !known(0), "{length}");
        let total = (0..5000).filter(|n| known(*n)).count();
        assert!((kept..=4096).contains(&total), "{total} of {length} bytes");
        fixture.pass(seconds(3600));
        let mut known = |n| fixture.is_known(SENTINEL, &query(7, &name(n), RecordType::TXT));
        assert!((0..5000).all(|n| !known(n)), "all have ended");
        assert_eq!(fixture.dns.cache.bytes(), 0, "and hold no memory");
    }
}

#[test]
fn memory_is_counted_with_keys_answers_and_the_places_of_lifetimes() {
    let mut fixture = Fixture::new();
    let question = query(7, "a.test.", RecordType::A);
    let records = || vec![address("a.test.", 60), address("a.test.", 90)];
    fixture.learn(&question, |q| response(q, records()));
    let name = "\u{1}a\u{4}test\u{0}".len();
    let key = 1 + 16 + 2 + 4 + name + 4;
    let answer = 12 + (name + 4) + 2 * (2 + 10 + 4);
    assert_eq!(fixture.dns.cache.bytes(), key + answer + 2 * 2);
    // A second answer to the same question takes the place of the first.
    fixture.pass(seconds(60));
    fixture.learn(&question, |q| response(q, records()));
    assert_eq!(fixture.dns.cache.bytes(), key + answer + 2 * 2);
}

#[test]
fn the_longest_name_has_room_in_a_key() {
    let mut fixture = Fixture::new();
    let label = "x".repeat(63);
    let name = format!("{label}.{label}.{label}.{}.", "x".repeat(61));
    let question = query(7, &name, RecordType::A);
    fixture.learn(&question, |q| response(q, vec![address("a.test.", 60)]));
    assert!(fixture.is_known(SENTINEL, &question));
}

#[test]
fn what_is_signed_or_no_plain_question_is_asked_each_time() {
    let mut signed = extended(7, "a.test.", RecordType::A, 1232);
    // TSIG, empty, class ANY.
    signed.extend([0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0]);
    signed[11] = 2;
    let mut status = query(7, "a.test.", RecordType::A);
    status[2] |= 2 << 3;
    for question in [signed, status] {
        let mut fixture = Fixture::new();
        fixture.learn(&question, |q| {
            let id = u16::from_be_bytes([q[0], q[1]]);
            let plain = query(id, "a.test.", RecordType::A);
            let mut answer = response(&plain, vec![address("a.test.", 60)]);
            answer.metadata.op_code = OpCode::from_u8(q[2] >> 3 & 0xf);
            answer
        });
        assert!(!fixture.is_known(SENTINEL, &question));
    }
}

#[test]
fn answers_with_a_signature_or_something_behind_the_options_are_not_kept() {
    // Owner, type, class, lifetime and length, without data.
    let record = |rtype: u8| [0, 0, rtype, 0, 1, 0, 0, 0, 60, 0, 0];
    let (options, signature, other) = (41, 250, 16);
    for (additional, is_kept) in [
        (vec![options], true),
        (vec![signature], false),
        (vec![options, signature], false),
        (vec![options, other], false),
        (vec![other, options], true),
    ] {
        let mut fixture = Fixture::new();
        let question = extended(7, "a.test.", RecordType::A, 1232);
        assert_eq!(fixture.ask(&question), None);
        let asked = fixture.dns.poll_query().unwrap();
        let mut plain = response(&asked.message, vec![address("a.test.", 60)]);
        plain.edns = None;
        let mut answer = plain.to_vec().unwrap();
        answer.extend(additional.iter().flat_map(|&rtype| record(rtype)));
        answer[11] = u8::try_from(additional.len()).unwrap();
        fixture.answer(&asked, Ok(&answer));
        while fixture.reply().is_some() {}
        assert_eq!(
            fixture.is_known(SENTINEL, &question),
            is_kept,
            "{additional:?}"
        );
    }
}
