//! Servers behind the tunnel.

use super::*;
use netsim::TcpHost;
use smoltcp::{iface::SocketHandle, socket::tcp::State};

const SERVER: &str = "10.20.0.53";

/// The resolver with a server inside the network resource.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.set_portal_resolvers(&["10.20.0.53:53"]);
    fixture
}

/// The sentinel of the only server.
const SENTINEL: &str = "100.100.111.2";

impl Fixture {
    fn ask_tunneled(&mut self, from: u16, question: &[u8]) -> Vec<u8> {
        self.send(from, SENTINEL, question).unwrap();
        assert!(self.dns.poll_query().is_none(), "it does not go outside");
        self.dns.poll_tunneled().unwrap()
    }

    /// A packet from the tunnel; says whether it was for us.
    fn receive_tunneled(&mut self, packet: &[u8]) -> Result<bool, DropReason> {
        let packet = IpPacket::parse(packet).unwrap();
        let (dns, cx) = self.split();
        dns.handle_tunneled(&packet, cx)
    }
}

/// The answer of a server to a packet with a query over UDP.
fn answer_to(packet: &[u8], change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let packet = IpPacket::parse(packet).unwrap();
    let Transport::Udp {
        source,
        destination,
    } = packet.transport()
    else {
        panic!("a query over UDP");
    };
    let mut answer = respond(packet.udp_payload(), vec![address("other.test.", 60)]);
    change(&mut answer);
    let socket = |address, port| SocketAddr::new(address, port).to_string();
    let from = socket(packet.destination(), destination);
    crate::fixtures::udp(&from, &socket(packet.source(), source), &answer)
}

#[test]
fn a_query_over_udp_goes_to_the_server_from_our_own_address() {
    let mut fixture = fixture();
    let mut ports = std::collections::BTreeSet::new();
    for from in 4000..4040 {
        let packet = fixture.ask_tunneled(from, &query(7, "other.test.", RecordType::A));
        let parsed = IpPacket::parse(&packet[..]).unwrap();
        assert_eq!(parsed.source().to_string(), PROGRAM);
        assert_eq!(parsed.destination().to_string(), SERVER);
        let Transport::Udp {
            source: port @ 49152..,
            destination: 53,
        } = parsed.transport()
        else {
            panic!("{:?}", parsed.transport());
        };
        ports.insert(port);
        let question = parse(parsed.udp_payload());
        assert_eq!(question.queries[0].name().to_ascii(), "other.test.");
        fixture.pass(Duration::from_millis(50));
    }
    assert!(ports.len() > 35, "{ports:?}");
    let packet = fixture.ask_tunneled(5000, &query(7, "Other.test.", RecordType::A));
    assert_eq!(
        fixture.receive_tunneled(&answer_to(&packet, |_| {})),
        Ok(true)
    );
    let reply = fixture.dns.poll_packet().unwrap();
    let reply = IpPacket::parse(&reply[..]).unwrap();
    assert_eq!(reply.source().to_string(), SENTINEL);
    let message = parse(reply.udp_payload());
    assert_eq!((message.metadata.id, message.answers.len()), (7, 1));
    assert_eq!(message.queries[0].name().to_ascii(), "Other.test.");
    // From now on it is known.
    fixture
        .send(5001, SENTINEL, &query(9, "other.test.", RecordType::A))
        .unwrap();
    assert!(fixture.reply().is_some() && fixture.dns.poll_tunneled().is_none());
}

#[test]
fn only_the_right_answer_counts() {
    let mut fixture = fixture();
    let packet = fixture.ask_tunneled(4000, &query(7, "other.test.", RecordType::A));
    let changes: [fn(&mut Vec<u8>); 4] = [
        |answer| answer[0] ^= 1,
        |answer| answer[13] ^= 1,
        |answer| answer[2] &= 0x7f,
        |answer| answer.truncate(20),
    ];
    for change in changes {
        let dropped = fixture.receive_tunneled(&answer_to(&packet, change));
        assert_eq!(dropped, Err(DropReason::UnexpectedAnswer));
        assert_eq!(fixture.reply(), None);
    }
    // Another server, another port of the server, another port of ours.
    let good = IpPacket::parse(answer_to(&packet, |_| {})).unwrap();
    let Transport::Udp {
        destination: port, ..
    } = good.transport()
    else {
        panic!("an answer over UDP");
    };
    let other_port = if port == 65535 { port - 1 } else { port + 1 };
    for (from, to) in [
        ("10.20.0.54:53", port),
        ("10.20.0.53:54", port),
        ("10.20.0.53:53", other_port),
    ] {
        let foreign = crate::fixtures::udp(from, &format!("{PROGRAM}:{to}"), good.udp_payload());
        assert_eq!(fixture.receive_tunneled(&foreign), Ok(false), "{from} {to}");
    }
    assert_eq!(fixture.receive_tunneled(good.bytes()), Ok(true));
    assert!(fixture.reply().is_some());
    assert_eq!(
        fixture.receive_tunneled(good.bytes()),
        Ok(false),
        "it counts once"
    );
}

