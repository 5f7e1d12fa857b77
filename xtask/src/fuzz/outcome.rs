//! What the fuzzing engine says in the end.

use std::fmt;

/// What came of trying a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Whether no input broke anything.
    pub(crate) is_sound: bool,
    /// Inputs that were tried.
    executions: u64,
    /// Inputs that reached something new.
    new: u64,
    /// Edges that were reached at the end of the first half of the output, and at its end.
    coverage: (u64, u64),
}

impl Outcome {
    /// Reads what the engine printed.
    pub(crate) fn read(text: &str, is_sound: bool) -> Self {
        let statistic = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.trim().parse().ok())
                .unwrap_or(0)
        };
        let covered: Vec<u64> = text.lines().filter_map(coverage).collect();
        let at = |index: usize| covered.get(index).copied().unwrap_or(0);
        Self {
            is_sound,
            executions: statistic("stat::number_of_executed_units:"),
            new: statistic("stat::new_units_added:"),
            coverage: (at(covered.len() / 2), at(covered.len().saturating_sub(1))),
        }
    }
}

/// The edges that a line of progress tells.
fn coverage(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(" cov: ")?;
    rest.split_whitespace().next()?.parse().ok()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (half, end) = self.coverage;
        write!(
            f,
            "{}, {} inputs tried, {} of them new, {half} edges reached after half of those, {end} in all",
            if self.is_sound { "sound" } else { "BROKEN" },
            self.executions,
            self.new,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_understood() {
        let text = "#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                    #9\tNEW    cov: 25 ft: 30 corp: 2/5b lim: 4 exec/s: 0 rss: 30Mb L: 4/4 MS: 1 -\n\
                    #99\tDONE   cov: 27 ft: 31 corp: 3/9b lim: 4 exec/s: 9 rss: 30Mb\n\
                    stat::number_of_executed_units: 99\n\
                    stat::new_units_added:          2\n";
        let outcome = Outcome::read(text, true);
        assert_eq!((outcome.executions, outcome.new), (99, 2));
        assert_eq!(outcome.coverage, (25, 27));
        assert!(outcome.to_string().starts_with("sound, 99 inputs tried"));
        let broken = Outcome::read("", false);
        assert!(broken.to_string().starts_with("BROKEN, 0 inputs"));
    }
}
