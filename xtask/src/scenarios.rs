//! Scenarios with the real programs in network namespaces. They need root or user namespaces.

use crate::{
    binaries::{Binaries, Others, Profile},
    requirements,
};
use anyhow::{Context as _, Result, bail, ensure};
use devnet::internet::{
    Deployment, Internet, Nat, Path, Programs, RunDirectory, Spec,
    user::{self, Family, Target},
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Amount of the transfers, in bytes: enough to tell the path.
const AMOUNT: u64 = 2_000_000;

/// How long a connection may take to work again after something was restarted.
const RECOVERY: Duration = Duration::from_secs(30);

/// A scenario, and how both routers translate in it.
type Scenario = (&'static str, Nat, fn(&mut Scene<'_>) -> Result<()>);

const SCENARIOS: [Scenario; 7] = [
    ("a direct path", Nat::Cone, direct_path),
    ("a relayed path", Nat::Symmetric, relayed_path),
    ("a client that was killed", Nat::Cone, killed_client),
    ("a second client", Nat::Cone, second_client),
    ("a client that is asked", Nat::Symmetric, asked_client),
    ("a wrong token", Nat::Cone, wrong_token),
    ("a portal that restarts", Nat::Cone, restarted_portal),
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
    let mut programs = Binaries::build(Profile::Debug)?.programs();
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
        let result = play(&programs, &directory, nat, scenario);
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

#[expect(clippy::print_stdout, reason = "progress is the output of the task")]
fn say(text: &str) {
    println!("{text}");
}

fn play(
    programs: &Programs,
    directory: &RunDirectory,
    nat: Nat,
    scenario: fn(&mut Scene<'_>) -> Result<()>,
) -> Result<()> {
    let spec = Spec {
        client_nat: nat,
        gateway_nat: nat,
        ..Spec::default()
    };
    let internet = Internet::build(spec)?;
    let network = Deployment::start(&internet, directory, programs.clone())?;
    let mut scene = Scene {
        internet: &internet,
        network,
    };
    scenario(&mut scene)
}

/// A network to play in.
struct Scene<'a> {
    internet: &'a Internet,
    network: Deployment<'a>,
}

impl Scene<'_> {
    /// Downloads by address and by name over both families; returns the way the packets took.
    fn use_it(&self) -> Result<Option<Path>> {
        let before = self.internet.counters()?;
        for target in [
            Target::resource(Family::V4),
            Target::resource(Family::V6),
            Target::resource_name(Family::V4),
            Target::resource_name(Family::V6),
        ] {
            let label = target.to_string();
            self.internet
                .client()
                .run(move || user::download(&target, AMOUNT))?
                .with_context(|| format!("download from {label}"))?;
        }
        Ok((self.internet.counters()? - before).path())
    }

    /// Uses it as soon as it works.
    fn use_it_soon(&self) -> Result<()> {
        let deadline = Instant::now() + RECOVERY;
        loop {
            match self.use_it() {
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => {}
                Ok(_) => return Ok(()),
            }
        }
    }

    /// Stops the client, which has to end well and to put everything back.
    fn stop(&mut self, landscape: &[String]) -> Result<()> {
        let client = self.network.client_mut().context("there is no client")?;
        let status = client.stop()?;
        ensure!(status.success(), "the client ends with {status}");
        let now = self.internet.client().landscape()?;
        let left: Vec<_> = now
            .iter()
            .filter(|line| !landscape.contains(line))
            .collect();
        let gone: Vec<_> = landscape
            .iter()
            .filter(|line| !now.contains(line))
            .collect();
        ensure!(
            left.is_empty() && gone.is_empty(),
            "left behind: {left:?}, taken away: {gone:?}"
        );
        Ok(())
    }
}

fn direct_path(scene: &mut Scene<'_>) -> Result<()> {
    let landscape = scene.internet.client().landscape()?;
    scene.network.start_client()?;
    let path = scene.use_it()?;
    ensure!(path == Some(Path::Direct), "packets went {path:?}");
    scene.stop(&landscape)
}

fn relayed_path(scene: &mut Scene<'_>) -> Result<()> {
    let landscape = scene.internet.client().landscape()?;
    scene.network.start_client()?;
    let path = scene.use_it()?;
    ensure!(path == Some(Path::Relayed), "packets went {path:?}");
    scene.stop(&landscape)
}

fn killed_client(scene: &mut Scene<'_>) -> Result<()> {
    let landscape = scene.internet.client().landscape()?;
    scene.network.start_client()?;
    scene.use_it()?;
    scene.network.kill_client();
    scene.network.start_client()?;
    scene.use_it_soon()?;
    scene.stop(&landscape)
}

/// The second one has to go; the first one must not even notice.
fn second_client(scene: &mut Scene<'_>) -> Result<()> {
    let before = scene.internet.client().landscape()?;
    scene.network.start_client()?;
    scene.use_it()?;
    let landscape = scene.internet.client().landscape()?;
    let mut second = scene.network.start_second_client()?;
    let status = second.wait(Duration::from_secs(10))?;
    ensure!(
        status.code() == Some(1),
        "the second client ends with {status}"
    );
    let fault = fault_of(&second.printed())?;
    ensure!(
        fault.contains("stop the other client"),
        "the second client does not say what is wrong: {fault}"
    );
    ensure!(
        scene.internet.client().landscape()? == landscape,
        "the second client changed something"
    );
    scene.use_it()?;
    scene.stop(&before)
}

/// It tells how it is doing, for scripts and for people.
fn asked_client(scene: &mut Scene<'_>) -> Result<()> {
    let landscape = scene.internet.client().landscape()?;
    let (status, _) = scene
        .network
        .ask_client(&["status", "--check", "running"])?;
    ensure!(!status.success(), "a client runs before it is started");
    scene.network.start_client()?;
    scene.use_it()?;
    let (status, _) = scene.network.ask_client(&["status", "--check", "ready"])?;
    ensure!(status.success(), "the client is not ready");
    let (_, printed) = scene.network.ask_client(&["status", "--json"])?;
    let told: Value = serde_json::from_str(&printed).context("the status is no JSON")?;
    ensure!(told["portal"]["state"] == "connected", "{printed}");
    ensure!(told["gateways"][0]["relay"].is_string(), "{printed}");
    ensure!(told["resources"][0]["state"] == "online", "{printed}");
    ensure!(told["dns"][0]["server"] == "203.0.113.53:53", "{printed}");
    let (_, printed) = scene.network.ask_client(&["status"])?;
    let wide = printed.lines().find(|line| line.chars().count() > 80);
    ensure!(wide.is_none(), "a line is too wide: {printed}");
    scene.stop(&landscape)?;
    let (status, _) = scene
        .network
        .ask_client(&["status", "--check", "running"])?;
    ensure!(!status.success(), "the client still answers");
    Ok(())
}

fn wrong_token(scene: &mut Scene<'_>) -> Result<()> {
    let landscape = scene.internet.client().landscape()?;
    let mut stranger = scene.network.start_stranger()?;
    let status = stranger.wait(Duration::from_secs(10))?;
    ensure!(status.code() == Some(1), "the client ends with {status}");
    fault_of(&stranger.printed())?;
    ensure!(
        scene.internet.client().landscape()? == landscape,
        "the client left something behind"
    );
    Ok(())
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

fn restarted_portal(scene: &mut Scene<'_>) -> Result<()> {
    let landscape = scene.internet.client().landscape()?;
    scene.network.start_client()?;
    scene.use_it()?;
    scene.network.restart_portal()?;
    scene.use_it_soon()?;
    scene.stop(&landscape)
}
