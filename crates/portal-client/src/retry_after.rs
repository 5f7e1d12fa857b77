//! The `Retry-After` header, RFC 9110 section 10.2.3.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the portal wants us to stay away: seconds or a date; a date in the past is zero.
///
/// Of the three forms of a date only the one that is still to be generated is read
/// (`Sun, 06 Nov 1994 08:49:37 GMT`).
pub(crate) fn parse(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // What does not fit a number is a long time, too; the caller caps it.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(date(text)?))?;
    Some(at.duration_since(now).unwrap_or(Duration::ZERO))
}

/// The Unix seconds of a date in the preferred form.
fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else {
        return None;
    };
    let day: u64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year: u64 = year.parse().ok().filter(|y| (1970..=9999).contains(y))?;
    let month = MONTHS.iter().position(|name| name == month)?;
    let month = u64::try_from(month).ok()? + 1;
    let mut clock = time.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let mut below = |limit| clock.next().flatten().filter(|&value| value < limit);
    let seconds = below(24)? * 3600 + below(60)? * 60 + below(61)?;
    Some(days(year, month, day) * 86_400 + seconds)
}

/// Days from 1970-01-01, counted in years that begin in March, so that leap days come last.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_years = year * 365 + year / 4 - year / 100 + year / 400;
    let of_months = (month * 153 + 2) / 5;
    of_years + of_months + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_counted_in_unix_seconds() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Fri, 31 Dec 1999 00:00:00 GMT", 946_598_400),
        ] {
            assert_eq!(date(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn seconds_and_dates_become_waits() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
            ("Sun, 40 Nov 1994 08:49:37 GMT", None),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(parse(text, now), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_wait_or_none(text: String) {
            parse(&text, UNIX_EPOCH);
        }

        #[test]
        fn any_date_is_after_the_one_before(day in 1_u64..28, month in 1_u64..=12, year in 1970_u64..9999) {
            prop_assert!(days(year, month, day) < days(year, month, day + 1));
            prop_assert_eq!(days(year, 12, 31) + 1, days(year + 1, 1, 1));
        }
    }
}
