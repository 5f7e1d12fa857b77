//! In-core speed: packets between TUN buffer and encrypted GSO batch, without any I/O.
//!
//! Answers: how much does everything around the cipher cost? Bare ChaCha20-Poly1305 of the same
//! library runs in the same rounds, and what counts is the ratio of medians.

use anyhow::{Context as _, Result, ensure};
use connectivity::Ecn;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use ip_packet::emit_udp;
use model::{CidrResource, Resource, ResourceId, limits, ranges};
use netsim::{World, WorldConfig};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use tunnel_core::{Datagram, Output, Received};

/// Packets per batch, as many as one read of a TUN device gives.
const BATCH: usize = 64;

/// Batches per round.
const BATCHES: usize = 40;

/// The most that a packet may cost, as a multiple of its bare encryption.
const LIMIT: f64 = 1.30;

/// The most that a packet down may cost among 10,000 networks or names, as a multiple of its cost
/// among ten.
const GROWTH_LIMIT: f64 = 1.5;

/// Networks or names that a gateway may send from.
const ALLOWED: [u32; 3] = [10, 1_000, 10_000];

/// Rounds of all measurements, the first of which are thrown away.
const ROUNDS: usize = 60;
const WARM_UP: usize = 3;

/// Nanoseconds per packet of each kind in one round.
#[derive(Debug, Clone, Copy)]
struct Round {
    bare_seal: f64,
    bare_open: f64,
    up: f64,
    down: f64,
}

/// Measures and prints; fails if a ratio is beyond its limit.
#[expect(clippy::print_stdout, reason = "the figures are the output")]
fn main() -> Result<()> {
    let mut bench = Bench::new(1)?;
    let measured: Vec<Round> = (0..WARM_UP + ROUNDS)
        .map(|_| bench.round())
        .collect::<Result<_>>()?;
    let rounds = &measured[WARM_UP..];
    let median = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let ratio_up = median(|round| round.up / round.bare_seal);
    let ratio_down = median(|round| round.down / round.bare_open);
    println!("{:<34}{:>10}", "1280-byte packets", "ns/packet");
    println!(
        "{:<34}{:>10.0}",
        "bare ChaCha20-Poly1305, seal",
        median(|round| round.bare_seal)
    );
    println!(
        "{:<34}{:>10.0}",
        "bare ChaCha20-Poly1305, open",
        median(|round| round.bare_open)
    );
    println!(
        "{:<34}{:>10.0}{:>8.2} x",
        "up: TUN buffer to GSO batch",
        median(|r| r.up),
        ratio_up
    );
    println!(
        "{:<34}{:>10.0}{:>8.2} x",
        "down: datagram to TUN buffer",
        median(|r| r.down),
        ratio_down
    );
    for resources in [1, 1_000, 10_000] {
        let mut bench = Bench::new(resources)?;
        let mut times = vec![];
        for _ in 0..ROUNDS {
            times.push(bench.up()?);
        }
        let label = format!("up with {resources} address resources");
        println!("{label:<34}{:>10.0}", self::median(times));
    }
    check_sources()?;
    ensure!(
        ratio_up <= LIMIT,
        "up costs {ratio_up:.2} x of bare encryption, more than {LIMIT} x"
    );
    ensure!(
        ratio_down <= LIMIT,
        "down costs {ratio_down:.2} x of bare decryption, more than {LIMIT} x"
    );
    Ok(())
}

/// Flows in turn from one gateway, among more and more networks or names that it may send from.
fn check_sources() -> Result<()> {
    for flows in [1, 2] {
        let networks = |count| Bench::with_networks(count, flows);
        check_growth(&format!("networks, flows: {flows}"), networks)?;
        let names = |count| Bench::with_names(count, flows);
        check_growth(&format!("names, flows: {flows}"), names)?;
    }
    // More flows than are remembered, if there are as many networks: each packet is looked up anew.
    // That costs what it costs.
    let label = "networks, flows: 3,000 at most";
    measure_down(label, |count| Bench::with_networks(count, 3_000))?;
    Ok(())
}

fn check_growth(label: &str, bench: impl Fn(u32) -> Result<Bench>) -> Result<()> {
    let medians = measure_down(label, bench)?;
    let growth = medians[2] / medians[0];
    ensure!(
        growth <= GROWTH_LIMIT,
        "{label}: {growth:.2} x among 10,000, more than {GROWTH_LIMIT} x"
    );
    Ok(())
}

