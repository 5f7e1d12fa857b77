//! The loads.

use super::{
    super::figures::{Figures, Name},
    dnsperf::{Load, Outcome},
};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{fs, net::IpAddr, thread, time::Duration};
use testbed::{Deployment, Programs, RunDirectory, Spec, Testbed};

const NAMES: [Name; 12] = [
    ("resource names, ten", "1/s"),
    ("resource names, 2,000", "1/s"),
    ("2,000 names / ten", "times"),
    ("resource names, per cpu second", "1/s"),
    ("forwarded, per cpu second", "1/s"),
    ("cached, per cpu second", "1/s"),
    ("latency, resource", "ms"),
    ("latency, forwarded", "ms"),
    ("latency, cached", "ms"),
    ("TCP, 4 connections of 20", "1/s"),
    ("TCP, lost", "%"),
    ("peak memory", "MB"),
];

/// Most queries that are asked once in a load.
const UNIQUE: usize = 400_000;

/// Measures a client in a network of its own.
pub(super) fn measure(
    programs: &Programs,
    directory: &RunDirectory,
    time: Duration,
) -> Result<Figures> {
    let testbed = Testbed::build(Spec::default())?;
    let mut network = Deployment::start(&testbed, directory, programs.clone())?;
    network.start_client()?;
    let resource = json!({
        "name": "bench", "type": "dns", "address": "*.bench.test", "sites": ["devnet"],
    });
    network.tell_portal(&json!({ "cmd": "resource_add", "resource": resource }))?;
    let bench = Bench {
        server: stub(&testbed)?,
        testbed: &testbed,
        network: &network,
        directory,
        time,
    };
    bench.await_resource()?;
    bench.run()
}

struct Bench<'a> {
    testbed: &'a Testbed,
    network: &'a Deployment<'a>,
    directory: &'a RunDirectory,
    server: IpAddr,
    time: Duration,
}

impl Bench<'_> {
    fn run(&self) -> Result<Figures> {
        let (ten, _) = self.put(&load(names("bench", 10)))?;
        let (many, many_cost) = self.put(&load(names("bench", 2000)))?;
        let unique = Load {
            once: true,
            ..load(names("a.public", UNIQUE))
        };
        let (_, forwarded_cost) = self.put(&unique)?;
        let (_, cached_cost) = self.put(&load(names("b.public", 10)))?;
        let (resource, _) = self.put(&in_turn(load(names("bench", 10))))?;
        let (forwarded, _) = self.put(&in_turn(Load {
            once: true,
            ..load(names("c.public", UNIQUE))
        }))?;
        let (cached, _) = self.put(&in_turn(load(names("b.public", 10))))?;
        let (tcp, _) = self.put(&Load {
            tcp: true,
            clients: 4,
            in_flight: 80,
            ..load(names("bench", 10))
        })?;
        let client = self.network.client().context("there is no client")?;
        let peak = client.usage()?.peak;
        Ok(Figures {
            names: &NAMES,
            values: vec![
                ten.rate,
                many.rate,
                many.rate / ten.rate,
                1.0 / many_cost,
                1.0 / forwarded_cost,
                1.0 / cached_cost,
                resource.latency,
                forwarded.latency,
                cached.latency,
                tcp.rate,
                tcp.lost,
                f64::from(u32::try_from(peak / 1000)?) / 1000.0,
            ],
        })
    }

    /// Puts a load on the client; returns how it went, and the client's processor seconds per
    /// answer.
    fn put(&self, load: &Load) -> Result<(Outcome, f64)> {
        let client = self.network.client().context("there is no client")?;
        let before = client.usage()?.cpu;
        let directory = self.directory.path();
        let outcome = load.run(self.testbed.client(), self.server, directory, self.time)?;
        ensure!(outcome.answers > 0.0, "nothing was answered");
        Ok((outcome, (client.usage()?.cpu - before) / outcome.answers))
    }

    /// Waits until the client knows the resource, whose names nobody else knows.
    fn await_resource(&self) -> Result<()> {
        let host = self.testbed.client();
        for _ in 0..100 {
            let found = host.run(|| {
                use std::net::ToSocketAddrs as _;
                ("x.bench.test", 80).to_socket_addrs().is_ok()
            })?;
            if found {
                return Ok(());
            }
            pause();
        }
        anyhow::bail!("the client does not learn of a new resource")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "another program is awaited that tells nobody"
)]
fn pause() {
    thread::sleep(Duration::from_millis(50));
}

/// The stub resolver as the host's programs know it.
fn stub(testbed: &Testbed) -> Result<IpAddr> {
    let text = testbed
        .client()
        .run(|| fs::read_to_string("/etc/resolv.conf"))??;
    let mut servers = text.lines().filter_map(|l| l.strip_prefix("nameserver "));
    let server = servers.next().context("the host has no resolver")?;
    Ok(server.trim().parse()?)
}

fn names(zone: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("n{n}.{zone}.test")).collect()
}

/// As many queries as a busy host has under way.
fn load(names: Vec<String>) -> Load {
    Load {
        names,
        tcp: false,
        clients: 4,
        in_flight: 80,
        once: false,
    }
}

/// One query after the other.
fn in_turn(load: Load) -> Load {
    Load {
        clients: 1,
        in_flight: 1,
        ..load
    }
}
