//! Logs on standard output and, if wanted, in a file. spec: client-app 8

use crate::host;
use anyhow::{Context as _, Result};
use std::{
    fmt,
    path::Path,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    fmt::{format::Writer, time::FormatTime},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// First part of the names of log files.
const BASE: &str = "firezone-headless-client";

/// What is quiet unless the user says otherwise. WireGuard reports sessions that expire as they
/// should as errors.
const QUIET: &str = "boringtun=off,netlink_proto=warn,netlink_packet_route=warn,rustls=warn,\
                     hickory_proto=info,is=warn";

/// Starts logging.
pub(crate) fn start(directives: &str, directory: Option<&Path>) -> Result<()> {
    let stdout = tracing_subscriber::fmt::layer()
        .with_timer(Milliseconds)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout()))
        .with_filter(filter(directives)?);
    let file = match directory {
        Some(directory) => {
            let file = host::create_log_file(directory, BASE, &Utc::now().file_stamp())
                .with_context(|| format!("cannot write logs to {}", directory.display()))?;
            let layer = tracing_subscriber::fmt::layer()
                .with_timer(Milliseconds)
                .with_ansi(false)
                .with_writer(Mutex::new(file))
                .with_filter(filter(directives)?);
            Some(layer)
        }
        None => None,
    };
    tracing_subscriber::registry()
        .with(stdout)
        .with(file)
        .init();
    Ok(())
}

/// What the user wants to see; it overrides what is quiet.
fn filter(directives: &str) -> Result<EnvFilter> {
    let all = format!("{QUIET},{directives}");
    EnvFilter::try_new(all).with_context(|| format!("{directives:?} is no log filter"))
}

/// UTC with milliseconds.
struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        Utc::now().write_line_stamp(writer)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Utc {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u32,
}

impl Utc {
    fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::from_unix(since.as_secs(), since.subsec_millis())
    }

    fn write_line_stamp(&self, writer: &mut impl fmt::Write) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            millisecond,
        } = self;
        write!(
            writer,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
        )
    }

    fn file_stamp(&self) -> String {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        format!("{year:04}-{month:02}-{day:02}-{hour:02}-{minute:02}-{second:02}")
    }

    /// The civil date of a day count, counted in eras of 400 years that begin in March, so that
    /// the leap day is the last of its year.
    fn from_unix(seconds: u64, millisecond: u32) -> Self {
        let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: of_year - (153 * march_month + 2) / 5 + 1,
            hour: time / 3600,
            minute: time / 60 % 60,
            second: time % 60,
            millisecond,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates_are_right() {
        for (seconds, date) in [
            (0, (1970, 1, 1)),
            (951_782_400, (2000, 2, 29)),
            (951_868_800, (2000, 3, 1)),
            (1_753_321_013, (2025, 7, 24)),
            (4_107_542_399, (2100, 2, 28)),
            (4_107_542_400, (2100, 3, 1)),
        ] {
            let utc = Utc::from_unix(seconds, 0);
            assert_eq!((utc.year, utc.month, utc.day), date, "{seconds}");
        }
        let utc = Utc::from_unix(1_753_321_013, 123);
        assert_eq!(
            (utc.hour, utc.minute, utc.second, utc.millisecond),
            (1, 36, 53, 123)
        );
    }

    #[test]
    fn stamps_of_lines_and_files_have_fixed_widths() {
        let utc = Utc::from_unix(981_173_106, 7);
        let mut line = String::new();
        utc.write_line_stamp(&mut line).unwrap();
        assert_eq!(line, "2001-02-03T04:05:06.007Z");
        assert_eq!(utc.file_stamp(), "2001-02-03-04-05-06");
    }

    #[test]
    fn filters_are_levels_and_targets() {
        for good in ["info", "debug,client=trace", "off", "rustls=trace", ""] {
            assert!(filter(good).is_ok(), "{good:?}");
        }
        for bad in ["client=loud", "a=b=c", "info,=,"] {
            let error = filter(bad).unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn what_the_user_says_overrides_what_is_quiet() {
        let text = filter("info,rustls=trace").unwrap().to_string();
        assert!(
            text.contains("rustls=trace") && !text.contains("rustls=warn"),
            "{text}"
        );
        assert!(text.contains("netlink_proto=warn"), "{text}");
    }
}
