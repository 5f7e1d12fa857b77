//! Queries over UDP: the table, sizes, numbers, repetitions.

use super::*;

const LARGE: usize = 3000;

#[test]
fn the_table_decides() {
    use RecordType::{A, AAAA, ANY, CNAME, HTTPS, MX, NS, PTR, SRV, SVCB, TXT};
    let mut fixture = Fixture::new();
    fixture.ask(&query(1, "web.app.test.", A)).unwrap();
    for (name, kind, code, answers) in [
        ("use-application-dns.net.", A, ResponseCode::NXDomain, 0),
        ("Use-Application-DNS.net.", TXT, ResponseCode::NXDomain, 0),
        ("Web.App.Test.", A, ResponseCode::NoError, 4),
        ("app.test.", AAAA, ResponseCode::NoError, 4),
        ("web.app.test.", HTTPS, ResponseCode::NoError, 0),
        ("1.0.96.100.in-addr.arpa.", PTR, ResponseCode::NoError, 1),
    ] {
        let answer = parse(&fixture.ask(&query(7, name, kind)).unwrap());
        assert_eq!(answer.metadata.response_code, code, "{name} {kind}");
        assert_eq!(answer.answers.len(), answers, "{name} {kind}");
        assert_eq!(answer.metadata.id, 7);
        assert!(answer.metadata.recursion_available && answer.metadata.recursion_desired);
        let name = Name::from_ascii(name).unwrap();
        assert!(answer.answers.iter().all(|r| r.ttl == 1 && r.name == name));
        assert_eq!(answer.queries[0].name().to_ascii(), name.to_ascii());
    }
    for (name, kind) in [
        ("web.app.test.", MX),
        ("web.app.test.", NS),
        ("web.app.test.", CNAME),
        ("web.app.test.", SVCB),
        ("web.app.test.", ANY),
        ("a.web.app.test.", A),
        ("sub.use-application-dns.net.", A),
        ("9.0.96.100.in-addr.arpa.", PTR),
        ("other.test.", SRV),
        (".", NS),
    ] {
        assert_eq!(fixture.ask(&query(7, name, kind)), None, "{name} {kind}");
        let forwarded = fixture.dns.poll_query().unwrap();
        assert_eq!(forwarded.server.to_string(), "192.0.2.53:53");
        assert_eq!(forwarded.transport, DnsTransport::Udp);
    }
}

#[test]
fn addresses_have_the_families_of_the_stack_and_of_the_question() {
    let mut fixture = Fixture::new();
    let Resource::Dns(mut resource) = named(RESOURCE, "*.app.test") else {
        unreachable!()
    };
    for (stack, v4, v6) in [
        (IpStack::Dual, 4, 4),
        (IpStack::Ipv4Only, 4, 0),
        (IpStack::Ipv6Only, 0, 4),
    ] {
        resource.ip_stack = stack;
        fixture
            .resources
            .insert(Resource::Dns(resource.clone()))
            .unwrap();
        for (kind, expected) in [(RecordType::A, v4), (RecordType::AAAA, v6)] {
            let answer = parse(&fixture.ask(&query(7, "web.app.test.", kind)).unwrap());
            assert_eq!(answer.answers.len(), expected, "{stack:?} {kind}");
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
            assert!(answer.answers.iter().all(|r| r.record_type() == kind));
        }
    }
}

#[test]
fn what_is_no_query_is_dropped() {
    let mut fixture = Fixture::new();
    let good = query(7, "web.app.test.", RecordType::A);
    let mut response = good.clone();
    response[2] |= 0x80;
    let mut two = good.clone();
    two[5] = 2;
    let mut counts = good.clone();
    counts[11] = 1;
    for bytes in [
        &[][..],
        &good[..11],
        &good[..good.len() - 1],
        &response,
        &two,
        &counts,
    ] {
        let dropped = Err(DropReason::MalformedQuery);
        assert_eq!(fixture.send(4000, SENTINEL, bytes), dropped);
    }
}