#[test]
fn servers_outside_of_resources_and_those_of_the_system_are_asked_outside() {
    for servers in [&["192.0.2.53:53"][..], &[]] {
        let mut fixture = Fixture::new();
        fixture.dns.set_system_resolvers(&[server("10.20.0.53:53")]);
        fixture.set_portal_resolvers(servers);
        let sentinel = fixture.dns.sentinels().next().unwrap().to_string();
        fixture
            .send(4000, &sentinel, &query(7, "other.test.", RecordType::A))
            .unwrap();
        assert!(fixture.dns.poll_tunneled().is_none());
        assert!(fixture.dns.poll_query().is_some(), "{servers:?}");
    }
}

#[test]
fn the_internet_resource_covers_every_server() {
    let mut fixture = Fixture::new();
    let internet = model::InternetResource {
        id: ResourceId::from_bytes([3; 16]),
        name: "Internet".into(),
        sites: vec![],
    };
    fixture
        .resources
        .insert(Resource::Internet(internet))
        .unwrap();
    fixture.set_portal_resolvers(&["203.0.113.53:53", "[2001:db8::77]:53"]);
    for (id, enabled, sentinel) in [
        (1, false, "100.100.111.2"),
        (2, true, "100.100.111.2"),
        (3, true, "fd00:2021:1111:8000:100:100:111:1"),
    ] {
        fixture.resources.set_internet(enabled);
        let question = query(id, "other.test.", RecordType::A);
        fixture.send(4000, sentinel, &question).unwrap();
        let inside = fixture.dns.poll_tunneled();
        assert_eq!(inside.is_some(), enabled, "{sentinel}");
        assert_eq!(fixture.dns.poll_query().is_some(), !enabled);
        if let Some(packet) = inside {
            assert_eq!(
                fixture.receive_tunneled(&answer_to(&packet, |_| {})),
                Ok(true)
            );
            assert!(fixture.reply().is_some());
        }
    }
}

#[test]
fn silence_over_udp_ends_after_ten_seconds_and_is_passed_on() {
    let mut fixture = fixture();
    let question = query(7, "other.test.", RecordType::A);
    let packet = fixture.ask_tunneled(4000, &question);
    fixture.pass(Duration::from_millis(9999));
    fixture.send(4000, SENTINEL, &question).unwrap();
    assert!(fixture.dns.poll_tunneled().is_none(), "it is under way");
    let due = fixture.dns.deadline().unwrap().at;
    assert_eq!(due, fixture.now + Duration::from_millis(1));
    fixture.pass(Duration::from_millis(1));
    assert_eq!(fixture.reply(), None);
    assert_eq!(
        fixture.receive_tunneled(&answer_to(&packet, |_| {})),
        Ok(false)
    );
    fixture.ask_tunneled(4000, &question);
}

#[test]
fn an_unreachable_server_is_a_failure() {
    let mut fixture = fixture();
    let packet = fixture.ask_tunneled(4000, &query(7, "other.test.", RecordType::A));
    let other = crate::fixtures::udp(&format!("{PROGRAM}:50000"), "10.20.0.53:99", b"x");
    let mut error = vec![0; 1280];
    let mut quote = |packet: &[u8]| {
        let packet = IpPacket::parse(packet).unwrap();
        let reason = ip_packet::Unreachable::Prohibited;
        let length = ip_packet::emit_unreachable(&mut error, &packet, reason).unwrap();
        error[..length].to_vec()
    };
    let (theirs, ours) = (quote(&other), quote(&packet));
    assert_eq!(
        fixture.receive_tunneled(&theirs),
        Ok(false),
        "an error for a program"
    );
    assert_eq!(fixture.receive_tunneled(&ours), Ok(true));
    let reply = parse(&fixture.reply().unwrap());
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(fixture.receive_tunneled(&ours), Ok(false));
}

#[test]
fn waiting_queries_are_bounded() {
    let mut fixture = fixture();
    for id in 0..1100 {
        let question = query(id, "other.test.", RecordType::A);
        fixture.send(4000, SENTINEL, &question).unwrap();
    }
    let asked = std::iter::from_fn(|| fixture.dns.poll_tunneled()).count();
    let failed = std::iter::from_fn(|| fixture.reply()).count();
    assert_eq!((asked, failed), (1024, 76));
}

