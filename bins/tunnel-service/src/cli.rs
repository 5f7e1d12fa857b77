//! What the user typed, and nothing else. spec: client-app 3

use clap::{Args, Parser, Subcommand};
use cli_support::{HostFlags, LogFlags, Shell, parse_duration};
use service_ipc::Generation;
use std::{path::PathBuf, time::Duration};
use url::Url;

const LOG_FILTER_HELP: &str = "What to log: a level, or `target=level` pairs separated by commas \
                               [default: what the GUI set, else info]";

fn log_dir_help() -> String {
    format!(
        "Write log files into this directory [default: {} for `run`]",
        host::places::service_logs().display()
    )
}

fn after_help() -> String {
    format!(
        "Examples:\n  \
         firezone-client-tunnel run                    as a service manager does\n  \
         firezone-client-tunnel run-interactive        in a terminal, to look at the log\n  \
         firezone-client-tunnel --dns-control disabled run\n  \
         firezone-client-tunnel ctl connect --token-file token\n  \
         firezone-client-tunnel ctl status\n\n\
         Signals: {}\n\
         Exit codes: 0 stopped, 1 failed or wrong usage, 3 `ctl status` and not connected.",
        host::help::SIGNALS
    )
}

/// Runs the tunnel on behalf of a GUI, which tells it over a local socket what to do.
///
/// Without a GUI nothing is connected. In a shell, `ctl` takes the place of one.
#[derive(Debug, Parser)]
#[command(
    name = "firezone-client-tunnel",
    version,
    mut_arg("log_dir", |arg| arg.help(log_dir_help())),
    mut_arg("log_filter", |arg| arg.help(LOG_FILTER_HELP)),
    after_help = after_help()
)]
pub(crate) struct Cli {
    /// Directory of the sockets.
    #[arg(
        long,
        value_name = "DIR",
        default_value_os_t = host::places::service_sockets(),
        global = true
    )]
    pub(crate) runtime_dir: PathBuf,

    #[command(flatten)]
    pub(crate) service: ServiceFlags,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How the service runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of the service")]
pub(crate) struct ServiceFlags {
    #[command(flatten)]
    pub(crate) host: HostFlags,

    #[command(flatten)]
    pub(crate) log: LogFlags,

    /// End a session whose portal stays away for this long, such as `5m` or `30d`.
    #[arg(short, long, env = "MAX_PARTITION_TIME", value_name = "TIME",
          default_value = "30d", value_parser = parse_duration, global = true)]
    pub(crate) max_partition_time: Duration,

    /// A program that is served; can be given more than once. The machine's administrator
    /// is served in any case.
    #[arg(
        long,
        env = "FIREZONE_GUI",
        value_name = "FILE",
        value_delimiter = ':',
        default_values_os_t = [host::places::gui()],
        global = true
    )]
    pub(crate) gui: Vec<PathBuf>,

    /// Which messages GUIs understand: 2025-07 or 2026-08.
    #[arg(
        long,
        env = "FIREZONE_GUI_GENERATION",
        value_name = "GENERATION",
        default_value_t,
        global = true
    )]
    pub(crate) gui_generation: Generation,

    /// The group whose members may use GUIs.
    #[arg(
        long,
        env = "FIREZONE_GROUP",
        value_name = "GROUP",
        default_value = "firezone-client",
        global = true
    )]
    pub(crate) group: String,
}

