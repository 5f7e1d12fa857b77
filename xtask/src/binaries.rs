//! The programs of this workspace, built.

use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
};
use testbed::{Launch, Programs};

/// How to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For tests.
    Debug,
    /// For everything that is measured.
    Release,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    /// The client.
    client: PathBuf,
    /// Portal, relay and gateway in one.
    devnet: PathBuf,
}

impl Binaries {
    /// Builds them; cargo shows its progress.
    pub(crate) fn build(profile: Profile) -> Result<Self> {
        let built = build(profile, &["headless-client", "firezone-devnet"])?;
        Ok(Self {
            client: named(&built, "firezone-headless-client")?,
            devnet: named(&built, "firezone-devnet")?,
        })
    }

    /// How to start them.
    pub(crate) fn programs(&self) -> Programs {
        let party = |name: &str| Launch {
            program: self.devnet.clone(),
            arguments: vec![name.to_owned()],
        };
        Programs {
            client: alone(&self.client),
            gateway: party("gateway"),
            portal: party("portal"),
            relay: party("relay"),
            log: "info".to_owned(),
            extra_resources: 0,
        }
    }
}

/// Builds the tunnel service, which not every task needs.
pub(crate) fn build_service(profile: Profile) -> Result<PathBuf> {
    named(
        &build(profile, &["tunnel-service"])?,
        "firezone-client-tunnel",
    )
}

/// Has cargo build packages; returns their programs.
fn build(profile: Profile, packages: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = workspace::cargo();
    command.args(["build", "--message-format=json-render-diagnostics"]);
    for package in packages {
        command.args(["--package", package]);
    }
    if profile == Profile::Release {
        command.arg("--release");
    }
    let mut cargo = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let messages = cargo.stdout.take().context("cargo has no output")?;
    let mut built = Vec::new();
    for line in BufReader::new(messages).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        built.extend(message["executable"].as_str().map(PathBuf::from));
    }
    ensure!(
        cargo.wait()?.success(),
        "cargo could not build the programs"
    );
    Ok(built)
}

/// The program of that name.
fn named(built: &[PathBuf], name: &str) -> Result<PathBuf> {
    let mut programs = built.iter();
    let program = programs.find(|path| path.file_stem().is_some_and(|n| n == name));
    program
        .cloned()
        .with_context(|| format!("cargo did not build {name}"))
}

/// Programs of others in the place of ours. They take the same environment variables.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Others {
    /// Run this client instead of ours.
    #[arg(long, value_name = "PATH")]
    client: Option<PathBuf>,

    /// Run this gateway instead of ours.
    #[arg(long, value_name = "PATH")]
    gateway: Option<PathBuf>,

    /// Run this relay instead of ours.
    #[arg(long, value_name = "PATH")]
    relay: Option<PathBuf>,
}

impl Others {
    /// Puts them where ours are.
    pub(crate) fn replace(&self, programs: &mut Programs) -> Result<()> {
        let given = [
            (&self.client, &mut programs.client),
            (&self.gateway, &mut programs.gateway),
            (&self.relay, &mut programs.relay),
        ];
        for (path, launch) in given {
            if let Some(path) = path {
                *launch = other(path)?;
            }
        }
        Ok(())
    }
}

/// A program that is not one of ours.
pub(crate) fn other(program: &Path) -> Result<Launch> {
    ensure!(
        program.exists(),
        "there is no program {}",
        program.display()
    );
    Ok(alone(program))
}

/// A program that needs no arguments.
fn alone(program: &Path) -> Launch {
    Launch {
        // A program's file must be found from everywhere.
        program: program
            .canonicalize()
            .unwrap_or_else(|_| program.to_owned()),
        arguments: Vec::new(),
    }
}