#[test]
fn other_addresses_end_what_is_under_way() {
    let mut fixture = fixture();
    fixture.ask_tunneled(4000, &query(7, "other.test.", RecordType::A));
    let interface = Interface {
        ipv4: "100.64.0.8".parse().unwrap(),
        ipv6: PROGRAM_V6.parse().unwrap(),
        upstream_dns: vec!["10.20.0.53:53".parse().unwrap()],
        search_domain: None,
    };
    let (dns, cx) = fixture.split();
    dns.set_interface(&interface, cx);
    let reply = parse(&fixture.reply().unwrap());
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(fixture.dns.deadline(), None);
}

/// A program and a server, both with TCP.
struct Between {
    fixture: Fixture,
    program: TcpHost,
    server: TcpHost,
    /// Nothing reaches the server.
    cut: bool,
}

impl Between {
    fn new() -> Self {
        let fixture = fixture();
        let program = TcpHost::new(PROGRAM.parse().unwrap(), fixture.now);
        let server = TcpHost::new(SERVER.parse().unwrap(), fixture.now);
        Self {
            fixture,
            program,
            server,
            cut: false,
        }
    }

    fn connect(&mut self, port: u16) -> SocketHandle {
        let to = SocketAddr::new(SENTINEL.parse().unwrap(), PORT);
        let handle = self.program.connect(port, to, 200_000);
        self.run(10);
        handle
    }

    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.fixture.pass(Duration::from_millis(1));
            let now = self.fixture.now;
            self.program.poll(now);
            while let Some(packet) = self.program.take() {
                let packet = IpPacket::parse(&packet[..]).unwrap();
                let (dns, cx) = self.fixture.split();
                dns.handle_packet(&packet, cx).unwrap();
            }
            self.server.poll(now);
            while let Some(packet) = self.server.take() {
                self.fixture.receive_tunneled(&packet).unwrap();
            }
            while let Some(packet) = self.fixture.dns.poll_tunneled() {
                if !self.cut {
                    self.server.deliver(packet);
                }
            }
            while let Some(packet) = self.fixture.dns.poll_packet() {
                self.program.deliver(packet);
            }
        }
    }

    fn answers(&mut self, handle: SocketHandle) -> Vec<Message> {
        self.run(30);
        let messages = self.program.messages(handle);
        messages.iter().map(|message| parse(message)).collect()
    }
}

#[test]
fn queries_over_tcp_share_one_connection_whatever_their_numbers() {
    let mut between = Between::new();
    let listening = between.server.listen(53);
    let programs = [between.connect(4000), between.connect(4001)];
    for (&program, name) in programs.iter().zip(["a.test.", "b.test."]) {
        for kind in [RecordType::A, RecordType::TXT] {
            assert!(between.program.send(program, &query(7, name, kind)));
        }
    }
    between.run(50);
    let remote = between.server.socket(listening).remote_endpoint().unwrap();
    assert_eq!(remote.addr.to_string(), PROGRAM);
    assert!(remote.port >= 49152);
    let asked = between.server.messages(listening);
    assert_eq!(asked.len(), 4);
    let numbers: std::collections::BTreeSet<_> = asked.iter().map(|m| [m[0], m[1]]).collect();
    assert_eq!(numbers.len(), 4);
    // The last one first, and one of them larger than a window.
    for message in asked.iter().rev() {
        let name = parse(message).queries[0].name().to_ascii();
        let answer = respond(message, vec![text(&name, 60, 40_000)]);
        assert!(between.server.send(listening, &answer));
        between.run(100);
    }
    for (program, name) in programs.into_iter().zip(["a.test.", "b.test."]) {
        let answers = between.answers(program);
        assert_eq!(answers.len(), 2);
        for answer in answers {
            assert_eq!(answer.metadata.id, 7);
            assert_eq!(answer.queries[0].name().to_ascii(), name);
        }
    }
    assert!(between.fixture.dns.poll_query().is_none());
}

