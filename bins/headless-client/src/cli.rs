//! What the user typed, and nothing else. spec: client-app 2

use clap::{ArgAction, Args, Parser, Subcommand};
use cli_support::{HostFlags, LogFlags, Shell, parse_duration};
use host::help::ADMINISTRATOR_NAME;
use std::{path::PathBuf, time::Duration};
use url::Url;

const EXAMPLES: &str = "Examples:\n  \
    firezone-headless-client sign-in            ask for a token and keep it\n  \
    firezone-headless-client                    connect\n  \
    firezone-headless-client --check            look whether everything is in place\n  \
    firezone-headless-client status             how is the running client doing?\n  \
    FIREZONE_TOKEN=… firezone-headless-client --dns-control disabled";

fn files() -> String {
    let path = |path: PathBuf| path.display().to_string();
    let status = crate::status::socket();
    [
        format!(
            "Files:\n  {:<43} the token, for {ADMINISTRATOR_NAME} alone",
            path(host::places::token())
        ),
        format!(
            "{:<43} identity of this machine, if the system has none",
            path(host::places::state())
        ),
        format!("{:<43} what `status` asks", path(status)),
    ]
    .join("\n  ")
}

fn ending() -> String {
    format!(
        "Signals: {}\nExit codes: 0 stopped, 1 failed, 2 wrong usage.",
        host::help::SIGNALS
    )
}

fn token_path_help() -> String {
    format!(
        "File with the token; it must belong to {ADMINISTRATOR_NAME} and be readable by nobody else \
         [default: the service manager's credential firezone-token, else {}]",
        host::places::token().display()
    )
}

/// Connects this machine to a Firezone network with a service account's token.
///
/// The token comes from the variable FIREZONE_TOKEN, from the service manager's credential
/// `firezone-token`, or from a file, never from the command line. `sign-in` writes the file.
#[derive(Debug, Parser)]
#[command(
    name = "firezone-headless-client",
    version,
    after_help = format!("{EXAMPLES}\n\n{}", ending()),
    after_long_help = format!("{EXAMPLES}\n\n{}\n\n{}", files(), ending())
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,

    #[command(flatten)]
    pub(crate) early: Early,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Cli {
    /// Reasons to exit early, wherever they stand.
    pub(crate) fn early(&self) -> Early {
        match &self.command {
            Some(Command::Standalone(early)) => Early {
                check: self.early.check || early.check,
                exit: self.early.exit || early.exit,
            },
            _ => self.early,
        }
    }
}

/// How to run. They may stand before and after a subcommand.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) host: HostFlags,

    #[command(flatten)]
    pub(crate) log: LogFlags,

    /// Give up when the portal stays away for this long, such as `5m` or `30d`.
    #[arg(
        short,
        long,
        env = "MAX_PARTITION_TIME",
        value_name = "TIME",
        value_parser = parse_duration,
        global = true
    )]
    pub(crate) max_partition_time: Option<Duration>,

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

    // Its help names places, which systems choose.
    #[arg(
        long,
        env = "FIREZONE_TOKEN_PATH",
        value_name = "FILE",
        help = token_path_help(),
        global = true
    )]
    pub(crate) token_path: Option<PathBuf>,

    /// Send everything through the Internet Resource, if there is one.
    #[arg(long, env = "FIREZONE_ACTIVATE_INTERNET_RESOURCE", action = ArgAction::SetTrue, global = true)]
    pub(crate) activate_internet_resource: bool,

    /// Accepted and without effect: this client never sends telemetry.
    #[arg(long, env = "FIREZONE_NO_TELEMETRY", action = ArgAction::SetTrue, global = true)]
    pub(crate) no_telemetry: bool,

    /// Accepted and without effect: no metrics are ever sent.
    #[arg(
        long,
        env = "FIREZONE_METRICS",
        value_name = "EXPORTER",
        hide = true,
        global = true
    )]
    pub(crate) metrics: Option<Metrics>,

    /// Accepted and without effect: no metrics are ever sent.
    #[arg(
        long,
        env = "OTLP_GRPC_ENDPOINT",
        value_name = "HOST:PORT",
        hide = true,
        global = true
    )]
    pub(crate) otlp_grpc_endpoint: Option<String>,

    /// Raise the system's limits of socket buffers to what the tunnel wants.
    #[arg(long, env = "FIREZONE_INC_BUF", action = ArgAction::SetTrue, hide = true, global = true)]
    pub(crate) inc_buf: bool,

    /// Accepted and without effect: no log of flows is kept.
    #[arg(long, env = "FIREZONE_FLOW_LOGS", action = ArgAction::SetTrue, hide = true, global = true)]
    pub(crate) flow_logs: bool,
}

