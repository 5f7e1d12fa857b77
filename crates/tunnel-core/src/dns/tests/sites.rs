//! What only a server in a site knows.

use super::*;

fn question(id: u16) -> Vec<u8> {
    query(id, "_ldap._tcp.app.test.", RecordType::SRV)
}

/// `**.app.test` covers what services have for names.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture
        .resources
        .insert(named(RESOURCE, "**.app.test"))
        .unwrap();
    fixture
}

fn authorize(fixture: &mut Fixture) {
    fixture.bind();
    let (dns, cx) = fixture.split();
    dns.handle_authorized(RESOURCE, cx);
}

fn sent_to(fixture: &mut Fixture) -> Option<(String, Vec<u8>)> {
    let packet = fixture.dns.poll_tunneled()?;
    let packet = IpPacket::parse(&packet[..]).unwrap();
    let Transport::Udp { destination, .. } = packet.transport() else {
        panic!("a query over UDP");
    };
    let to = SocketAddr::new(packet.destination(), destination);
    Some((to.to_string(), packet.udp_payload().to_vec()))
}

#[test]
fn a_query_waits_for_the_gateway_and_then_goes_to_it() {
    for (sentinel, server) in [
        (SENTINEL, "100.64.0.9:53535"),
        (SENTINEL_V6, "[fd00:2021:1111::9]:53535"),
    ] {
        let mut fixture = fixture();
        for (id, kind) in [(1, RecordType::SRV), (2, RecordType::TXT)] {
            let question = query(id, "_ldap._tcp.app.test.", kind);
            fixture.send(4000, sentinel, &question).unwrap();
            assert_eq!(fixture.dns.poll_wanted(), Some(RESOURCE));
            // A repeated query is one query, and wants the resource again.
            fixture.send(4000, sentinel, &question).unwrap();
            fixture.send(4000, sentinel, &question).unwrap();
            assert_eq!(fixture.dns.poll_wanted(), Some(RESOURCE));
            assert_eq!(fixture.dns.poll_wanted(), None);
        }
        assert_eq!(sent_to(&mut fixture), None);
        authorize(&mut fixture);
        for kind in [RecordType::SRV, RecordType::TXT] {
            let (to, message) = sent_to(&mut fixture).unwrap();
            assert_eq!(to, server);
            assert_eq!(parse(&message).queries[0].query_type(), kind);
        }
        assert_eq!(sent_to(&mut fixture), None);
        // From now on nothing has to wait.
        fixture.send(4001, sentinel, &question(3)).unwrap();
        assert_eq!(fixture.dns.poll_wanted(), None);
        assert_eq!(sent_to(&mut fixture).unwrap().0, server);
    }
}

#[test]
fn a_refusal_is_a_failure() {
    let mut fixture = fixture();
    assert_eq!(fixture.ask(&question(7)), None);
    let (dns, cx) = fixture.split();
    dns.handle_refused(RESOURCE, cx);
    let reply = parse(&fixture.reply().unwrap());
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(reply.metadata.id, 7);
}

#[test]
fn waiting_ends_after_ten_seconds() {
    let mut fixture = fixture();
    assert_eq!(fixture.ask(&question(7)), None);
    fixture.pass(Duration::from_millis(9_999));
    assert!(fixture.dns.deadline().is_some());
    fixture.pass(Duration::from_millis(1));
    assert_eq!(fixture.dns.deadline(), None);
    assert_eq!(fixture.reply(), None);
    assert_eq!(fixture.dns.drops().get(DropReason::NoAnswer), 1);
    authorize(&mut fixture);
    assert_eq!(sent_to(&mut fixture), None);
}

#[test]
fn without_addresses_of_our_own_nobody_is_asked() {
    let mut fixture = fixture();
    fixture.dns = Dns::new(&SeedTree::new(Seed::from_bytes([3; 32])), fixture.now);
    fixture.dns.set_system_resolvers(&[server("192.0.2.53:53")]);
    fixture.bind();
    let reply = parse(&fixture.ask(&question(7)).unwrap());
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(fixture.dns.drops().get(DropReason::UnsendableQuery), 1);
}

#[test]
fn waiting_queries_are_bounded() {
    let mut fixture = fixture();
    let mut failed = 0;
    for id in 0..200 {
        failed += usize::from(fixture.ask(&question(id)).is_some());
    }
    assert_eq!(failed, 200 - 128);
    // Other resources have room of their own, up to a limit of all.
    for n in 10..30 {
        let other = ResourceId::from_bytes([n; 16]);
        fixture
            .resources
            .insert(named(other, &format!("r{n}.test")))
            .unwrap();
        for id in 0..128 {
            let question = query(id, &format!("r{n}.test."), RecordType::TXT);
            failed += usize::from(fixture.ask(&question).is_some());
        }
    }
    assert_eq!(200 + 20 * 128 - failed, 1024);
    let dropped = fixture.dns.drops().get(DropReason::TooManyQueries);
    assert_eq!(usize::try_from(dropped), Ok(failed));
    fixture.pass(Duration::from_secs(11));
    assert_eq!(fixture.ask(&question(1)), None, "there is room again");
}
