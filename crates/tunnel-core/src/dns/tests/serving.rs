//! DNS over TCP at a sentinel.

use super::*;
use netsim::TcpHost;
use smoltcp::{iface::SocketHandle, socket::tcp::State};

/// The resolver, and a program with a TCP stack.
struct Served {
    fixture: Fixture,
    program: TcpHost,
}

impl Served {
    fn new() -> Self {
        Self::from(PROGRAM)
    }

    fn from(program: &str) -> Self {
        let fixture = Fixture::new();
        let program = TcpHost::new(program.parse().unwrap(), fixture.now);
        Self { fixture, program }
    }

    fn connect(&mut self, port: u16) -> SocketHandle {
        self.connect_to(SENTINEL, port, 200_000)
    }

    fn connect_to(&mut self, sentinel: &str, port: u16, buffer: usize) -> SocketHandle {
        let to = SocketAddr::new(sentinel.parse().unwrap(), PORT);
        let handle = self.program.connect(port, to, buffer);
        self.run(10);
        handle
    }

    /// Lets some milliseconds pass.
    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.fixture.pass(Duration::from_millis(1));
            self.exchange();
        }
    }

    /// Moves packets until there are no more.
    fn exchange(&mut self) {
        loop {
            self.collect();
            self.program.poll(self.fixture.now);
            let mut packets = std::iter::from_fn(|| self.program.take()).peekable();
            if packets.peek().is_none() {
                return;
            }
            for packet in packets {
                let packet = IpPacket::parse(&packet[..]).unwrap();
                let (dns, cx) = self.fixture.split();
                // Sentinels that are gone drop what they get.
                let _dropped = dns.handle_packet(&packet, cx);
            }
        }
    }

    fn collect(&mut self) {
        while let Some(packet) = self.fixture.dns.poll_packet() {
            self.program.deliver(packet);
        }
    }

    fn ask(&mut self, handle: SocketHandle, id: u16, name: &str, kind: RecordType) {
        assert!(self.program.send(handle, &query(id, name, kind)));
    }

    fn answers(&mut self, handle: SocketHandle) -> Vec<Message> {
        self.run(30);
        let messages = self.program.messages(handle);
        messages.iter().map(|message| parse(message)).collect()
    }

    fn answer(&mut self, query: &DnsQuery, answer: &[u8]) {
        self.fixture.answer(query, Ok(answer));
        self.collect();
    }

    fn state(&mut self, handle: SocketHandle) -> State {
        self.program.socket(handle).state()
    }
}

#[test]
fn several_queries_on_one_connection_are_answered_out_of_order() {
    for (program, sentinel, server) in [
        (PROGRAM, SENTINEL, "192.0.2.53:53"),
        (PROGRAM_V6, SENTINEL_V6, "[2001:db8::53]:53"),
    ] {
        let mut served = Served::from(program);
        let connection = served.connect_to(sentinel, 4000, 200_000);
        served.ask(connection, 1, "slow.test.", RecordType::TXT);
        served.ask(connection, 2, "web.app.test.", RecordType::A);
        let answers = served.answers(connection);
        assert_eq!(answers.len(), 1);
        assert_eq!((answers[0].metadata.id, answers[0].answers.len()), (2, 4));

        let forwarded = served.fixture.dns.poll_query().unwrap();
        assert_eq!(forwarded.transport, DnsTransport::Tcp);
        assert_eq!(forwarded.server.to_string(), server);
        // Larger than any packet, larger than the socket's buffer.
        let mut reply = respond(&forwarded.message, vec![text("slow.test.", 1, 60_000)]);
        served.answer(&forwarded, &reply);
        served.run(500);
        reply[..2].copy_from_slice(&[0, 1]);
        assert_eq!(served.program.messages(connection), [reply]);
    }
}

