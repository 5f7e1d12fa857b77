//! Speed and memory, as anyone can measure them.

mod comparison;
mod dns;
mod figures;
mod machine;
mod report;
mod sockets;
mod tunnel;

use crate::workspace;
use anyhow::{Result, ensure};

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The tunnel without I/O, against the bare cipher, and its stub resolver.
    Core,
    /// The client's stub resolver.
    Dns(dns::Args),
    /// Fresh sockets with one cache of source addresses, and with one for each.
    Sockets(sockets::Args),
    /// The client in a network of namespaces.
    Tunnel(tunnel::Args),
}

/// Measures what was asked for.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Core => core(),
        What::Dns(args) => dns::run(args),
        What::Sockets(args) => sockets::run(args),
        What::Tunnel(args) => tunnel::run(args),
    }
}

/// The in-core benches are bench targets, so that cargo builds them optimized.
fn core() -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["bench", "--quiet", "--package", "netsim"]);
    command.args(["--bench", "core", "--bench", "names"]);
    let status = command.status()?;
    ensure!(status.success(), "the bench failed with {status}");
    Ok(())
}
