//! What command lines with a tunnel have in common, so that each program is thin: options of DNS
//! control, sockets and the log, durations, completions and the manual page, the first and the last
//! lines of `main`, and the choice of the system under the tunnel ([`Platform`]).
//!
//! What it is not: nothing in here knows what a program does between its first and last lines, and
//! nothing but `system.rs` knows which system it runs on.
//!
//! ```
//! use clap::{CommandFactory as _, Parser as _};
//! use platform::DnsMethod as _;
//!
//! /// Shows how.
//! #[derive(clap::Parser)]
//! #[command(name = "example")]
//! struct Cli {
//!     #[command(flatten)]
//!     host: cli_support::HostFlags,
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! cli_support::harden();
//! let cli = Cli::parse_from(["example", "--dns-control", "disabled"]);
//! let options = cli.host.options();
//! assert_eq!(options.dns_control, cli_support::DnsControl::DISABLED);
//! let mut page = Vec::new();
//! cli_support::page(&Cli::command(), &mut page)?;
//! assert!(String::from_utf8_lossy(&page).contains(".TH example"));
//! # Ok(())
//! # }
//! ```

mod duration;
mod flags;
mod log;
mod manual;
mod process;
mod system;

pub use clap_complete::Shell;
pub use duration::parse_duration;
pub use flags::HostFlags;
pub use log::{LOG_FILTER, LogFlags, OldLogs, log_files};
pub use manual::{completions, page};
pub use process::{TOKEN, harden, report, take_token};
pub use system::{DnsControl, Platform};