#[test]
fn sizes_in_queries_over_tcp_stay_as_they_are() {
    let mut served = Served::new();
    let connection = served.connect(4000);
    let question = extended(7, "slow.test.", RecordType::TXT, 4096);
    assert!(served.program.send(connection, &question));
    served.run(20);
    let forwarded = served.fixture.dns.poll_query().unwrap();
    assert_eq!(forwarded.message[2..], question[2..]);
}

#[test]
fn equal_numbers_on_one_connection_are_told_apart() {
    let mut served = Served::new();
    let connection = served.connect(4000);
    let names = ["a.test.", "b.test.", "c.test."];
    for name in names {
        served.ask(connection, 7, name, RecordType::A);
    }
    served.run(20);
    let asked: Vec<DnsQuery> = std::iter::from_fn(|| served.fixture.dns.poll_query()).collect();
    assert_eq!(asked.len(), 3);
    for (query, name) in asked.iter().zip(names).rev() {
        let answer = respond(&query.message, vec![address(name, 60)]);
        served.answer(query, &answer);
    }
    let answers = served.answers(connection);
    let answered = answers
        .iter()
        .map(|a| (a.metadata.id, a.queries[0].name().to_ascii()));
    let expected = names.iter().rev().map(|name| (7, (*name).to_owned()));
    assert!(answered.eq(expected));
}

#[test]
fn a_failing_server_is_told_even_when_it_only_was_slow() {
    let mut served = Served::new();
    let connection = served.connect(4000);
    served.ask(connection, 7, "slow.test.", RecordType::TXT);
    served.run(20);
    let forwarded = served.fixture.dns.poll_query().unwrap();
    served.fixture.answer(&forwarded, Err(DnsFailure::TimedOut));
    served.collect();
    let answers = served.answers(connection);
    assert_eq!(answers[0].metadata.response_code, ResponseCode::ServFail);
    assert_eq!(answers[0].metadata.id, 7);
}

#[test]
fn nonsense_costs_the_connection_only() {
    let response = |id| {
        let mut response = query(id, "a.test.", RecordType::A);
        response[2] |= 0x80;
        response
    };
    for nonsense in [vec![], vec![1, 2, 3], response(7), vec![0xff; 65_535]] {
        let mut served = Served::new();
        let (bad, good) = (served.connect(4000), served.connect(4001));
        assert!(served.program.send(bad, &nonsense));
        served.run(100);
        assert_eq!(served.state(bad), State::Closed, "{} bytes", nonsense.len());
        served.ask(good, 1, "web.app.test.", RecordType::A);
        assert_eq!(served.answers(good).len(), 1);
    }
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let mut served = Served::new();
    let connection = served.connect(4000);
    let message = query(7, "web.app.test.", RecordType::A);
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    for byte in [&length[..], &message].concat() {
        served
            .program
            .socket(connection)
            .send_slice(&[byte])
            .unwrap();
        served.run(1);
    }
    assert_eq!(served.answers(connection).len(), 1);
}

#[test]
fn who_says_no_more_still_gets_all_answers() {
    let mut served = Served::new();
    let connection = served.connect(4000);
    served.ask(connection, 1, "slow.test.", RecordType::TXT);
    served.ask(connection, 2, "web.app.test.", RecordType::A);
    served.ask(connection, 3, "later.test.", RecordType::TXT);
    served.program.socket(connection).close();
    served.run(500);
    let asked: Vec<DnsQuery> = std::iter::from_fn(|| served.fixture.dns.poll_query()).collect();
    assert_eq!(asked.len(), 2);
    for (query, name) in asked.iter().zip(["slow.test.", "later.test."]) {
        served.run(1000);
        let answer = respond(&query.message, vec![text(name, 1, 30_000)]);
        served.answer(query, &answer);
    }
    let mut ids: Vec<u16> = served
        .answers(connection)
        .iter()
        .map(|a| a.metadata.id)
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
    let state = served.state(connection);
    assert!(matches!(state, State::TimeWait | State::Closed), "{state}");
}

