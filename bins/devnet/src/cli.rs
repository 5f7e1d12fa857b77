//! The command line. Programs and variables are named as those of the real parties, so that these
//! can stand in for them.

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use std::{
    ffi::OsString,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};
use url::Url;

/// Development portal, relay and gateway of a Firezone network, and a network to try them in.
///
/// Called under a name that ends with `-gateway`, `-portal` or `-relay`, it is that party.
#[derive(Debug, Parser)]
#[command(name = "firezone-devnet", version)]
pub(crate) struct Cli {
    /// What to log: a level, or `target=level` pairs separated by commas.
    #[arg(
        long,
        env = "RUST_LOG",
        value_name = "FILTER",
        default_value = "info",
        global = true
    )]
    pub(crate) log_filter: String,

    #[command(subcommand)]
    pub(crate) party: Party,
}

/// Which party to be.
#[derive(Debug, Subcommand)]
pub(crate) enum Party {
    /// Say a command to a running portal, and print its answer.
    Ctl(Ctl),
    /// Let clients reach the networks of this host, which has to forward and to masquerade.
    Gateway(Gateway),
    /// Hand out addresses, resources and relays, and introduce clients to gateways.
    Portal(Portal),
    /// Forward datagrams between clients and gateways that cannot reach each other.
    Relay(Relay),
    /// Build a network in namespaces, run all parties and a client in it, and leave
    /// it there until interrupted.
    Up(Up),
}

/// How to reach the portal, and as whom.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Base URL of the portal.
    #[arg(short = 'u', long, env = "FIREZONE_API_URL", value_name = "URL")]
    pub(crate) api_url: Url,

    /// The token; give it by the variable, arguments are readable by everyone.
    #[arg(
        long,
        env = "FIREZONE_TOKEN",
        hide_env_values = true,
        hide = true,
        default_value = ""
    )]
    pub(crate) token: SecretString,

    /// What the portal calls this party [default: the host name].
    #[arg(long, env = "FIREZONE_NAME", value_name = "NAME")]
    pub(crate) firezone_name: Option<String>,
}

/// Options of a gateway.
#[derive(Debug, Args)]
pub(crate) struct Gateway {
    #[command(flatten)]
    pub(crate) login: Login,

    /// Identity of this gateway.
    #[arg(short = 'i', long, env = "FIREZONE_ID", value_name = "ID")]
    pub(crate) firezone_id: String,
}

/// Options of a relay.
#[derive(Debug, Args)]
pub(crate) struct Relay {
    #[command(flatten)]
    pub(crate) login: Login,

    /// Public IPv4 address.
    #[arg(
        long,
        env = "PUBLIC_IP4_ADDR",
        value_name = "ADDRESS",
        required_unless_present = "public_ip6_addr"
    )]
    pub(crate) public_ip4_addr: Option<Ipv4Addr>,

    /// Public IPv6 address.
    #[arg(long, env = "PUBLIC_IP6_ADDR", value_name = "ADDRESS")]
    pub(crate) public_ip6_addr: Option<Ipv6Addr>,

    /// UDP port to listen on.
    #[arg(long, env = "LISTEN_PORT", value_name = "PORT", default_value_t = 3478)]
    pub(crate) listen_port: u16,
}

/// Options of a portal.
#[derive(Debug, Args)]
pub(crate) struct Portal {
    /// Configuration, as JSON: who may connect, and what may be reached.
    #[arg(long, env = "PORTAL_CONFIG", value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// What is remembered over restarts [default: nothing].
    #[arg(long, env = "PORTAL_STATE", value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,

    /// Socket for the subcommand ctl [default: none].
    #[arg(long, env = "PORTAL_CONTROL", value_name = "SOCKET")]
    pub(crate) control: Option<PathBuf>,

    /// Where to listen; may be given several times.
    #[arg(
        long,
        env = "PORTAL_LISTEN",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:8081"
    )]
    pub(crate) listen: Vec<SocketAddr>,
}

/// Options of an operator.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    firezone-devnet ctl --control portal.socket status\n  \
    firezone-devnet ctl --control portal.socket '{\"cmd\": \"resource_delete\", \"resource\": \"Wiki\"}'")]
pub(crate) struct Ctl {
    /// The portal's control socket.
    #[arg(long, env = "PORTAL_CONTROL", value_name = "SOCKET")]
    pub(crate) control: PathBuf,

    /// The command as JSON, or just its name if it needs nothing else.
    #[arg(value_name = "COMMAND")]
    pub(crate) command: String,
}

/// Options of the network in namespaces.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The client [default: firezone-headless-client beside this program].
    #[arg(long, value_name = "FILE")]
    pub(crate) client: Option<PathBuf>,

    /// How the client's router translates addresses.
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    pub(crate) client_nat: NatKind,

    /// How the gateway's router translates addresses.
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    pub(crate) gateway_nat: NatKind,
}

/// How a router translates addresses.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum NatKind {
    /// Not at all.
    None,
    /// One public port for everybody.
    #[default]
    Cone,
    /// Another public port for every destination.
    Symmetric,
}

/// The arguments with the party that the program's name asks for.
pub(crate) fn arguments(mut given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let program = given.next().unwrap_or_default();
    let name = Path::new(&program)
        .file_stem()
        .map(PathBuf::from)
        .unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let party = ["gateway", "portal", "relay"].into_iter().find(|party| {
        name.strip_suffix(party)
            .is_some_and(|rest| rest.ends_with('-'))
    });
    [program]
        .into_iter()
        .chain(party.map(OsString::from))
        .chain(given)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_name_of_the_program_chooses_the_party() {
        let arguments = |name: &str| {
            let given = [name, "--help"].map(OsString::from);
            arguments(given.into_iter())
        };
        assert_eq!(
            arguments("/usr/bin/firezone-devnet"),
            ["/usr/bin/firezone-devnet", "--help"]
        );
        assert_eq!(
            arguments("x/firezone-relay"),
            ["x/firezone-relay", "relay", "--help"]
        );
        assert_eq!(
            arguments("dev-gateway"),
            ["dev-gateway", "gateway", "--help"]
        );
        assert_eq!(arguments("gateway"), ["gateway", "--help"]);
    }
}