/// Nanoseconds per packet down among more and more networks or names.
#[expect(clippy::print_stdout, reason = "the figures are the output")]
fn measure_down(label: &str, bench: impl Fn(u32) -> Result<Bench>) -> Result<[f64; 3]> {
    let mut benches: Vec<Bench> = ALLOWED.into_iter().map(bench).collect::<Result<_>>()?;
    // In turns, so that a disturbance of the machine meets all.
    let mut times = ALLOWED.map(|_| vec![]);
    for _ in 0..ROUNDS {
        for (bench, times) in benches.iter_mut().zip(&mut times) {
            times.push(bench.down()?);
        }
    }
    let medians = times.map(median);
    for (allowed, nanoseconds) in ALLOWED.iter().zip(medians) {
        let label = format!("down, {allowed} {label}");
        println!("{label:<44}{nanoseconds:>10.0}");
    }
    Ok(medians)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A client with an established connection to a gateway, in memory.
struct Bench {
    world: World,
    up: Vec<u8>,
    /// Packets that the gateway sends in turn.
    down: Vec<Vec<u8>>,
    next_down: usize,
    plain: Vec<u8>,
    key: LessSafeKey,
    counter: u64,
}

impl Bench {
    fn new(resources: u32) -> Result<Self> {
        let mut world = World::new(WorldConfig::default());
        world.run_until_ready();
        for n in 1..resources {
            world.add_resource(range(n)?);
        }
        let up = packet("100.64.0.7:4000", "10.20.0.1:80")?;
        let down = packet("10.20.0.1:80", "100.64.0.7:4000")?;
        world.send(&up);
        let arrived = world.run_until(Duration::from_secs(2), |world| !world.arrived.is_empty());
        ensure!(arrived, "no packet reached the gateway");
        world.run_for(Duration::from_secs(1));
        let key = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32])
            .ok()
            .context("a 32-byte key")?;
        let plain = vec![0; limits::MAX_UDP_PAYLOAD];
        Ok(Self {
            world,
            up,
            down: vec![down],
            next_down: 0,
            plain,
            key: LessSafeKey::new(key),
            counter: 0,
        })
    }

    /// The gateway may send from this many networks, and does so from the last ones in turn.
    fn with_networks(networks: u32, flows: u32) -> Result<Self> {
        let mut bench = Self::new(1)?;
        bench.down.clear();
        let client = socket("100.64.0.7:4000")?;
        for n in 1..=networks {
            let resource = range(n)?;
            let Resource::Cidr(cidr) = &resource else {
                anyhow::bail!("a range is a network");
            };
            let there = SocketAddr::new(cidr.address.addr(), 80);
            bench.world.add_resource(resource);
            bench.world.send(&packet_between(client, there)?);
            if n + flows > networks {
                bench.down.push(packet_between(there, client)?);
            }
        }
        bench.world.run_for(Duration::from_secs(1));
        Ok(bench)
    }

    /// The gateway may send from this many names, and does so from the last ones in turn.
    fn with_names(names: u32, flows: u32) -> Result<Self> {
        let mut bench = Self::new(1)?;
        bench.down.clear();
        let client = socket("100.64.0.7:4000")?;
        for n in 0..names {
            let [_, a, b, c] = n.to_be_bytes();
            let (name, real) = (format!("n{n}.app.test"), IpAddr::from([11, a, b, c]));
            bench.world.names.insert(name.parse()?, vec![real]);
            bench.world.send(&question(&name)?);
            // Each name gets the next four addresses of each family.
            let proxy = u32::from(ranges::PROXY_V4.network()) + 4 * n + 1;
            let there = SocketAddr::new(Ipv4Addr::from(proxy).into(), 80);
            bench.world.send(&packet_between(client, there)?);
            bench.world.run_for(Duration::from_millis(10));
            if n + 1 + flows > names {
                let real = SocketAddr::new(real, 80);
                bench.down.push(packet_between(real, client)?);
            }
        }
        bench.world.run_for(Duration::from_secs(1));
        Ok(bench)
    }

    fn round(&mut self) -> Result<Round> {
        let (bare_seal, bare_open) = self.bare()?;
        Ok(Round {
            bare_seal,
            up: self.up()?,
            bare_open,
            down: self.down()?,
        })
    }

    /// Seals and opens buffers in place.
    fn bare(&mut self) -> Result<(f64, f64)> {
        let mut seal = Duration::ZERO;
        let mut open = Duration::ZERO;
        let mut buffers = vec![vec![0_u8; limits::MTU + limits::TAG]; BATCH];
        for _ in 0..BATCHES {
            let first = self.counter;
            let start = Instant::now();
            for buffer in &mut buffers {
                self.counter += 1;
                let (nonce, body) = (nonce(self.counter), &mut buffer[..limits::MTU]);
                let tag = self
                    .key
                    .seal_in_place_separate_tag(nonce, Aad::empty(), body);
                let tag = tag.ok().context("sealing")?;
                buffer[limits::MTU..].copy_from_slice(tag.as_ref());
            }
            seal += start.elapsed();
            let start = Instant::now();
            for (n, buffer) in (first + 1..).zip(&mut buffers) {
                let opened = self.key.open_in_place(nonce(n), Aad::empty(), buffer);
                black_box(opened.ok().context("opening")?);
            }
            open += start.elapsed();
        }
        Ok((per_packet(seal), per_packet(open)))
    }

    /// From the TUN buffer to the encrypted batch.
    fn up(&mut self) -> Result<f64> {
        let (tunnel, now) = (&mut self.world.tunnel, self.world.now);
        let mut segments = 0;
        let start = Instant::now();
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                let _verdict = tunnel.handle_tun(black_box(&self.up), now);
            }
            while let Output::Send(transmit) = tunnel.poll() {
                segments += transmit.segments().count();
                tunnel.recycle(transmit);
            }
        }
        let elapsed = start.elapsed();
        ensure!(segments == BATCH * BATCHES, "{segments} packets were sent");
        Ok(per_packet(elapsed))
    }

    /// From the datagram to the TUN buffer; the gateway's encryption is not counted.
    fn down(&mut self) -> Result<f64> {
        let now = self.world.now;
        let mut elapsed = Duration::ZERO;
        let mut delivered = 0;
        let (local, remote) = (socket("10.1.0.2:52625")?, socket("10.2.0.2:52625")?);
        for _ in 0..BATCHES {
            let datagrams = self.encrypted_batch();
            let start = Instant::now();
            for payload in &datagrams {
                let datagram = Datagram {
                    local,
                    remote,
                    ecn: Ecn::NotEct,
                    payload,
                };
                let result = self.world.tunnel.handle_udp(datagram, &mut self.plain, now);
                delivered += usize::from(matches!(result, Received::Deliver(_)));
            }
            elapsed += start.elapsed();
        }
        ensure!(
            delivered == BATCH * BATCHES,
            "{delivered} packets were delivered"
        );
        Ok(per_packet(elapsed))
    }

    fn encrypted_batch(&mut self) -> Vec<Vec<u8>> {
        let (gateway, now) = (&mut self.world.gateway, self.world.now);
        for n in 0..BATCH {
            let flow = (self.next_down + n) % self.down.len();
            // Translated in place.
            gateway.handle_tun(&mut self.down[flow].clone(), now);
        }
        self.next_down += BATCH;
        let mut datagrams = vec![];
        while let devnet::gateway::Output::Send(transmit) = gateway.poll() {
            datagrams.extend(transmit.segments().map(<[u8]>::to_vec));
            gateway.recycle(transmit);
        }
        datagrams
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of a bench are small"
)]
fn per_packet(elapsed: Duration) -> f64 {
    elapsed.as_nanos() as f64 / (BATCH * BATCHES) as f64
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// A full-size packet.
fn packet(from: &str, to: &str) -> Result<Vec<u8>> {
    packet_between(socket(from)?, socket(to)?)
}

fn packet_between(from: SocketAddr, to: SocketAddr) -> Result<Vec<u8>> {
    let mut bytes = vec![0; limits::MTU];
    let payload = [0; limits::MTU - 28];
    let length = emit_udp(&mut bytes, from, to, &payload);
    ensure!(length == Some(limits::MTU), "a packet of {length:?} bytes");
    Ok(bytes)
}

/// A query for the addresses of a name.
fn question(name: &str) -> Result<Vec<u8>> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    let mut packet = vec![0; limits::MTU];
    let (program, sentinel) = (socket("100.64.0.7:4000")?, socket("100.100.111.1:53")?);
    let length = emit_udp(&mut packet, program, sentinel, &message.to_vec()?);
    packet.truncate(length.context("a query fits a packet")?);
    Ok(packet)
}

fn socket(text: &str) -> Result<SocketAddr> {
    text.parse()
        .with_context(|| format!("{text} is no socket address"))
}

/// Another range, far from the one that is used.
fn range(n: u32) -> Result<Resource> {
    let [_, a, b, c] = n.to_be_bytes();
    let mut id = [0xaa; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    let address = IpAddr::from([11_u8.wrapping_add(a), b, c, 0]);
    Ok(Resource::Cidr(CidrResource {
        id: ResourceId::from_bytes(id),
        name: format!("range {n}"),
        address: ipnet::IpNet::new(address, 24).context("24 is a prefix length")?,
        address_description: None,
        sites: vec![],
        filters: vec![],
    }))
}
