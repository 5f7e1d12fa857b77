//! Durations as people write them. spec: client-app 2

use std::time::Duration;

/// Reads a duration with units, such as `90s`, `1h 30m` or `30d`.
///
/// # Errors
///
/// Why it is none, for the user. A number without a unit is none, not even zero.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let has_unit = text.contains(|c: char| c.is_alphabetic());
    let parsed = has_unit
        .then(|| humantime::parse_duration(text).ok())
        .flatten();
    parsed.ok_or_else(|| {
        format!("`{text}` is no duration: give a number and a unit, such as 5m or 30d")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        for (text, seconds) in [
            ("90s", 90),
            ("90sec", 90),
            ("90 seconds", 90),
            ("1second", 1),
            ("5m", 300),
            ("5min", 300),
            ("5minutes", 300),
            ("1minute", 60),
            ("1h 30m", 5400),
            ("1h30m", 5400),
            ("1hr", 3600),
            ("2hours", 7200),
            ("1hour", 3600),
            ("30d", 2_592_000),
            ("1day", 86_400),
            ("30days", 2_592_000),
            ("1 week", 604_800),
            ("2w", 1_209_600),
            ("0s", 0),
            (" 5m ", 300),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_without_a_unit_and_nonsense_are_refused() {
        for text in [
            "",
            " ",
            "0",
            "5",
            "m",
            "5x",
            "-5m",
            "1h 30",
            "99999999999999999999s",
            "18446744073709551615w",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
