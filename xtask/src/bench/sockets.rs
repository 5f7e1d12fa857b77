//! `cargo xtask bench sockets`: what one cache for all sockets of a factory saves.
//!
//! Queries as the stub resolver forwards them, each from a socket of its own, to a server that
//! answers at once. The resolver of egress does what the one of Windows does: it takes the routes,
//! interfaces and addresses from the kernel and weighs a table as large as that of a laptop. The
//! system calls of Windows cost more than the files that are read here, so the ratio is a lower
//! bound.

use super::machine;
use crate::workspace;
use anyhow::{Result, ensure};
use platform_windows::egress::{Address, Interface, Route, State, Table, choose};
use serde_json::json;
use socket_factory::{Egress, EgressResolver, Options, SystemSockets, exchange};
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A query of usual length; the server sends back whatever comes.
const QUERY: [u8; 40] = [7; 40];

/// Interfaces of a laptop with virtual machines and containers, and routes of each.
const INTERFACES: u32 = 10;
const ROUTES: u8 = 6;

/// Options of `cargo xtask bench sockets`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Queries of each kind.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    queries: u32,

    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// What a load of queries took.
struct Load {
    resolver_calls: usize,
    /// In microseconds.
    per_query: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if cfg!(debug_assertions) {
        return run_optimized(args);
    }
    let server = serve()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let load = |shared| runtime.block_on(measure(server, args.queries, shared));
    // Once for nothing, so that neither pays for the first touch of everything.
    load(true)?;
    let alone = load(false)?;
    let shared = load(true)?;
    print(args, &alone, &shared);
    Ok(())
}

/// Runs this again as programs are shipped.
fn run_optimized(args: &Args) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["run", "--release", "--quiet", "--package", "xtask", "--"]);
    command.args(["bench", "sockets", "--queries", &args.queries.to_string()]);
    command.args(args.json.then_some("--json"));
    let status = command.status()?;
    ensure!(status.success(), "the bench failed with {status}");
    Ok(())
}

/// Sends the queries one after the other.
async fn measure(server: SocketAddr, queries: u32, shared: bool) -> Result<Load> {
    let calls = Arc::new(AtomicUsize::new(0));
    let resolver = resolver(Arc::clone(&calls));
    let factory = || {
        SystemSockets::new(Options {
            egress_resolver: Some(Arc::clone(&resolver)),
            ..Options::default()
        })
    };
    let one = factory();
    let start = Instant::now();
    for _ in 0..queries {
        // A factory for each socket is what a cache in each socket comes to.
        let own = (!shared).then(factory);
        let factory = own.as_ref().unwrap_or(&one);
        exchange(factory, server, &QUERY, PATIENCE, |_| true).await?;
    }
    Ok(Load {
        resolver_calls: calls.load(Ordering::Relaxed),
        per_query: start.elapsed().as_secs_f64() * 1e6 / f64::from(queries),
    })
}

/// Answers from a thread that ends with the process.
fn serve() -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // Whoever has gone needs no answer.
            drop(socket.send_to(&buffer[..length], from));
        }
    });
    Ok(address)
}

fn resolver(calls: Arc<AtomicUsize>) -> EgressResolver {
    let laptop = laptop();
    Arc::new(move |destination| {
        calls.fetch_add(1, Ordering::Relaxed);
        for table in ["/proc/net/route", "/proc/net/fib_trie", "/proc/net/dev"] {
            fs::read(table)?;
        }
        let far = IpAddr::from([198, 51, 100, 1]);
        choose(&laptop.clone(), Some(1), far)?;
        Ok(Some(Egress {
            source: destination,
            interface: None,
        }))
    })
}

/// A table in which everything has a default route, the tunnel included.
fn laptop() -> Table {
    let mut table = Table::default();
    for index in 1..=INTERFACES {
        let luid = u64::from(index);
        let network = [10, u8::try_from(index).unwrap_or(0), 0, 0];
        let router = Ipv4Addr::from([10, network[1], 0, 1]);
        table.interfaces.push(Interface {
            luid,
            index,
            is_up: true,
            is_loopback: false,
            metric_v4: Some(index * 5),
            metric_v6: None,
        });
        table.addresses.push(Address {
            address: IpAddr::from([10, network[1], 0, 2]),
            interface: luid,
            prefix_length: 24,
            state: State::Preferred,
            skip_as_source: false,
            is_temporary: false,
        });
        table.routes.extend((0..ROUTES).map(|n| {
            Route {
                prefix: ipnet::Ipv4Net::new_assert(Ipv4Addr::from(network), n * 6)
                    .trunc()
                    .into(),
                interface: luid,
                metric: 0,
                next_hop: (n == 0).then_some(router.into()),
            }
        }));
    }
    table
}

#[expect(clippy::print_stdout, reason = "the report is what was asked for")]
fn print(args: &Args, alone: &Load, shared: &Load) {
    let ratio = alone.per_query / shared.per_query;
    if args.json {
        let load = |load: &Load| json!({ "resolver calls": load.resolver_calls, "time per query [us]": load.per_query });
        let report = json!({
            "machine": machine::description(),
            "queries": args.queries,
            "cache of each socket": load(alone),
            "cache of the factory": load(shared),
            "ratio": ratio,
        });
        return println!("{report}");
    }
    println!("{}\n", machine::description());
    println!("{:<24}{:>16}{:>16}", "", "resolver calls", "us per query");
    for (name, load) in [
        ("cache of each socket", alone),
        ("cache of the factory", shared),
    ] {
        let Load {
            resolver_calls,
            per_query,
        } = load;
        println!("{name:<24}{resolver_calls:>16}{per_query:>16.1}");
    }
    println!("{:<24}{:>16}{ratio:>16.2}", "ratio", "");
}
