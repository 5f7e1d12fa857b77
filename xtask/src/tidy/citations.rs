//! Citations of the specification lead to a section of `docs/spec`, and those of decisions to a page
//! of `docs/decisions`.

use super::{finding::Finding, source::Source};
use std::collections::{BTreeMap, BTreeSet};

/// Where the documents are.
const FOLDER: &str = "docs/spec/";

/// Where the decisions are.
const DECISIONS: &str = "docs/decisions/";

/// What starts a citation in a comment.
const MARK: &str = "spec:";

/// What can be cited.
#[derive(Debug, Default)]
pub(crate) struct Citable {
    /// The numbers of all sections, by the name of the document.
    sections: BTreeMap<String, BTreeSet<String>>,
    /// The numbers of all decisions.
    decisions: BTreeSet<String>,
}

impl Citable {
    /// Collects the headings of the specification and the names of decisions.
    pub(crate) fn new(documents: &[(String, String)]) -> Self {
        let (mut sections, mut decisions) = (BTreeMap::new(), BTreeSet::new());
        for (path, text) in documents {
            if let Some((number, _)) = decision_of(path) {
                decisions.insert(number.to_owned());
            }
            let name = path.strip_prefix(FOLDER);
            if let Some(name) = name.and_then(|file| file.strip_suffix(".md"))
                && name != "README"
            {
                sections.insert(name.to_owned(), headings(text));
            }
        }
        Self {
            sections,
            decisions,
        }
    }

    /// Checks the comments of a Rust file.
    pub(crate) fn check_source(&self, source: &Source) -> Vec<Finding> {
        let comments = &source.masked.comments;
        let mut findings = self.check_decisions(&source.path, comments);
        for (at, _) in comments.match_indices(MARK) {
            let line = 1 + comments[..at].matches('\n').count();
            let citation = Reader(&comments[at + MARK.len()..]).citation();
            let whats = match citation {
                Some((name, numbers)) if self.sections.contains_key(name) => {
                    self.unknown(name, &numbers).collect()
                }
                _ => vec![format!(
                    "a citation reads `spec: DOCUMENT SECTION`, and the documents are in {FOLDER}"
                )],
            };
            findings.extend(
                whats
                    .into_iter()
                    .map(|what| Finding::new(&source.path, line, what)),
            );
        }
        findings
    }

    /// Checks a document, in which the name of one of the specification and a number are a citation.
    pub(crate) fn check_document(&self, path: &str, text: &str) -> Vec<Finding> {
        let mut findings = self.check_decisions(path, text);
        for (index, line) in text.lines().enumerate() {
            for name in self.sections.keys() {
                for (at, _) in line.match_indices(&format!("{name} ")) {
                    let before = line[..at].chars().next_back();
                    if before.is_some_and(|c| c.is_alphanumeric() || "-/`".contains(c)) {
                        continue;
                    }
                    if let Some((_, numbers)) = Reader(&line[at..]).citation() {
                        let whats = self.unknown(name, &numbers);
                        findings.extend(whats.map(|what| Finding::new(path, index + 1, what)));
                    }
                }
            }
        }
        findings
    }

    /// Every `decision 0007` has a page.
    fn check_decisions(&self, path: &str, text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, line) in text.lines().enumerate() {
            for (at, mark) in line.match_indices("decision ") {
                let number = Reader(&line[at + mark.len()..])
                    .number()
                    .unwrap_or_default();
                if number.starts_with('0') && !self.decisions.contains(number) {
                    let what = format!("{DECISIONS} has no decision {number}");
                    findings.push(Finding::new(path, index + 1, what));
                }
            }
        }
        findings
    }

    fn unknown(&self, name: &str, numbers: &[&str]) -> impl Iterator<Item = String> {
        let known = self.sections.get(name);
        let is_missing = |number: &&&str| known.is_none_or(|known| !known.contains(**number));
        let whats = numbers.iter().filter(is_missing);
        let whats = whats.map(|number| format!("{FOLDER}{name}.md has no section {number}"));
        whats.collect::<Vec<_>>().into_iter()
    }
}

/// The number of a decision in the path of its page, and the rest.
fn decision_of(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix(DECISIONS)?.split_once('-')
}

