//! One round of measurements of one client.

use super::{
    super::figures::{Figures, Name},
    cipher,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    io, thread,
    time::{Duration, Instant},
};
use testbed::{
    Deployment, Nat, Path, Program, Programs, RunDirectory, Spec, Testbed,
    user::{self, Family, Target, Transfer},
};

/// How long a new connection is given until nothing is tried any more.
const SETTLE: Duration = Duration::from_secs(6);

/// How long the idle client is watched.
const IDLE: Duration = Duration::from_secs(10);

/// How long the cipher alone is measured.
const CIPHER: Duration = Duration::from_secs(1);

/// How many resources a client with many of them has.
const MANY: u16 = 1000;

const NAMES: [Name; 15] = [
    ("download", "Mbit/s"),
    ("upload", "Mbit/s"),
    ("processor, download", "s/GB"),
    ("processor, upload", "s/GB"),
    ("bare cipher", "s/GB"),
    ("download / bare cipher", "times"),
    ("upload / bare cipher", "times"),
    ("peak memory under load", "MB"),
    ("memory, idle", "MB"),
    ("wake-ups, idle", "1/s"),
    ("ready", "ms"),
    ("first byte, direct", "ms"),
    ("first byte, further resource", "ms"),
    ("first byte, relayed", "ms"),
    ("ready with 1,000 resources", "ms"),
];

/// Measures a client in networks of its own.
pub(crate) fn measure(
    programs: &Programs,
    directory: &RunDirectory,
    time: Duration,
) -> Result<Figures> {
    let bare = cipher::seconds_per_gigabyte(CIPHER)?;
    let direct = direct(programs, directory, time)?;
    let relayed = relayed(programs, directory)?;
    let many = ready_with_many(programs, directory)?;
    let values = vec![
        direct.down.rate() / 1e6,
        direct.up.rate() / 1e6,
        direct.down_cost,
        direct.up_cost,
        bare,
        direct.down_cost / bare,
        direct.up_cost / bare,
        direct.peak,
        direct.idle_memory,
        direct.wakeups,
        milliseconds(direct.ready),
        milliseconds(direct.first_byte),
        milliseconds(direct.further_byte),
        milliseconds(relayed),
        milliseconds(many),
    ];
    Ok(Figures {
        names: &NAMES,
        values,
    })
}

struct Direct {
    ready: Duration,
    first_byte: Duration,
    further_byte: Duration,
    idle_memory: f64,
    wakeups: f64,
    down: Transfer,
    down_cost: f64,
    up: Transfer,
    up_cost: f64,
    peak: f64,
}

fn direct(programs: &Programs, directory: &RunDirectory, time: Duration) -> Result<Direct> {
    let testbed = Testbed::build(Spec::default())?;
    let mut network = Deployment::start(&testbed, directory, programs.clone())?;
    let ready = network.start_client()?;
    let target = Target::resource(Family::V4);
    let first_byte = page(&testbed, &target)?;
    let further_byte = page(&testbed, &Target::resource(Family::V6))?;
    let client = network.client().context("there is no client")?;
    let (idle_memory, wakeups) = idle(client)?;
    client.reset_peak()?;
    let before = testbed.counters()?;
    let (to, from) = (target.clone(), target);
    let (down, down_cost) = load(&testbed, client, move || user::stream_down(&from, time))?;
    let (up, up_cost) = load(&testbed, client, move || user::stream_up(&to, time))?;
    let path = (testbed.counters()? - before).path();
    ensure!(
        path == Some(Path::Direct),
        "the packets went {path:?} instead of directly"
    );
    Ok(Direct {
        ready,
        first_byte,
        further_byte,
        idle_memory,
        wakeups,
        down,
        down_cost,
        up,
        up_cost,
        peak: megabytes(client.usage()?.peak),
    })
}

fn relayed(programs: &Programs, directory: &RunDirectory) -> Result<Duration> {
    let spec = Spec {
        client_nat: Nat::Symmetric,
        gateway_nat: Nat::Symmetric,
        ..Spec::default()
    };
    let testbed = Testbed::build(spec)?;
    let mut network = Deployment::start(&testbed, directory, programs.clone())?;
    network.start_client()?;
    page(&testbed, &Target::resource(Family::V4))
}

fn ready_with_many(programs: &Programs, directory: &RunDirectory) -> Result<Duration> {
    let programs = Programs {
        extra_resources: MANY,
        ..programs.clone()
    };
    let testbed = Testbed::build(Spec::default())?;
    let mut network = Deployment::start(&testbed, directory, programs)?;
    Ok(network.start_client()?)
}

/// Gets the first page; returns the time to its first byte.
fn page(testbed: &Testbed, target: &Target) -> Result<Duration> {
    let target = target.clone();
    let transfer = testbed.client().run(move || user::exchange(&target))?;
    Ok(transfer.context("the first page does not come")?.first_byte)
}

/// Memory, and how often it wakes up in a second, of a client that has a connection and nothing
/// to do.
fn idle(client: &Program) -> Result<(f64, f64)> {
    wait(SETTLE);
    let (start, before) = (Instant::now(), client.usage()?);
    wait(IDLE);
    let (passed, after) = (start.elapsed(), client.usage()?);
    let sleeps = u32::try_from(after.sleeps.saturating_sub(before.sleeps)).unwrap_or(u32::MAX);
    Ok((
        megabytes(after.resident),
        f64::from(sleeps) / passed.as_secs_f64(),
    ))
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is that nothing happens"
)]
fn wait(time: Duration) {
    thread::sleep(time);
}

/// Transfers something; returns how it went, and the client's processor seconds per gigabyte.
fn load(
    testbed: &Testbed,
    client: &Program,
    job: impl FnOnce() -> io::Result<Transfer> + Send + 'static,
) -> Result<(Transfer, f64)> {
    let before = client.usage()?.cpu;
    let transfer = testbed
        .client()
        .run(job)?
        .context("a transfer breaks off")?;
    let spent = client.usage()?.cpu - before;
    let gigabytes = transfer.rate() * transfer.total.as_secs_f64() / 8e9;
    Ok((transfer, spent / gigabytes))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn megabytes(bytes: u64) -> f64 {
    u32::try_from(bytes / 1000).map_or(f64::NAN, f64::from) / 1000.0
}