impl ServiceFlags {
    /// Writes all options to the log. spec: client-app 8.6
    pub(crate) fn log_options(&self) {
        let gui = std::env::join_paths(&self.gui).unwrap_or_default();
        tracing::debug!(
            dns_control = %self.host.dns_control,
            log_format = %self.log.log_format,
            max_partition_time_s = self.max_partition_time.as_secs(),
            gui = %gui.display(),
            gui_generation = %self.gui_generation,
            group = self.group,
            "Options"
        );
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the service, as a service manager does.
    Run,
    /// Run the service in a terminal; logs are only shown unless there is --log-dir.
    #[command(visible_alias = "run-debug")]
    RunInteractive(Interactive),
    /// Serve one GUI and exit; in debug builds only.
    RunSmokeTest,
    /// Install a service, on systems where programs do that themselves.
    Install,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page.
    #[command(hide = true)]
    Manual,
    /// Connect, disconnect and look, from a shell.
    #[command(subcommand)]
    Ctl(Ctl),
}

/// Options for a terminal.
#[derive(Debug, Args)]
pub(crate) struct Interactive {
    /// Serve any program that can open the socket.
    #[cfg(debug_assertions)]
    #[arg(long)]
    pub(crate) skip_peer_verification: bool,
}

impl Interactive {
    /// Whether any program is served; never in release builds.
    pub(crate) fn serves_anyone(&self) -> bool {
        #[cfg(debug_assertions)]
        return self.skip_peer_verification;
        #[cfg(not(debug_assertions))]
        false
    }
}

/// What a shell can ask for.
#[derive(Debug, Subcommand)]
pub(crate) enum Ctl {
    /// Connect and stay connected until interrupted: the tunnel ends with its GUI, and this is one.
    #[command(after_help = "Examples:\n  \
        firezone-client-tunnel ctl connect --token-file token\n  \
        pass show firezone | sudo firezone-client-tunnel ctl connect --internet-resource")]
    Connect(CtlConnect),
    /// End the session, whoever began it.
    Disconnect,
    /// Say how the service is doing; exits with 3 when it is not connected.
    Status,
}

/// How to connect.
#[derive(Debug, Args)]
pub(crate) struct CtlConnect {
    /// File with the token, for nobody else to read; without it, standard input has the token.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Base URL of the portal [default: that of the service's settings].
    #[arg(short = 'u', long, value_name = "URL")]
    pub(crate) api_url: Option<Url>,

    /// Send everything through the Internet Resource, if there is one.
    #[arg(long)]
    pub(crate) internet_resource: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["tunnel"], arguments].concat())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn subcommands_of_both_generations_are_there() {
        for name in [
            "run",
            "run-debug",
            "run-interactive",
            "run-smoke-test",
            "install",
        ] {
            assert!(parse(&[name]).is_ok(), "{name}");
            assert!(parse(&["--dns-control=disabled", name]).is_ok(), "{name}");
            assert!(parse(&[name, "--dns-control=disabled"]).is_ok(), "{name}");
        }
        assert!(parse(&[]).is_err(), "a subcommand is mandatory");
    }

    #[test]
    fn defaults_are_those_of_the_specification() {
        let cli = parse(&["run"]).unwrap();
        assert_eq!(
            cli.service.max_partition_time,
            Duration::from_secs(2_592_000)
        );
        assert_eq!(cli.service.gui, [host::places::gui()]);
        assert_eq!(cli.service.group, "firezone-client");
        assert_eq!(cli.service.gui_generation, Generation::August2026);
        assert_eq!(cli.runtime_dir, host::places::service_sockets());
    }

    #[test]
    fn wrong_values_and_tokens_are_refused() {
        for arguments in [
            &["dance"][..],
            &["run", "--dns-control=magic"],
            &["run", "--max-partition-time=5"],
            &["run", "--max-partition-time="],
            &["run", "--gui-generation=2024-01"],
            &["run", "--log-format=xml"],
            &["run", "--token=secret"],
            &["ctl"],
            &["ctl", "connect", "secret"],
            &["ctl", "connect", "--token=secret"],
            &["ctl", "connect", "--api-url=nowhere"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn several_guis_may_be_named() {
        let cli = parse(&["run", "--gui=/a", "--gui=/b:/c"]).unwrap();
        assert_eq!(cli.service.gui, ["/a", "/b", "/c"].map(PathBuf::from));
    }
}
