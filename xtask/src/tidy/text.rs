//! What no file may contain, and what every file has to.

use super::{
    finding::Finding,
    source::{Source, contains},
};

/// Left-overs of unfinished work. In pieces, so that this file may be checked, too.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Texts speak about the matter, not about who or what wrote them.
const AUTHORSHIP: &[&str] = &[
    concat!("co-", "author"),
    concat!("co", "pilot"),
    concat!("chat", "bot"),
    concat!("language", " model"),
    concat!("as an ", "ai"),
    concat!("ai ", "assistant"),
    concat!("ai-", "generated"),
    concat!("generated", " with"),
    concat!("was ", "written by"),
];

/// Folders of one machine.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk"),
    concat!("/ro", "ot"),
    concat!("/ho", "me"),
    concat!("/t", "mp"),
];

/// Lines between a comment and the code that it is about.
const NEAR: usize = 3;

/// Checks a Rust file.
pub(crate) fn check_source(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let first = source.text.lines().next().unwrap_or_default();
    if !first.starts_with("//!") {
        findings.push(Finding::new(
            &source.path,
            1,
            "no `//!` line says what the file is",
        ));
    }
    if source.path.ends_with("/mod.rs") {
        let what = "a module is `name.rs` with a folder `name` beside it";
        findings.push(Finding::new(&source.path, 1, what));
    }
    let comments = source.masked.comments.lines();
    let lines = source
        .masked
        .code
        .lines()
        .zip(comments)
        .zip(source.text.lines());
    for (index, ((code, comment), raw)) in lines.enumerate() {
        let line = index + 1;
        let mut found = |what: &str| findings.push(Finding::new(&source.path, line, what));
        if code.contains("#[allow(") || code.contains("#![allow(") {
            found("`allow` hides what it is about: use `expect` with a reason");
        }
        if code.contains(".unwrap()") && !source.is_test(line) {
            found("`unwrap` outside of tests");
        }
        if contains(code, "unsafe") && !is_explained(source, index) {
            found("`unsafe` without a SAFETY comment right above");
        }
        if !source.is_test(line) {
            machine_path(raw).inspect(|path| found(&format!("`{path}` is a path of one machine")));
        }
        prose(comment).into_iter().for_each(|what| found(&what));
    }
    findings
}

/// Checks any other text.
pub(crate) fn check_document(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let mut found = |what: String| findings.push(Finding::new(path, index + 1, what));
        machine_path(raw).inspect(|path| found(format!("`{path}` is a path of one machine")));
        prose(raw).into_iter().for_each(found);
    }
    findings
}

fn prose(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let unfinished = UNFINISHED.iter().filter(|word| contains(text, word));
    let authorship = AUTHORSHIP.iter().filter(|word| contains(&lower, word));
    unfinished
        .map(|word| format!("`{word}`: finish it or leave it out"))
        .chain(authorship.map(|word| format!("`{word}` speaks about who wrote the text")))
        .collect()
}

/// A path that starts at one of the folders and is no part of a longer one.
fn machine_path(text: &str) -> Option<&'static str> {
    let starts = |at: usize| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "/._-}>*".contains(c))
    };
    let ends = |at: usize| {
        let after = text[at..].chars().next();
        !after.is_some_and(|c| c.is_alphanumeric() || "_-".contains(c))
    };
    let mut paths = MACHINE_PATHS.iter().copied();
    paths.find(|path| {
        text.match_indices(path)
            .any(|(at, _)| starts(at) && ends(at + path.len()))
    })
}

/// Whether a comment within the lines above, or in the block of comments they touch, explains.
fn is_explained(source: &Source, index: usize) -> bool {
    let comments: Vec<&str> = source.masked.comments.lines().take(index + 1).collect();
    let explains = |line: &str| line.contains("SAFETY:") || line.contains("# Safety");
    let mut left = NEAR;
    for (distance, comment) in comments.iter().rev().enumerate() {
        if explains(comment) {
            return true;
        }
        if distance > 0 && comment.trim().is_empty() {
            left -= 1;
        }
        if left == 0 {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let findings = check_source(&Source::new("crates/x/src/x.rs", text));
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn every_file_says_what_it_is() {
        assert_eq!(lines("//! What it is.\nfn f() {}\n"), [0; 0]);
        for text in ["", "fn f() {}\n", "// no\n", "/// no\nfn f() {}\n"] {
            assert_eq!(lines(text), [1], "{text:?}");
        }
    }

    #[test]
    fn bad_lines_are_found() {
        for line in [
            "#[allow(dead_code)]",
            "#![allow(dead_code)]",
            "let x = y.unwrap();",
            "unsafe { f() }",
            "unsafe impl Send for X {}",
            concat!("// TO", "DO: later"),
            concat!("/// FIX", "ME"),
            concat!("let x = 1; // XX", "X"),
            concat!("// Gener", "ated with a tool."),
            concat!("const P: &str = \"/ho", "me/me\";"),
            concat!("// Look into /t", "mp for it."),
        ] {
            assert_eq!(lines(&format!("//! x\n{line}\n")), [2], "{line}");
        }
    }

    #[test]
    fn modules_are_not_called_mod() {
        let found = |path: &str| check_source(&Source::new(path, "//! A.\n")).len();
        assert_eq!(found("crates/x/src/a/mod.rs"), 1);
        assert_eq!(found("crates/x/src/mod_a.rs"), 0);
    }

    #[test]
    fn good_lines_are_not_found() {
        for line in [
            "#[expect(dead_code, reason = \"x\")]",
            "let x = y.unwrap_or(z);",
            "/// let x = y.unwrap();",
            "let x = \"#[allow(dead_code)]\";",
            "// The word unsafe.",
            "// A log file in /var/log, made by hand.",
            "let url = \"https://example.test/work\";",
            "let x = \"crates/root/x\";",
            "#[cfg(test)]\nmod tests { fn f() { g(\"/tmp/x\").unwrap(); } }",
        ] {
            assert_eq!(lines(&format!("//! x\n{line}\n")), [0; 0], "{line}");
        }
    }

    #[test]
    fn unsafe_code_is_explained_right_above() {
        for (text, found) in [
            ("// SAFETY: x\nunsafe { f() }", false),
            ("// SAFETY: x\n#[a]\nlet y =\n    unsafe { f() };", false),
            (
                "// SAFETY: x\n// y\n// z\n// a\n// b\nunsafe { f() }",
                false,
            ),
            ("// SAFETY: x\na();\nb();\nc();\nunsafe { f() }", true),
            ("let a = unsafe { f() }; // SAFETY: x", false),
            ("/// # Safety\n///\n/// x\nunsafe fn f() {}", false),
        ] {
            assert_eq!(
                !lines(&format!("//! x\n{text}\n")).is_empty(),
                found,
                "{text}"
            );
        }
    }

    #[test]
    fn documents_are_checked_too() {
        let text = format!(
            "fine\n{}\n{}\n",
            concat!("TO", "DO"),
            concat!("cd /wo", "rk/x")
        );
        let findings = check_document("docs/x.md", &text);
        let lines: Vec<_> = findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 3]);
    }
}