impl Options {
    /// Writes all options to the log, except for the identity. spec: client-app 8.6
    pub(crate) fn log_options(&self) {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        tracing::debug!(
            dns_control = %self.host.dns_control,
            log_dir = text(&self.log.log_dir),
            log_format = %self.log.log_format,
            max_partition_time_s = self.max_partition_time.map(|time| time.as_secs()),
            api_url = %self.api_url,
            name = self.firezone_name,
            has_identity = self.firezone_id.is_some(),
            token_path = text(&self.token_path),
            activate_internet_resource = self.activate_internet_resource,
            inc_buf = self.inc_buf,
            "Options"
        );
    }
}

/// Reasons to exit early; they belong to running the client.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Early {
    /// Look whether everything is in place, say what was found, change nothing, and exit.
    #[arg(long)]
    pub(crate) check: bool,

    /// Exit with success once the tunnel is ready.
    #[arg(long)]
    pub(crate) exit: bool,
}

/// Where other clients send metrics to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Metrics {
    /// Standard output.
    Stdout,
    /// A collector.
    OtelCollector,
    /// A crash reporting service.
    Sentry,
}

/// What to do; running is the default.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the client; the same as no command at all.
    #[command(hide = true)]
    Standalone(Early),

    /// Ask for a token and write it to the token file.
    #[command(after_help = "Examples:\n  \
        firezone-headless-client sign-in --account-slug example\n  \
        firezone-headless-client sign-in < file-with-a-token")]
    SignIn(SignIn),

    /// Delete the token file. The portal is not told: revoke the token there.
    #[command(after_help = "Example:\n  firezone-headless-client sign-out --force")]
    SignOut(SignOut),

    /// Say how the running client is doing.
    #[command(after_help = "Examples:\n  \
        firezone-headless-client status\n  \
        firezone-headless-client status --watch\n  \
        firezone-headless-client status --json | jq .gateways\n  \
        until firezone-headless-client status --check ready; do sleep 1; done")]
    Status(Status),

    /// Print completions for a shell.
    #[command(after_help = "Example:\n  \
        firezone-headless-client completions bash \
        > /etc/bash_completion.d/firezone-headless-client")]
    Completions {
        /// The shell.
        shell: Shell,
    },

    /// Print the manual page.
    #[command(hide = true)]
    Manual,
}

/// Options of `sign-in`.
#[derive(Debug, Args)]
pub(crate) struct SignIn {
    /// Where accounts sign in.
    #[arg(
        long,
        env = "FIREZONE_AUTH_BASE_URL",
        value_name = "URL",
        default_value = "https://app.firezone.dev"
    )]
    pub(crate) auth_base_url: Url,

    /// The account, as in its URL.
    #[arg(long, env = "FIREZONE_ACCOUNT_SLUG", value_name = "SLUG")]
    pub(crate) account_slug: Option<String>,
}

/// Options of `sign-out`.
#[derive(Debug, Args)]
pub(crate) struct SignOut {
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON, as docs/operating.md describes.
    #[arg(long)]
    pub(crate) json: bool,

    /// Print again every second until interrupted.
    #[arg(long, conflicts_with = "check")]
    pub(crate) watch: bool,

    /// Print nothing; exit with 0 if the client is like that, else with 1.
    #[arg(long, value_name = "STATE")]
    pub(crate) check: Option<State>,
}

/// What a client can be asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum State {
    /// It runs.
    Running,
    /// The portal is connected.
    Connected,
    /// Addresses, routes and DNS are set.
    Ready,
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
            &["client", "--check", "standalone"][..],
            &["client", "standalone", "--check"],
            &["client", "--log-filter=debug", "standalone", "--check"],
            &["client", "standalone", "--check", "--log-filter=debug"],
        ] {
            assert!(Cli::try_parse_from(line).unwrap().early().check, "{line:?}");
        }
    }

    #[test]
    fn a_token_on_the_command_line_is_refused() {
        assert!(Cli::try_parse_from(["client", "--token", "secret"]).is_err());
    }

    #[test]
    fn wrong_values_are_refused() {
        for line in [
            ["client", "--max-partition-time", "5"],
            ["client", "--max-partition-time", ""],
            ["client", "--api-url", "nowhere"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
