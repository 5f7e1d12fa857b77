//! Builds a testbed and leaves it there.

use crate::cli::{NatKind, Up};
use anyhow::{Context as _, Result};
use std::path::PathBuf;
use testbed::{Deployment, Launch, Nat, Programs, RunDirectory, Spec, Testbed, layout};
use tokio::sync::mpsc;

impl From<NatKind> for Nat {
    fn from(kind: NatKind) -> Self {
        match kind {
            NatKind::None => Self::None,
            NatKind::Cone => Self::Cone,
            NatKind::Symmetric => Self::Symmetric,
        }
    }
}

/// Runs everything until `stop` says something.
#[expect(clippy::print_stdout, reason = "this is what the user waits for")]
pub(crate) async fn run(options: Up, log: &str, mut stop: mpsc::Receiver<()>) -> Result<()> {
    let own = std::env::current_exe().context("cannot find this program's file")?;
    let client = match options.client {
        Some(client) => client,
        None => own.with_file_name("firezone-headless-client"),
    };
    anyhow::ensure!(
        client.exists(),
        "there is no client at {}: name one",
        client.display()
    );
    let directory = RunDirectory::new()?;
    let spec = Spec {
        client_nat: options.client_nat.into(),
        gateway_nat: options.gateway_nat.into(),
        ..Spec::default()
    };
    let testbed = Testbed::build(spec)?;
    let mut network = Deployment::start(&testbed, &directory, programs(own, client, log))?;
    network.start_client()?;
    let (id, run) = (
        network.client().map_or(0, |client| client.id()),
        directory.path().display(),
    );
    println!(
        "Everything runs. Enter the client's host, and try something:\n  \
           nsenter -t {id} -a curl http://{name}/\n  \
           nsenter -t {id} -a ping {address}\n\
         Talk to the portal:\n  \
           firezone-devnet ctl --control {run}/portal.socket status\n\
         Logs are in {run}/logs. Interrupt to end all of it.",
        name = layout::RESOURCE_NAME,
        address = layout::RESOURCE6,
    );
    stop.recv().await.unwrap_or_default();
    Ok(())
}

fn programs(own: PathBuf, client: PathBuf, log: &str) -> Programs {
    let party = |name: &str| Launch {
        program: own.clone(),
        arguments: vec![name.to_owned()],
    };
    Programs {
        client: Launch {
            program: client,
            arguments: Vec::new(),
        },
        gateway: party("gateway"),
        portal: party("portal"),
        relay: party("relay"),
        log: log.to_owned(),
        extra_resources: 0,
    }
}