#[test]
fn a_query_with_options_gets_options_and_others_get_none() {
    let mut fixture = Fixture::new();
    for (name, kind) in [
        ("web.app.test.", RecordType::A),
        ("use-application-dns.net.", RecordType::A),
    ] {
        let plain = parse(&fixture.ask(&query(7, name, kind)).unwrap());
        assert!(plain.edns.is_none());
        let answer = parse(&fixture.ask(&extended(7, name, kind, 4096)).unwrap());
        let edns = answer.edns.unwrap();
        assert_eq!((edns.max_payload(), edns.version()), (1232, 0));
        assert!(edns.flags().dnssec_ok);
    }
}

#[test]
fn other_versions_and_repeated_options_are_refused() {
    let mut fixture = Fixture::new();
    let mut later = extended(7, "web.app.test.", RecordType::A, 1232);
    let version_at = later.len() - 5;
    later[version_at] = 1;
    let answer = parse(&fixture.ask(&later).unwrap());
    // The oracle gives this number the name that it has in signatures.
    assert_eq!(u16::from(answer.metadata.response_code), 16);
    assert!(answer.answers.is_empty());

    let mut twice = extended(7, "other.test.", RecordType::A, 1232);
    let opt = twice[twice.len() - 11..].to_vec();
    twice.extend(opt);
    twice[11] = 2;
    let answer = parse(&fixture.ask(&twice).unwrap());
    assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
    assert!(fixture.dns.poll_query().is_none());
}

/// Asks over UDP, lets the server answer with so many bytes, and returns what the program gets.
fn exchange(fixture: &mut Fixture, to: &str, question: &[u8], length: usize) -> Vec<u8> {
    fixture.send(4000, to, question).unwrap();
    let forwarded = fixture.dns.poll_query().unwrap();
    let mut answer = response(&forwarded.message, vec![text("big.test.", 1, length)]);
    answer.metadata.authoritative = true;
    fixture.answer(&forwarded, Ok(&answer.to_vec().unwrap()));
    fixture.reply().unwrap()
}

#[test]
fn a_reply_is_as_large_as_the_asker_and_the_tunnel_allow() {
    for (to, largest) in [(SENTINEL, 1252), (SENTINEL_V6, 1232)] {
        for (advertised, limit) in [
            (None, 512),
            (Some(0), 512),
            (Some(512), 512),
            (Some(1000), 1000),
            (Some(4096), largest),
            (Some(65535), largest),
        ] {
            let mut fixture = Fixture::new();
            let question = match advertised {
                Some(size) => extended(7, "big.test.", RecordType::TXT, size),
                None => query(7, "big.test.", RecordType::TXT),
            };
            let whole = exchange(&mut fixture, to, &question, 200);
            assert!(whole.len() <= 512 && !parse(&whole).metadata.truncation);
            let cut = parse(&exchange(&mut fixture, to, &question, LARGE));
            assert!(cut.metadata.truncation && cut.metadata.authoritative);
            assert_eq!((cut.metadata.id, cut.queries.len()), (7, 1));
            assert!(cut.answers.is_empty());
            assert_eq!(cut.edns.is_some(), advertised.is_some(), "{advertised:?}");

            // At the limit and one byte above it.
            for (length, is_cut) in [(limit, false), (limit + 1, true)] {
                fixture.send(4000, to, &question).unwrap();
                let forwarded = fixture.dns.poll_query().unwrap();
                let mut answer = respond(&forwarded.message, vec![]);
                answer.resize(length, 0);
                fixture.answer(&forwarded, Ok(&answer));
                let reply = fixture.reply().unwrap();
                assert_eq!(reply.len() < length, is_cut, "{advertised:?} {length}");
            }
        }
    }
}