#[test]
fn who_takes_no_answers_is_not_read_from() {
    let mut served = Served::new();
    let connection = served.connect_to(SENTINEL, 4000, 4096);
    let mut sent = 0;
    let message = query(7, "web.app.test.", RecordType::A);
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    let frame = [&length[..], &message].concat();
    let mut rest = &frame[..];
    for _ in 0..3000 {
        while let Ok(count @ 1..) = served.program.socket(connection).send_slice(rest) {
            rest = if count == rest.len() {
                &frame
            } else {
                &rest[count..]
            };
            sent += count;
        }
        served.run(1);
    }
    let answer = 30 + 4 * 16;
    let limit = 300 * 1024 * frame.len() / answer + 100_000;
    assert!(sent < limit, "{sent} bytes were taken, more than {limit}");
    // As soon as it reads, everything goes on.
    let mut received = vec![];
    for _ in 0..3000 {
        received.extend(served.program.receive(connection));
        served.run(1);
        if received.len() > 2 * 300 * 1024 {
            return;
        }
        while let Ok(count @ 1..) = served.program.socket(connection).send_slice(rest) {
            rest = if count == rest.len() {
                &frame
            } else {
                &rest[count..]
            };
        }
    }
    panic!("only {} bytes of answers arrived", received.len());
}

#[test]
fn queries_in_flight_are_bounded_and_none_is_lost() {
    let mut served = Served::new();
    let connection = served.connect(4000);
    for id in 0..200 {
        served.ask(connection, id, &format!("n{id}.test."), RecordType::A);
    }
    served.run(50);
    let mut answered = 0;
    loop {
        let asked: Vec<DnsQuery> = std::iter::from_fn(|| served.fixture.dns.poll_query()).collect();
        if asked.is_empty() {
            break;
        }
        assert!(asked.len() <= 64);
        for query in &asked {
            served.answer(query, &respond(&query.message, vec![]));
        }
        answered += served.answers(connection).len();
    }
    assert_eq!(answered, 200);
}

#[test]
fn an_eleventh_connection_takes_the_place_of_the_idlest() {
    let mut served = Served::new();
    let connections: Vec<SocketHandle> = (0..10).map(|n| served.connect(4000 + n)).collect();
    // The oldest is busy, the second one is idle.
    served.ask(connections[0], 1, "slow.test.", RecordType::TXT);
    served.run(20);
    for &connection in &connections[2..] {
        served.ask(connection, 1, "web.app.test.", RecordType::A);
        assert_eq!(served.answers(connection).len(), 1);
    }
    let another = served.connect(5000);
    served.ask(another, 1, "web.app.test.", RecordType::A);
    assert_eq!(served.answers(another).len(), 1);
    assert_eq!(served.state(connections[1]), State::Closed);
    for n in [0, 2] {
        assert_eq!(served.state(connections[n]), State::Established);
    }
}

#[test]
fn busy_connections_do_not_give_way() {
    let mut served = Served::new();
    let connections: Vec<SocketHandle> = (0..10).map(|n| served.connect(4000 + n)).collect();
    for &connection in &connections {
        served.ask(connection, 1, "slow.test.", RecordType::TXT);
    }
    served.run(20);
    let another = served.connect(5000);
    assert_eq!(served.state(another), State::Closed);
    let other = served.connect_to("100.100.111.1", 5001, 1000);
    assert_eq!(served.state(other), State::Closed);
    for &connection in &connections {
        assert_eq!(served.state(connection), State::Established);
    }
}

#[test]
fn an_idle_connection_is_closed_after_half_a_minute() {
    let mut served = Served::new();
    let (idle, busy) = (served.connect(4000), served.connect(4001));
    served.ask(busy, 1, "slow.test.", RecordType::TXT);
    served.run(20);
    served.run(29_500);
    assert_eq!(served.state(idle), State::Established);
    served.run(600);
    assert_eq!(served.state(idle), State::CloseWait);
    assert_eq!(served.state(busy), State::Established);
    served.program.socket(idle).close();
    served.run(100);
    assert_eq!(served.state(idle), State::Closed);
}

