//! What a check found wrong, and where.

use std::fmt;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the root of the workspace.
    pub(crate) file: String,
    /// Counted from one.
    pub(crate) line: usize,
    /// What is wrong, without a full stop.
    pub(crate) what: String,
}

impl Finding {
    pub(crate) fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self {
            file: file.to_owned(),
            line,
            what,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what } = self;
        write!(f, "{file}:{line}: {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_can_jump_to_a_finding() {
        let finding = Finding::new("crates/model/src/id.rs", 7, "something is wrong");
        assert_eq!(
            finding.to_string(),
            "crates/model/src/id.rs:7: something is wrong"
        );
    }
}
