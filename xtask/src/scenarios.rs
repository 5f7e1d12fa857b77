//! Scenarios with the real programs in network namespaces. They need root or user namespaces.

mod life;
mod names;
mod paths;
mod service;
mod starts;

use crate::{
    binaries::{Binaries, Others, Profile, build_service},
    progress::say,
    requirements,
};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use testbed::{
    Deployment, Fault, Host, Nat, Path as Way, Programs, RunDirectory, Spec, Testbed, pause,
    user::{self, Family, Target},
};

/// Amount of the transfers, in bytes: enough to tell the path.
const AMOUNT: u64 = 2_000_000;

/// How long a connection may take to work again after something was restarted.
const RECOVERY: Duration = Duration::from_secs(30);

/// How often to look whether something has happened.
const INTERVAL: Duration = Duration::from_millis(10);

/// A scenario, and how both routers translate in it.
type Scenario = (&'static str, Nat, fn(&mut Scene<'_>) -> Result<()>);

const SCENARIOS: [Scenario; 17] = [
    ("a direct path", Nat::Cone, paths::direct),
    ("a relayed path", Nat::Symmetric, paths::relayed),
    ("a client that was killed", Nat::Cone, life::killed),
    ("a second client", Nat::Cone, life::second),
    ("a client that is asked", Nat::Symmetric, life::asked),
    ("a client that looks and leaves", Nat::Cone, life::early),
    ("a client that is hung up", Nat::Cone, life::hung_up),
    (
        "a client that is hung up early",
        Nat::Cone,
        life::hung_up_early,
    ),
    ("a client without root", Nat::Cone, life::without_root),
    ("a wrong token", Nat::Cone, life::wrong_token),
    ("files with tokens", Nat::Cone, life::token_files),
    ("a start that is stopped", Nat::Cone, starts::stopped),
    ("a start that is killed", Nat::Cone, starts::killed),
    ("a portal that restarts", Nat::Cone, paths::restarted_portal),
    ("names of resources", Nat::Cone, names::of_resources),
    ("names of a real resolver", Nat::Cone, names::of_a_resolver),
    ("the tunnel service", Nat::Cone, service::connected),
];

/// Options of `cargo xtask scenarios`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Run only those whose name contains this.
    #[arg(value_name = "NAME", default_value = "")]
    name: String,

    #[command(flatten)]
    others: Others,
}

/// Runs the scenarios; stops at the first that fails, and leaves its logs.
pub(crate) fn run(args: &Args) -> Result<()> {
    requirements::require(false)?;
    names::require()?;
    let mut programs = Binaries::build(Profile::Debug)?.programs();
    let service = build_service(Profile::Debug)?;
    args.others.replace(&mut programs)?;
    let chosen = |(name, ..): &Scenario| name.contains(&args.name);
    ensure!(
        SCENARIOS.iter().any(chosen),
        "there is no scenario like {:?}; there are: {}",
        args.name,
        SCENARIOS.map(|(name, ..)| name).join(", ")
    );
    for (name, nat, scenario) in SCENARIOS.into_iter().filter(chosen) {
        let started_at = Instant::now();
        let mut directory = RunDirectory::new()?;
        let result = play((&programs, &service), &directory, nat, scenario);
        if result.is_err() {
            directory.keep();
            let logs = directory.logs();
            return result.with_context(|| format!("{name}; logs are in {}", logs.display()));
        }
        say(&format!(
            "      {name}: ok in {:.1} s",
            started_at.elapsed().as_secs_f64()
        ));
    }
    Ok(())
}

fn play(
    (programs, service): (&Programs, &Path),
    directory: &RunDirectory,
    nat: Nat,
    scenario: fn(&mut Scene<'_>) -> Result<()>,
) -> Result<()> {
    let spec = Spec {
        client_nat: nat,
        gateway_nat: nat,
        ..Spec::default()
    };
    let testbed = Testbed::build(spec)?;
    let network = Deployment::start(&testbed, directory, programs.clone())?;
    let mut scene = Scene {
        testbed: &testbed,
        directory: directory.path(),
        service,
        network,
    };
    scenario(&mut scene)
}

/// A network to play in.
struct Scene<'a> {
    testbed: &'a Testbed,
    /// For files of the scenario.
    directory: &'a Path,
    /// The program of the tunnel service.
    service: &'a Path,
    network: Deployment<'a>,
}

impl Scene<'_> {
    /// Downloads by address and by name over both families; returns the way the packets took.
    fn use_it(&self) -> Result<Option<Way>> {
        let before = self.testbed.counters()?;
        for target in [
            Target::resource(Family::V4),
            Target::resource(Family::V6),
            Target::resource_name(Family::V4),
            Target::resource_name(Family::V6),
        ] {
            let label = target.to_string();
            self.testbed
                .client()
                .run(move || user::download(&target, AMOUNT))?
                .with_context(|| format!("download from {label}"))?;
        }
        Ok((self.testbed.counters()? - before).path())
    }

    /// Uses it as soon as it works.
    fn use_it_soon(&self) -> Result<()> {
        self.await_that(|| self.use_it().map(drop))
    }

    /// Stops the client, which has to end well and to put everything back.
    fn stop(&mut self, state: &[String]) -> Result<()> {
        let client = self.network.client_mut().context("there is no client")?;
        let status = client.stop()?;
        ensure!(status.success(), "the client ends with {status}");
        self.require(state)
    }

    /// The client's host has to be as it was.
    fn require(&self, state: &[String]) -> Result<()> {
        let now = self.testbed.client().network_state()?;
        let left: Vec<_> = now.iter().filter(|line| !state.contains(line)).collect();
        let gone: Vec<_> = state.iter().filter(|line| !now.contains(line)).collect();
        ensure!(
            left.is_empty() && gone.is_empty(),
            "left behind: {left:?}, taken away: {gone:?}"
        );
        Ok(())
    }

    /// Waits until something is as it should be.
    fn await_that(&self, mut look: impl FnMut() -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + RECOVERY;
        loop {
            match look() {
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => pause(INTERVAL),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Starts a program on the client's host whose output is collected.
    fn start(&self, command: Command) -> Result<Child, Fault> {
        start_on(self.testbed.client(), command)
    }

    /// Runs a program on the client's host until it ends by itself.
    fn output(&self, command: Command) -> Result<Output> {
        Ok(self.start(command)?.wait_with_output()?)
    }
}

/// Starts a program on a host; nothing comes in, what comes out is collected.
fn start_on(host: &Host, mut command: Command) -> Result<Child, Fault> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    host.spawn(command)
}

/// The one line about the fault with which a client ends.
fn fault_of(printed: &str) -> Result<String> {
    let mut errors = printed.lines().filter(|l| l.starts_with("Error: "));
    let last = printed.lines().last().unwrap_or_default();
    match (errors.next(), errors.next()) {
        (Some(only), None) if only == last => Ok(only.to_owned()),
        _ => bail!("the client does not end with one line about the fault: {printed}"),
    }
}