#[test]
fn an_end_that_is_silent_for_good_is_forgotten() {
    let mut served = Served::new();
    let connection = served.connect(4000);
    served.ask(connection, 1, "web.app.test.", RecordType::A);
    served.exchange();
    // Nothing of what the program sends arrives any more.
    for _ in 0..200 {
        served.fixture.pass(Duration::from_secs(1));
        while served.fixture.dns.poll_packet().is_some() {}
    }
    assert_eq!(served.fixture.dns.deadline(), None);
}

#[test]
fn closed_and_reset_connections_are_forgotten_and_ports_used_anew() {
    let mut served = Served::new();
    for n in 0..60 {
        let connection = served.connect(4000 + n % 3);
        served.ask(connection, 1, "web.app.test.", RecordType::A);
        assert_eq!(served.answers(connection).len(), 1, "{n}");
        let socket = served.program.socket(connection);
        match n % 2 {
            0 => socket.close(),
            _ => socket.abort(),
        }
        served.run(50);
        let socket = served.program.socket(connection);
        socket.abort();
        assert!(!socket.is_open());
        served.run(1);
    }
}

#[test]
fn a_reset_ends_all_connections() {
    let mut served = Served::new();
    let connection = served.connect(4000);
    served.ask(connection, 1, "slow.test.", RecordType::TXT);
    served.run(20);
    served.fixture.dns.reset(served.fixture.now);
    assert!(served.fixture.dns.poll_query().is_none());
    served.collect();
    served.run(20);
    assert_eq!(served.state(connection), State::Closed);
    assert_eq!(served.fixture.dns.sentinels().count(), 2);
}

#[test]
fn who_asked_an_old_server_over_tcp_is_still_answered() {
    let mut served = Served::new();
    let connection = served.connect(4000);
    served.ask(connection, 1, "slow.test.", RecordType::TXT);
    served.run(20);
    let forwarded = served.fixture.dns.poll_query().unwrap();
    served.fixture.set_portal_resolvers(&["203.0.113.53:53"]);
    let reply = respond(&forwarded.message, vec![text("slow.test.", 1, 30_000)]);
    served.answer(&forwarded, &reply);
    assert_eq!(served.answers(connection)[0].metadata.id, 1);
    // Nobody is asked for it any more, but names of resources are still known.
    served.ask(connection, 2, "other.test.", RecordType::A);
    served.ask(connection, 3, "web.app.test.", RecordType::A);
    let answers = served.answers(connection);
    assert_eq!(answers[0].metadata.response_code, ResponseCode::ServFail);
    assert_eq!(answers[1].answers.len(), 4);
    assert!(served.fixture.dns.poll_query().is_none());
    let late = served.connect(4001);
    assert_ne!(served.state(late), State::Established);
}

#[test]
fn many_queries_in_flight_on_several_connections_are_all_answered() {
    let mut served = Served::new();
    let connections: Vec<SocketHandle> = (0..4).map(|n| served.connect(4000 + n)).collect();
    let (mut sent, mut received) = ([0_u16; 4], [0_u16; 4]);
    let mut rounds = 0;
    while received.iter().any(|&n| n < 1000) {
        for (n, &connection) in connections.iter().enumerate() {
            while sent[n] < 1000 && sent[n] - received[n] < 20 {
                served.ask(
                    connection,
                    sent[n],
                    &format!("n{}.app.test.", sent[n]),
                    RecordType::A,
                );
                sent[n] += 1;
            }
        }
        served.exchange();
        for (n, &connection) in connections.iter().enumerate() {
            for answer in served.program.messages(connection) {
                assert_eq!(parse(&answer).metadata.id, received[n]);
                received[n] += 1;
            }
        }
        rounds += 1;
        assert!(rounds < 2000, "{received:?}");
        served.run(u64::from(rounds % 10 == 0));
    }
}