#[test]
fn servers_are_told_what_can_be_handed_on_and_nothing_else_changes() {
    for (to, size, expected) in [
        (SENTINEL, 4096, 1252),
        (SENTINEL_V6, 4096, 1232),
        (SENTINEL, 800, 800),
        (SENTINEL, 100, 512),
    ] {
        let mut fixture = Fixture::new();
        let question = extended(7, "Big.Test.", RecordType::TXT, size);
        fixture.send(4000, to, &question).unwrap();
        let sent = fixture.dns.poll_query().unwrap().message;
        let told = parse(&sent).edns.unwrap();
        assert_eq!(told.max_payload(), expected);
        assert!(told.flags().dnssec_ok);
        let differs = |n: &usize| question[*n] != sent[*n];
        let changed: Vec<usize> = (0..sent.len()).filter(differs).collect();
        let size_at = question.len() - 8;
        let allowed = |n: &usize| *n < 2 || (size_at..size_at + 2).contains(n);
        assert!(changed.iter().all(allowed), "{changed:?}");
    }
}

#[test]
fn a_signed_query_goes_out_as_it_is() {
    let mut fixture = Fixture::new();
    let mut signed = extended(7, "big.test.", RecordType::TXT, 4096);
    // TSIG, empty, class ANY.
    signed.extend([0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0]);
    signed[11] = 2;
    assert_eq!(fixture.ask(&signed), None);
    let forwarded = fixture.dns.poll_query().unwrap();
    assert_eq!(forwarded.message, signed);
}

#[test]
fn ids_are_our_own_and_answers_carry_those_of_the_requestor() {
    let mut fixture = Fixture::new();
    let mut numbers = std::collections::BTreeSet::new();
    for from in 0..50 {
        let question = query(7, "oThEr.test.", RecordType::A);
        fixture.send(4000 + from, SENTINEL, &question).unwrap();
        let forwarded = fixture.dns.poll_query().unwrap();
        numbers.insert(u16::from_be_bytes([
            forwarded.message[0],
            forwarded.message[1],
        ]));
        let mut answer = response(&forwarded.message, vec![address("other.test.", 1)]);
        answer.queries[0].set_name(Name::from_ascii("OTHER.TEST.").unwrap());
        fixture.answer(&forwarded, Ok(&answer.to_vec().unwrap()));
        let reply = parse(&fixture.reply().unwrap());
        assert_eq!(reply.metadata.id, 7);
        assert_eq!(reply.queries[0].name().to_ascii(), "oThEr.test.");
    }
    assert!(numbers.len() > 45, "{numbers:?}");
}

#[test]
fn answers_to_something_else_are_failures() {
    let mut fixture = Fixture::new();
    let question = query(7, "other.test.", RecordType::A);
    let broken: [fn(&mut Vec<u8>); 6] = [
        |answer| answer[1] ^= 1,
        |answer| answer[13] ^= 1,
        |answer| answer[2] &= 0x7f,
        |answer| answer[25] = 28,
        |answer| answer.truncate(30),
        |answer| answer.clear(),
    ];
    for breaks in broken {
        assert_eq!(fixture.ask(&question), None);
        let forwarded = fixture.dns.poll_query().unwrap();
        let mut answer = respond(&forwarded.message, vec![address("other.test.", 60)]);
        breaks(&mut answer);
        fixture.answer(&forwarded, Ok(&answer));
        let reply = parse(&fixture.reply().unwrap());
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
        assert_eq!((reply.metadata.id, reply.queries.len()), (7, 1));
    }
}

#[test]
fn silence_is_passed_on_and_other_failures_are_told() {
    let mut fixture = Fixture::new();
    for (failure, is_told) in [(DnsFailure::TimedOut, false), (DnsFailure::Failed, true)] {
        assert_eq!(fixture.ask(&query(7, "other.test.", RecordType::A)), None);
        let forwarded = fixture.dns.poll_query().unwrap();
        fixture.answer(&forwarded, Err(failure));
        assert_eq!(fixture.reply().is_some(), is_told);
        fixture.answer(&forwarded, Err(failure));
        assert_eq!(fixture.reply(), None, "told once");
    }
}

