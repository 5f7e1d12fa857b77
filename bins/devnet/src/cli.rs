//! The command line. Programs and variables are named as those of the real parties, so that these
//! can stand in for them.

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use std::{
    ffi::OsString,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};
use url::Url;

/// Development portal, relay and gateway of a Firezone network.
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
    /// Let clients reach the networks of this host, which has to forward and to masquerade.
    Gateway(Gateway),
    /// Forward datagrams between clients and gateways that cannot reach each other.
    Relay(Relay),
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
