//! UTC in lines and in names of files. spec: client-app 8.2, 8.3

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
        Utc::now().write_line_stamp(writer)
    }
}

/// A point in time as a calendar and a clock show it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Utc {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u32,
}

impl Utc {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::from_unix(since.as_secs(), since.subsec_millis())
    }

    pub(crate) fn write_line_stamp(&self, writer: &mut impl fmt::Write) -> fmt::Result {
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

    pub(crate) fn file_stamp(&self) -> String {
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
}