#[test]
fn a_repeated_query_goes_out_once() {
    let mut fixture = Fixture::new();
    let question = query(7, "other.test.", RecordType::A);
    assert_eq!(fixture.ask(&question), None);
    let forwarded = fixture.dns.poll_query().unwrap();
    assert_eq!(fixture.ask(&question), None);
    assert!(fixture.dns.poll_query().is_none());
    for (from, to, other) in [
        (4001, SENTINEL, question.clone()),
        (4000, SENTINEL_V6, question.clone()),
        (4000, SENTINEL, query(8, "other.test.", RecordType::A)),
        (4000, SENTINEL, query(7, "other.test.", RecordType::AAAA)),
    ] {
        fixture.send(from, to, &other).unwrap();
        assert!(fixture.dns.poll_query().is_some());
    }
    fixture.answer(&forwarded, Ok(&respond(&forwarded.message, vec![])));
    assert!(fixture.reply().is_some());
    assert_eq!(fixture.reply(), None);
    assert_eq!(fixture.ask(&question), None);
    assert!(fixture.dns.poll_query().is_some(), "it has been answered");
}

#[test]
fn too_many_waiting_queries_are_refused() {
    let mut fixture = Fixture::new();
    let mut refused = 0;
    for id in 0..=u16::MAX {
        let Some(reply) = fixture.ask(&query(id, "slow.test.", RecordType::TXT)) else {
            continue;
        };
        refused += 1;
        let reply = parse(&reply);
        assert_eq!(reply.metadata.id, id);
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    }
    assert_eq!(refused, 65_536 - 1000);
    let dropped = fixture.dns.drops().get(DropReason::TooManyQueries);
    assert_eq!(dropped, refused);
    let asked = std::iter::from_fn(|| fixture.dns.poll_query()).count();
    assert_eq!(asked, 1000);
}

#[test]
fn who_asked_an_old_server_is_still_answered_by_it() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.ask(&query(7, "other.test.", RecordType::A)), None);
    let forwarded = fixture.dns.poll_query().unwrap();
    fixture.set_portal_resolvers(&["203.0.113.53:53"]);
    let unknown = Err(DropReason::UnknownSentinel);
    let question = query(8, "other.test.", RecordType::A);
    assert_eq!(fixture.send(4000, SENTINEL, &question), unknown);
    fixture.answer(&forwarded, Ok(&respond(&forwarded.message, vec![])));
    let reply = fixture.dns.poll_packet().unwrap();
    let reply = IpPacket::parse(&reply[..]).unwrap();
    assert_eq!(reply.source().to_string(), SENTINEL);
    assert_eq!(parse(reply.udp_payload()).metadata.id, 7);

    fixture.send(4000, "100.100.111.2", &question).unwrap();
    let forwarded = fixture.dns.poll_query().unwrap();
    assert_eq!(forwarded.server.to_string(), "203.0.113.53:53");
}

/// Asks a multicast group; the payload of the reply and where it comes from.
fn ask_group(
    fixture: &mut Fixture,
    group: &str,
    bytes: &[u8],
) -> Result<(Vec<u8>, String), DropReason> {
    let from = match group.starts_with('[') {
        true => format!("[{PROGRAM_V6}]:4000"),
        false => format!("{PROGRAM}:4000"),
    };
    let packet = crate::fixtures::udp(&from, group, bytes);
    let packet = IpPacket::parse(&packet[..]).unwrap();
    fixture.dns.handle_multicast(&packet, &fixture.resources)?;
    let reply = fixture.dns.poll_packet().unwrap();
    let reply = IpPacket::parse(&reply[..]).unwrap();
    let Transport::Udp {
        source,
        destination: 4000,
    } = reply.transport()
    else {
        panic!("a reply to the program");
    };
    Ok((
        reply.udp_payload().to_vec(),
        SocketAddr::new(reply.source(), source).to_string(),
    ))
}

