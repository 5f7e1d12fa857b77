//! UTC in lines and in names of files. spec: client-app 8.2, 8.3

use humantime::{format_rfc3339_millis, format_rfc3339_seconds};
use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

/// UTC with milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", line_stamp(SystemTime::now()))
    }
}

/// The time as lines have it: `2001-02-03T04:05:06.007Z`.
pub(crate) fn line_stamp(time: SystemTime) -> impl fmt::Display {
    format_rfc3339_millis(time.max(UNIX_EPOCH))
}

/// The time as names of files have it: `2001-02-03-04-05-06`.
pub(crate) fn file_stamp(time: SystemTime) -> String {
    let text = format_rfc3339_seconds(time.max(UNIX_EPOCH)).to_string();
    text.trim_end_matches('Z').replace(['T', ':'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn stamps_are_in_utc_and_have_fixed_widths() {
        for (milliseconds, line, file) in [
            (0, "1970-01-01T00:00:00.000Z", "1970-01-01-00-00-00"),
            (
                981_173_106_007,
                "2001-02-03T04:05:06.007Z",
                "2001-02-03-04-05-06",
            ),
            (
                951_782_400_000,
                "2000-02-29T00:00:00.000Z",
                "2000-02-29-00-00-00",
            ),
            (
                4_107_542_399_999,
                "2100-02-28T23:59:59.999Z",
                "2100-02-28-23-59-59",
            ),
        ] {
            let time = UNIX_EPOCH + Duration::from_millis(milliseconds);
            assert_eq!(line_stamp(time).to_string(), line);
            assert_eq!(file_stamp(time), file);
        }
    }

    #[test]
    fn a_clock_before_1970_shows_its_first_moment() {
        let time = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(line_stamp(time).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(file_stamp(time), "1970-01-01-00-00-00");
    }
}