/// The numbers of all headings that have one, outside of code.
fn headings(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut numbers = BTreeSet::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        let title = line.trim_start_matches('#');
        if is_code || title.len() == line.len() {
            continue;
        }
        let number = title.split_whitespace().next().unwrap_or_default();
        let number = number.trim_end_matches('.');
        if number.starts_with(|c: char| c.is_ascii_digit()) {
            numbers.insert(number.to_owned());
        }
    }
    numbers
}

/// What is left of a text.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    /// A document and at least one section.
    fn citation(mut self) -> Option<(&'a str, Vec<&'a str>)> {
        self.skip_blank();
        let name = self.take(|c| c.is_ascii_lowercase() || c == '-')?;
        self.skip_blank();
        let mut numbers = vec![self.number()?];
        while let Some(rest) = self.0.strip_prefix(',') {
            self.0 = rest;
            self.skip_blank();
            let Some(number) = self.number() else { break };
            numbers.push(number);
        }
        Some((name, numbers))
    }

    fn number(&mut self) -> Option<&'a str> {
        let number = self.take(|c| c.is_ascii_digit() || c == '.')?;
        let number = number.trim_end_matches('.');
        (!number.is_empty()).then_some(number)
    }

    fn take(&mut self, is_part: impl Fn(char) -> bool) -> Option<&'a str> {
        let end = self.0.find(|c| !is_part(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        (end > 0).then_some(taken)
    }

    /// A citation may go on in the next line of a comment.
    fn skip_blank(&mut self) {
        self.0 = self.0.trim_start();
        for marker in ["//!", "///", "//"] {
            if let Some(rest) = self.0.strip_prefix(marker) {
                self.0 = rest.trim_start();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn citable() -> Citable {
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        Citable::new(&[
            file(
                "docs/spec/portal.md",
                "# Portal\n## 4. Life\n### 4.1 Back-off\n```\n## 9. In code\n```\n## 11. Safety\n",
            ),
            file("docs/spec/README.md", "## 1. No document\n"),
            file("docs/other.md", "## 2. Elsewhere\n"),
            file("docs/decisions/0007-why.md", "# 0007: Why\n"),
        ])
    }

    fn in_source(text: &str) -> Vec<(usize, String)> {
        let findings = citable().check_source(&Source::new("crates/x/src/x.rs", text));
        findings.into_iter().map(|f| (f.line, f.what)).collect()
    }

    #[test]
    fn citations_that_lead_somewhere_pass() {
        for text in [
            "/// Waits. spec: portal 4.1\n",
            "//! Waits. spec: portal 4, 4.1, 11.\n",
            "/// Waits. spec: portal 4.1,\n/// 11\n",
            "/// Waits. spec:\n    /// portal 4.1 and more\n",
            "let spec: Spec = \"spec: portal 99\";\n",
        ] {
            assert_eq!(in_source(text), [], "{text}");
        }
    }

    #[test]
    fn citations_that_lead_nowhere_are_found() {
        let none = |number| format!("docs/spec/portal.md has no section {number}");
        for (text, line, what) in [
            ("\n// spec: portal 4.2\n", 2, none("4.2")),
            ("/// spec: portal 4.1,\n/// 12\n", 1, none("12")),
            ("/// spec: portal 9\n", 1, none("9")),
        ] {
            assert_eq!(in_source(text), [(line, what)], "{text}");
        }
        for text in [
            "// spec: README 1\n",
            "// spec: portal\n",
            "// spec: other 2\n",
            "// spec: nothing of ours\n",
        ] {
            assert_eq!(in_source(text).len(), 1, "{text}");
            assert!(in_source(text)[0].1.starts_with("a citation reads"));
        }
    }

    #[test]
    fn documents_cite_without_a_mark() {
        let check = |text: &str| citable().check_document("docs/x.md", text).len();
        assert_eq!(check("as the specification (portal 4.1, 11) has it"), 0);
        assert_eq!(check("as the specification (portal 4.2, 11) has it"), 1);
        assert_eq!(check("a portal of 2025, or the portal, 12 times"), 0);
        assert_eq!(check("the dev-portal 12"), 0);
    }

    #[test]
    fn decisions_have_pages() {
        let what = "docs/decisions/ has no decision 0008".to_owned();
        assert_eq!(in_source("/// Waits, by decision 0007.\n"), []);
        assert_eq!(in_source("/// Waits, by decision 0008.\n"), [(1, what)]);
        assert_eq!(in_source("/// A decision 2 was to be made.\n"), []);
    }
}