#[test]
fn a_server_that_hangs_up_is_connected_once_more() {
    let mut between = Between::new();
    let program = between.connect(4000);
    let first = between.server.listen(53);
    assert!(
        between
            .program
            .send(program, &query(7, "a.test.", RecordType::A))
    );
    between.run(50);
    let second = between.server.listen(53);
    assert_eq!(between.server.messages(first).len(), 1);
    between.server.socket(first).close();
    between.run(50);
    let asked = between.server.messages(second);
    assert_eq!(asked.len(), 1);
    assert!(
        between
            .server
            .send(second, &respond(&asked[0], vec![address("a.test.", 60)]))
    );
    assert_eq!(between.answers(program)[0].answers.len(), 1);

    // It hangs up again and again: that is a failure, and the next query another try.
    between.server.socket(second).abort();
    for _ in 0..2 {
        assert!(
            between
                .program
                .send(program, &query(8, "b.test.", RecordType::A))
        );
        for _ in 0..2 {
            let listening = between.server.listen(53);
            between.run(20);
            between.server.socket(listening).abort();
            between.run(20);
        }
        let answers = between.answers(program);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].metadata.response_code, ResponseCode::ServFail);
    }
}

#[test]
fn a_server_that_refuses_is_a_failure_at_once() {
    let mut between = Between::new();
    let program = between.connect(4000);
    assert!(
        between
            .program
            .send(program, &query(7, "a.test.", RecordType::A))
    );
    let answers = between.answers(program);
    assert_eq!(answers[0].metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn silence_over_tcp_is_a_failure_after_ten_seconds() {
    for accepts in [false, true] {
        let mut between = Between::new();
        let program = between.connect(4000);
        if accepts {
            between.server.listen(53);
        }
        between.cut = !accepts;
        assert!(
            between
                .program
                .send(program, &query(7, "a.test.", RecordType::A))
        );
        between.run(9_900);
        assert!(between.answers(program).is_empty());
        between.run(200);
        let answers = between.answers(program);
        assert_eq!(answers.len(), 1, "{accepts}");
        assert_eq!(answers[0].metadata.response_code, ResponseCode::ServFail);
    }
}

#[test]
fn a_connection_that_died_unnoticed_is_replaced() {
    let mut between = Between::new();
    let program = between.connect(4000);
    let first = between.server.listen(53);
    assert!(
        between
            .program
            .send(program, &query(7, "a.test.", RecordType::A))
    );
    between.run(50);
    let asked = between.server.messages(first);
    assert!(
        between
            .server
            .send(first, &respond(&asked[0], vec![address("a.test.", 60)]))
    );
    assert_eq!(between.answers(program).len(), 1);
    between.cut = true;
    assert!(
        between
            .program
            .send(program, &query(8, "b.test.", RecordType::A))
    );
    between.run(5_000);
    assert!(
        between
            .program
            .send(program, &query(9, "c.test.", RecordType::A))
    );
    // The first of them ends without a word of the server: the other one is asked anew.
    between.run(5_100);
    let second = between.server.listen(53);
    between.cut = false;
    between.run(2_000);
    let asked = between.server.messages(second);
    assert_eq!(asked.len(), 1);
    let answer = respond(&asked[0], vec![address("c.test.", 60)]);
    assert!(between.server.send(second, &answer));
    let answers = between.answers(program);
    let codes: Vec<ResponseCode> = answers.iter().map(|a| a.metadata.response_code).collect();
    assert_eq!(codes, [ResponseCode::ServFail, ResponseCode::NoError]);
}

#[test]
fn an_idle_connection_is_closed() {
    let mut between = Between::new();
    let program = between.connect(4000);
    let listening = between.server.listen(53);
    assert!(
        between
            .program
            .send(program, &query(7, "a.test.", RecordType::A))
    );
    between.run(50);
    let asked = between.server.messages(listening);
    assert!(
        between
            .server
            .send(listening, &respond(&asked[0], vec![address("a.test.", 60)]))
    );
    between.run(9_000);
    assert_eq!(between.server.socket(listening).state(), State::Established);
    between.run(1_500);
    assert_eq!(between.server.socket(listening).state(), State::CloseWait);
    between.server.socket(listening).close();
    between.run(100);
    assert_eq!(between.server.socket(listening).state(), State::Closed);
}

#[test]
fn a_reset_forgets_what_is_under_way() {
    let mut between = Between::new();
    let program = between.connect(4000);
    between.server.listen(53);
    assert!(
        between
            .program
            .send(program, &query(7, "a.test.", RecordType::A))
    );
    between.run(20);
    between
        .fixture
        .ask_tunneled(5000, &query(7, "other.test.", RecordType::A));
    between.fixture.dns.reset(between.fixture.now);
    assert!(between.fixture.dns.poll_tunneled().is_none());
    while between.fixture.dns.poll_packet().is_some() {}
    between.fixture.pass(Duration::from_secs(60));
    assert_eq!(between.fixture.dns.deadline(), None);
    assert!(between.fixture.dns.poll_packet().is_none());
}
