//! What the user typed, and nothing else. spec: client-app 2

use crate::{duration::HumanDuration, host::DnsControl};
use clap::{ArgAction, Parser, Subcommand};
use std::path::PathBuf;
use url::Url;

/// Connects this machine to a Firezone network with a service account's token.
///
/// The token comes from the variable FIREZONE_TOKEN or from a file, never from the command line.
#[derive(Debug, Parser)]
#[command(
    name = "firezone-headless-client",
    version,
    after_help = "Examples:\n  \
        FIREZONE_TOKEN=… firezone-headless-client\n  \
        firezone-headless-client --token-path /run/secrets/firezone --dns-control etc-resolv-conf\n  \
        firezone-headless-client --check\n\n\
        Signals: HUP drops all connections and makes new ones; TERM and INT stop the client.\n\
        Exit codes: 0 stopped, 1 failed, 2 wrong usage."
)]
pub(crate) struct Cli {
    /// How programs on this machine find the names of resources: by the method that suits the system
    /// (auto), by systemd-resolved, by etc-resolv-conf, or not at all (disabled).
    #[arg(
        long,
        env = "FIREZONE_DNS_CONTROL",
        value_name = "METHOD",
        default_value_t,
        global = true
    )]
    pub(crate) dns_control: DnsControl,

    /// Write log files into this directory, too.
    #[arg(short, long, env = "LOG_DIR", value_name = "DIR", global = true)]
    pub(crate) log_dir: Option<PathBuf>,

    /// What to log: a level, or `target=level` pairs separated by commas.
    #[arg(
        long,
        env = "RUST_LOG",
        value_name = "FILTER",
        default_value = "info",
        global = true
    )]
    pub(crate) log_filter: String,

    /// Give up when the portal stays away for this long, such as `5m` or `30d`.
    #[arg(
        short,
        long,
        env = "MAX_PARTITION_TIME",
        value_name = "TIME",
        global = true
    )]
    pub(crate) max_partition_time: Option<HumanDuration>,

    /// Base URL of the portal.
    #[arg(
        short = 'u',
        long,
        env = "FIREZONE_API_URL",
        value_name = "URL",
        default_value = "wss://api.firezone.dev/",
        global = true
    )]
    pub(crate) api_url: Url,

    /// Look whether everything is in place and exit; makes an identity if there is none.
    #[arg(long, global = true)]
    pub(crate) check: bool,

    /// Exit with success once the tunnel is ready.
    #[arg(long, global = true)]
    pub(crate) exit: bool,

    /// What the portal calls this machine [default: the host name].
    #[arg(long, env = "FIREZONE_NAME", value_name = "NAME", global = true)]
    pub(crate) firezone_name: Option<String>,

    /// Identity of this machine [default: made at the first start and kept].
    #[arg(
        short = 'i',
        long,
        env = "FIREZONE_ID",
        value_name = "ID",
        hide_env_values = true,
        global = true
    )]
    pub(crate) firezone_id: Option<String>,

    /// File with the token; it must belong to root and be readable by nobody else.
    #[arg(long, env = "FIREZONE_TOKEN_PATH", value_name = "FILE", default_value = crate::host::TOKEN_PATH, global = true)]
    pub(crate) token_path: PathBuf,

    /// Send everything through the Internet Resource, if there is one.
    #[arg(long, env = "FIREZONE_ACTIVATE_INTERNET_RESOURCE", action = ArgAction::SetTrue, global = true)]
    pub(crate) activate_internet_resource: bool,

    /// Accepted and without effect: this client never sends telemetry.
    #[arg(long, env = "FIREZONE_NO_TELEMETRY", action = ArgAction::SetTrue, global = true)]
    pub(crate) no_telemetry: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do; running is the default.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Command {
    /// Run the client; the same as no command at all.
    #[command(hide = true)]
    Standalone,
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
    fn options_stand_before_and_after_the_subcommand() {
        for line in [
            &["client", "--check", "standalone"],
            &["client", "standalone", "--check"],
        ] {
            assert!(Cli::try_parse_from(line).unwrap().check, "{line:?}");
        }
    }

    #[test]
    fn a_token_on_the_command_line_is_refused() {
        assert!(Cli::try_parse_from(["client", "--token", "secret"]).is_err());
    }

    #[test]
    fn the_method_of_dns_control_is_chosen_unless_one_is_named() {
        let method = |line: &[&str]| Cli::try_parse_from(line).unwrap().dns_control;
        assert_eq!(method(&["client"]), DnsControl::Auto);
        for method_of in DnsControl::ALL {
            let name = method_of.name();
            assert_eq!(method(&["client", "--dns-control", name]), method_of);
        }
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("[default: auto]"), "{help}");
        for method in DnsControl::ALL {
            assert!(help.contains(method.name()), "{method}: {help}");
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        for line in [
            ["client", "--dns-control", "magic"],
            ["client", "--max-partition-time", "5"],
            ["client", "--max-partition-time", ""],
            ["client", "--api-url", "nowhere"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
