//! Durations as people write them. spec: client-app 2

use std::{str::FromStr, time::Duration};

/// A duration with units, such as `90s`, `1h 30m` or `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HumanDuration(pub(crate) Duration);

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault =
            || format!("{text:?} is no duration: give a number and a unit, such as 5m or 30d");
        let mut total = Duration::ZERO;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(fault());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let number: u64 = number.parse().map_err(|_| fault())?;
            let seconds = match unit {
                "s" | "sec" | "second" | "seconds" => 1,
                "m" | "min" | "minute" | "minutes" => 60,
                "h" | "hr" | "hour" | "hours" => 3600,
                "d" | "day" | "days" => 86_400,
                "w" | "week" | "weeks" => 604_800,
                _ => return Err(fault()),
            };
            let part = number.checked_mul(seconds).map(Duration::from_secs);
            total = part
                .and_then(|part| total.checked_add(part))
                .ok_or_else(fault)?;
            rest = tail.trim_start();
        }
        Ok(Self(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("1h 30m", 5400),
            ("1h30m", 5400),
            ("30d", 2_592_000),
            ("1 week", 0),
        ] {
            let parsed = text.parse::<HumanDuration>();
            match seconds {
                0 => assert!(parsed.is_err(), "{text}"),
                seconds => assert_eq!(parsed, Ok(HumanDuration(Duration::from_secs(seconds)))),
            }
        }
    }

    #[test]
    fn numbers_without_a_unit_and_nonsense_are_refused() {
        for text in [
            "",
            " ",
            "5",
            "m",
            "5x",
            "-5m",
            "99999999999999999999s",
            "18446744073709551615w",
        ] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }
}
