//! The programs of this workspace, built.

use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use devnet::internet::{Launch, Programs};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

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
    pub(crate) client: PathBuf,
    /// Portal, relay and gateway in one.
    pub(crate) devnet: PathBuf,
    /// The tunnel service.
    pub(crate) service: PathBuf,
}

impl Binaries {
    /// Builds them; cargo shows its progress.
    pub(crate) fn build(profile: Profile) -> Result<Self> {
        let mut command = Command::new(workspace::cargo());
        command.args([
            "build",
            "--package",
            "headless-client",
            "--package",
            "firezone-devnet",
            "--package",
            "tunnel-service",
        ]);
        command.arg("--message-format=json-render-diagnostics");
        if profile == Profile::Release {
            command.arg("--release");
        }
        command.current_dir(workspace::root());
        let mut cargo = command
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cargo")?;
        let messages = cargo.stdout.take().context("cargo has no output")?;
        let mut found = Vec::new();
        for line in BufReader::new(messages).lines() {
            let message: Value = serde_json::from_str(&line?).unwrap_or_default();
            found.extend(message["executable"].as_str().map(PathBuf::from));
        }
        ensure!(
            cargo.wait()?.success(),
            "cargo could not build the programs"
        );
        let named = |name: &str| {
            let program = found
                .iter()
                .find(|path| path.file_stem().is_some_and(|n| n == name));
            program
                .cloned()
                .with_context(|| format!("cargo did not build {name}"))
        };
        Ok(Self {
            client: named("firezone-headless-client")?,
            devnet: named("firezone-devnet")?,
            service: named("firezone-client-tunnel")?,
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