#[test]
fn groups_are_told_of_our_names_only() {
    let mut fixture = Fixture::new();
    let other = ResourceId::from_bytes([5; 16]);
    fixture.resources.insert(named(other, "intranet")).unwrap();
    for group in ["224.0.0.252:5355", "[ff02::1:3]:5355"] {
        for (name, kind, answers) in [
            ("intranet.", RecordType::A, 4),
            ("Intranet.", RecordType::AAAA, 4),
            ("intranet.", RecordType::HTTPS, 0),
            ("web.app.test.", RecordType::A, 4),
        ] {
            let question = query(9, name, kind);
            let (reply, from) = ask_group(&mut fixture, group, &question).unwrap();
            assert_eq!(from, group);
            assert_eq!(reply[2..4], [0x80, 0], "no flags");
            let reply = parse(&reply);
            assert_eq!(
                (reply.metadata.id, reply.answers.len()),
                (9, answers),
                "{name}"
            );
        }
        for (name, kind) in [
            ("printer.", RecordType::A),
            ("use-application-dns.net.", RecordType::A),
            ("intranet.", RecordType::SRV),
            ("intranet.", RecordType::MX),
        ] {
            let question = query(9, name, kind);
            let dropped = Err(DropReason::UnknownName);
            assert_eq!(ask_group(&mut fixture, group, &question), dropped, "{name}");
        }
        let mut later = extended(9, "intranet.", RecordType::A, 1232);
        let version_at = later.len() - 5;
        later[version_at] = 1;
        for bytes in [b"nonsense", &later[..]] {
            let dropped = Err(DropReason::MalformedQuery);
            assert_eq!(ask_group(&mut fixture, group, bytes), dropped);
        }
    }
    for group in ["224.0.0.251:5353", "224.0.0.252:53", "[ff02::fb]:5355"] {
        let question = query(9, "intranet.", RecordType::A);
        let dropped = Err(DropReason::Multicast);
        assert_eq!(
            ask_group(&mut fixture, group, &question),
            dropped,
            "{group}"
        );
    }
    assert!(fixture.dns.poll_query().is_none());
    assert!(fixture.dns.poll_intercepted().is_some());
}

#[test]
fn a_query_outside_says_how_its_server_may_be_asked() {
    let mut fixture = Fixture::new();
    let managed = DnsServer {
        access: DnsAccess::Managed,
        ..server("192.0.2.53:53")
    };
    for (id, servers, access) in [
        (1, [managed], DnsAccess::Managed),
        (2, [server("192.0.2.53:53")], DnsAccess::Plain),
    ] {
        fixture.dns.set_system_resolvers(&servers);
        let sentinel = fixture.dns.sentinels().next().unwrap().to_string();
        let question = query(id, "other.test.", RecordType::A);
        fixture.send(4000, &sentinel, &question).unwrap();
        assert_eq!(fixture.dns.poll_query().unwrap().access, access);
    }
}

#[test]
fn a_query_outside_whose_end_nobody_tells_does_not_wait_for_ever() {
    let mut fixture = Fixture::new();
    for id in [1, 2] {
        fixture.ask(&query(id, "other.test.", RecordType::A));
        fixture.pass(Duration::from_secs(5));
    }
    let first = fixture.dns.poll_query().unwrap();
    fixture.pass(Duration::from_millis(4_999));
    assert_eq!(fixture.dns.waiting(), 2);
    let due = fixture.now + Duration::from_millis(1);
    assert_eq!(fixture.dns.deadline().map(|wakeup| wakeup.at), Some(due));
    fixture.pass(Duration::from_millis(1));
    assert_eq!(fixture.dns.waiting(), 1);
    assert_eq!(fixture.dns.drops().get(DropReason::NoAnswer), 1);
    // What comes after that is nobody's answer.
    fixture.answer(&first, Err(DnsFailure::Failed));
    assert_eq!(fixture.reply(), None);
    // The same question is a new one.
    fixture.ask(&query(1, "other.test.", RecordType::A));
    assert_eq!(fixture.dns.waiting(), 2);
}
