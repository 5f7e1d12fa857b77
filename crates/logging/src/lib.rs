//! The log of the programs: what is shown, what a line looks like, and files that stay small.
//!
//! What it is not: it reads no environment and no command line, and knows no operating system. A
//! program says where files belong and how one is made; nothing is sent anywhere.
//!
//! # Contract
//!
//! [`start()`] once, and keep the [`Logging`] until the program ends: dropping it writes what still
//! waits. Lines go to a thread by a queue of 1024; what does not fit is counted, and the count is
//! written. Logging never blocks the caller on a disk.
//!
//! ```no_run
//! let logging = logging::start(logging::Options {
//!     base: "my-program",
//!     directives: "info,client=debug".into(),
//!     format: logging::Format::Text,
//!     stdout_time: logging::StdoutTime::Shown,
//!     file: None,
//! })?;
//! tracing::info!(version = "1.2.3", "Starting");
//! logging.set_filter("debug")?;
//! # Ok::<(), logging::LogError>(())
//! ```
//!
//! # Decisions
//!
//! * **A file that reaches 25 MiB is followed by another one**, so that the cap on all of them holds
//!   for programs that run for months, too.
//! * **Only files of the program's own name are removed** to keep below the cap: the directory may
//!   hold the logs of others.
//! * **Control characters are escaped.** Much of what is logged was said by others.

mod delete;
mod error;
mod file;
mod filter;
mod line;
mod listing;
mod options;
mod queue;
mod retention;
mod start;
mod time;

pub use delete::{Which, delete_logs};
pub use error::LogError;
pub use filter::check_filter;
pub use listing::{Entry, Listing};
pub use options::{CreateFile, Format, LogFiles, OpenListing, Options, StdoutTime};
pub use retention::{CAP, enforce_cap};
pub use start::{Logging, start};
