//! Speed of the stub resolver: from the packet with a query to the packet with its answer.
//!
//! Answers: what does a name cost, and does it cost more the more names and resources there are?

use anyhow::{Context as _, Result, ensure};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RData, Record, RecordType, rdata::A},
};
use ip_packet::emit_udp;
use model::{DnsResource, IpStack, Resource, ResourceId, limits};
use netsim::{TcpHost, World, WorldConfig};
use std::{
    hint::black_box,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tunnel_core::{Output, Verdict};

/// Queries between two looks at the clock, as many as one read of a TUN device gives.
const BATCH: usize = 64;

/// Queries per round.
const QUERIES: usize = 20_000;

/// Rounds of all measurements.
const ROUNDS: usize = 25;

/// The most that an answer of our own may cost, in nanoseconds.
const LIMIT: f64 = 2000.0;

/// Queries per second over TCP, at least.
const TCP_LIMIT: f64 = 10_000.0;

const SENTINEL: &str = "100.100.111.1:53";

/// Measures and prints; fails beyond a limit.
#[expect(clippy::print_stdout, reason = "the figures are the output")]
fn main() -> Result<()> {
    println!("{:<48}{:>10}", "queries over UDP", "ns/query");
    let cases = [
        ("10 names of one wildcard", 10, 0),
        ("2,000 names of one wildcard", 2_000, 0),
        ("10,000 names of one wildcard", 10_000, 0),
        ("10 names among 1,000 resources", 10, 1_000),
        ("2,000 names among 1,000 resources", 2_000, 1_000),
    ];
    let mut subjects: Vec<Subject> = cases
        .iter()
        .map(|&(_, names, resources)| Subject::new(names, resources))
        .collect::<Result<_>>()?;
    // In turns, so that a disturbance of the machine meets all.
    let mut times = vec![vec![]; cases.len()];
    for _ in 0..ROUNDS {
        for (subject, times) in subjects.iter_mut().zip(&mut times) {
            times.push(subject.round()?);
        }
    }
    for ((label, ..), times) in cases.iter().zip(times) {
        let nanoseconds = median(times);
        println!("{label:<48}{nanoseconds:>10.0}");
        ensure!(nanoseconds <= LIMIT, "{label}: {nanoseconds:.0} ns");
    }
    let mut subject = Subject::remembered()?;
    let times = (0..ROUNDS).map(|_| subject.round());
    let nanoseconds = median(times.collect::<Result<_>>()?);
    println!(
        "{:<48}{nanoseconds:>10.0}",
        "answers of servers that are remembered"
    );
    let rate = over_tcp()?;
    println!(
        "{:<48}{rate:>10.0} /s",
        "over TCP, 4 connections, 20 in flight on each"
    );
    ensure!(rate >= TCP_LIMIT, "{rate:.0} queries per second over TCP");
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A client and the queries that it is asked.
struct Subject {
    world: World,
    packets: Vec<Vec<u8>>,
    next: usize,
}

impl Subject {
    /// Names of the resource `*.app.test`, among other resources.
    fn new(names: usize, resources: u16) -> Result<Self> {
        let mut world = World::new(WorldConfig::default());
        for n in 0..resources {
            world.add_resource(resource(n));
        }
        world.run_until_ready();
        let packets = (0..names).map(|n| packet(&format!("host-{n}.app.test.")));
        let packets = packets.collect::<Result<_>>()?;
        let mut subject = Self {
            world,
            packets,
            next: 0,
        };
        subject.round()?;
        Ok(subject)
    }

    /// Names of no resource whose answers are known.
    fn remembered() -> Result<Self> {
        let mut subject = Self::new(10, 1_000)?;
        subject.packets = (0..100)
            .map(|n| packet(&format!("host-{n}.other.test.")))
            .collect::<Result<_>>()?;
        let (tunnel, now) = (&mut subject.world.tunnel, subject.world.now);
        for packet in &subject.packets {
            ensure!(
                tunnel.handle_tun(packet, now) == Verdict::Consumed,
                "a query is dropped"
            );
            let Output::Query(query) = tunnel.poll() else {
                anyhow::bail!("a query does not go to its server");
            };
            let asked = Message::from_vec(&query.message)?;
            let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
            let name = asked.queries.first().context("a question")?.name().clone();
            let data = RData::A(A::new(192, 0, 2, 1));
            answer.answers.push(Record::from_rdata(name, 3600, data));
            answer.queries = asked.queries;
            tunnel.handle_dns_answer(query.id, Ok(&answer.to_vec()?), now);
            while let Output::Deliver(_) = tunnel.poll() {}
        }
        Ok(subject)
    }

    /// Nanoseconds per query. Packets come from a buffer that was just filled, as those of a TUN
    /// device do.
    fn round(&mut self) -> Result<f64> {
        let (tunnel, now) = (&mut self.world.tunnel, self.world.now);
        let mut batch = vec![vec![]; BATCH];
        let (mut answers, mut elapsed) = (0, Duration::ZERO);
        for _ in 0..QUERIES / BATCH {
            for packet in &mut batch {
                packet.clone_from(&self.packets[self.next]);
                self.next = (self.next + 1) % self.packets.len();
            }
            let start = Instant::now();
            for packet in &batch {
                let _verdict = tunnel.handle_tun(black_box(packet), now);
            }
            while let Output::Deliver(packet) = tunnel.poll() {
                black_box(packet);
                answers += 1;
            }
            elapsed += start.elapsed();
        }
        ensure!(answers == QUERIES / BATCH * BATCH, "{answers} answers");
        Ok(per_query(elapsed, answers))
    }
}

/// Queries per second, the work of the program that asks included.
fn over_tcp() -> Result<f64> {
    const CONNECTIONS: u16 = 4;
    const IN_FLIGHT: usize = 20;
    const TOTAL: usize = 20_000;

    let mut world = World::new(WorldConfig::default());
    world.run_until_ready();
    let mut now = world.now;
    let mut program = TcpHost::new(World::CLIENT_V4.into(), now);
    let to: SocketAddr = SENTINEL.parse()?;
    let sockets: Vec<_> = (0..CONNECTIONS)
        .map(|n| program.connect(4000 + n, to, 16 * 1024))
        .collect();
    let message = query("web.app.test.")?;
    let mut in_flight = vec![0; sockets.len()];
    let (mut sent, mut received) = (0, 0);
    let start = Instant::now();
    while received < TOTAL {
        for (&socket, in_flight) in sockets.iter().zip(&mut in_flight) {
            let answers = program.messages(socket).len();
            *in_flight -= answers;
            received += answers;
            while *in_flight < IN_FLIGHT && sent < TOTAL && program.send(socket, &message) {
                *in_flight += 1;
                sent += 1;
            }
        }
        now += Duration::from_micros(100);
        program.poll(now);
        while let Some(packet) = program.take() {
            let _verdict = world.tunnel.handle_tun(&packet, now);
        }
        world.tunnel.handle_timeout(now);
        while let Output::Deliver(packet) = world.tunnel.poll() {
            program.deliver(packet);
        }
        program.poll(now);
        ensure!(
            start.elapsed() < Duration::from_secs(60),
            "{received} answers in a minute"
        );
    }
    let rate = 1e9 / per_query(start.elapsed(), TOTAL);
    Ok(rate)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of a bench are small"
)]
fn per_query(elapsed: Duration, queries: usize) -> f64 {
    elapsed.as_nanos() as f64 / queries as f64
}

fn query(name: &str) -> Result<Vec<u8>> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    message.metadata.recursion_desired = true;
    Ok(message.to_vec()?)
}

fn packet(name: &str) -> Result<Vec<u8>> {
    let mut bytes = vec![0; limits::MTU];
    let from = "100.64.0.7:4000".parse()?;
    let length = emit_udp(&mut bytes, from, SENTINEL.parse()?, &query(name)?);
    bytes.truncate(length.context("a query fits a packet")?);
    Ok(bytes)
}

/// Another resource with a wildcard.
fn resource(n: u16) -> Resource {
    let mut id = [0xaa; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    Resource::Dns(DnsResource {
        id: ResourceId::from_bytes(id),
        name: format!("names {n}"),
        address: format!("*.zone-{n}.corp.test"),
        address_description: None,
        ip_stack: IpStack::Dual,
        sites: vec![],
        filters: vec![],
    })
}
