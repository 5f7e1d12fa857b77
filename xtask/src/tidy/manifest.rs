//! Manifests say nothing twice: members inherit from the workspace, and the workspace says why.

use super::finding::Finding;

/// Keys of `[package]` that have to come from the workspace.
const INHERITED: &[&str] = &["edition", "license", "publish", "rust-version", "version"];

/// One assignment; those over several lines are joined.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    section: String,
    key: String,
    value: String,
    comment: String,
    line: usize,
}

/// Checks a member's manifest.
pub(crate) fn check_member(path: &str, text: &str) -> Vec<Finding> {
    let entries = entries(text);
    let mut findings = forbidden_sections(path, text);
    for key in INHERITED {
        if !entries
            .iter()
            .any(|entry| entry.section == "package" && inherits(entry, key))
        {
            let what = format!("`{key}` is not inherited from the workspace");
            findings.push(Finding::new(path, 1, what));
        }
    }
    let lints = |entry: &Entry| {
        entry.section == "lints" && entry.key == "workspace" && entry.value == "true"
    };
    if !entries.iter().any(lints) {
        findings.push(Finding::new(
            path,
            1,
            "lints are not inherited from the workspace",
        ));
    }
    for entry in &entries {
        if is_dependencies(&entry.section) {
            let name = entry.key.trim_end_matches(".workspace");
            if !inherits(entry, name) {
                let what = format!("`{name}` is not inherited from the workspace");
                findings.push(Finding::new(path, entry.line, what));
            }
            for key in ["git", "path", "registry"] {
                if has_key(&entry.value, key) {
                    let what = format!("`{name}` has a `{key}` of its own");
                    findings.push(Finding::new(path, entry.line, what));
                }
            }
        } else if let Some((section, name)) = entry.section.rsplit_once('.')
            && is_dependencies(section)
        {
            let what = format!("write `{name}` as one line, without a table of its own");
            findings.push(Finding::new(path, entry.line, what));
        }
    }
    findings
}

/// Checks the manifest of the workspace.
pub(crate) fn check_root(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = forbidden_sections(path, text);
    for entry in entries(text) {
        if entry.section.starts_with("workspace.dependencies.") {
            let what = "write dependencies as one line each";
            findings.push(Finding::new(path, entry.line, what));
        }
        if entry.section != "workspace.dependencies" {
            continue;
        }
        let Entry {
            key,
            value,
            comment,
            line,
            ..
        } = &entry;
        let mut found = |what: String| findings.push(Finding::new(path, *line, what));
        for forbidden in ["git", "registry"] {
            if has_key(value, forbidden) {
                found(format!(
                    "`{key}` has a `{forbidden}`: only crates.io is a source"
                ));
            }
        }
        if has_key(value, "path") {
            if !value.contains(&format!("\"crates/{key}\"")) {
                found(format!("the path of `{key}` is not `crates/{key}`"));
            }
            continue;
        }
        if !value.replace(' ', "").contains("default-features=false") {
            found(format!("`{key}` lacks `default-features = false`"));
        }
        if comment.trim().len() < 3 {
            found(format!("no comment says why `{key}` is needed"));
        }
    }
    findings
}

fn forbidden_sections(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| line.starts_with("[patch") || line.starts_with("[replace"))
        .map(|(index, _)| Finding::new(path, index + 1, "dependencies are not patched"))
        .collect()
}

fn is_dependencies(section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or_default();
    ["dependencies", "dev-dependencies", "build-dependencies"].contains(&last)
        && !section.starts_with("workspace")
}

fn inherits(entry: &Entry, key: &str) -> bool {
    let value = entry.value.replace(' ', "");
    entry.key == format!("{key}.workspace") && value == "true"
        || entry.key == key
            && has_key(&entry.value, "workspace")
            && value.contains("workspace=true")
}

/// Whether an inline table has the key.
fn has_key(value: &str, key: &str) -> bool {
    let Some(table) = value.trim().strip_prefix('{') else {
        return false;
    };
    let spaceless = table.replace(' ', "");
    spaceless.starts_with(&format!("{key}=")) || spaceless.contains(&format!(",{key}="))
}

fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = String::new();
    let mut depth = 0_usize;
    for (index, raw) in text.lines().enumerate() {
        let (code, comment) = split_comment(raw);
        let code = code.trim();
        if depth > 0 {
            if let Some(last) = entries.last_mut() {
                last.value.push_str(code);
                depth = open_brackets(&last.value);
            }
        } else if let Some(name) = code.strip_prefix('[') {
            name.trim_matches(['[', ']', ' ']).clone_into(&mut section);
        } else if let Some((key, value)) = split_assignment(code) {
            depth = open_brackets(value);
            entries.push(Entry {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                comment: comment.to_owned(),
                line: index + 1,
            });
        }
    }
    entries
}

fn split_assignment(code: &str) -> Option<(&str, &str)> {
    let at = outside_quotes(code).find(|&(_, c)| c == '=')?.0;
    Some((&code[..at], &code[at + 1..]))
}

fn split_comment(line: &str) -> (&str, &str) {
    let hash = outside_quotes(line).find(|&(_, c)| c == '#');
    hash.map_or((line, ""), |(at, _)| (&line[..at], &line[at + 1..]))
}

fn open_brackets(value: &str) -> usize {
    outside_quotes(value).fold(0, |depth: usize, (_, c)| match c {
        '[' | '{' => depth + 1,
        ']' | '}' => depth.saturating_sub(1),
        _ => depth,
    })
}

fn outside_quotes(line: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let mut quote = None;
    line.char_indices().filter(move |&(_, c)| match quote {
        None if c == '"' || c == '\'' => {
            quote = Some(c);
            false
        }
        None => true,
        Some(open) => {
            if c == open {
                quote = None;
            }
            false
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: &str = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\npublish = { workspace = true }\n\n\
        [lints]\nworkspace = true\n\n[dependencies]\nring.workspace = true\n\
        tokio = { workspace = true, features = [\n    \"rt\", # a comment\n    \"net\",\n] }\n\n\
        [target.'cfg(target_os = \"linux\")'.dependencies]\nlibc.workspace = true\n";

    const ROOT: &str = "[workspace.dependencies]\nmodel = { path = \"crates/model\" }\n\n\
        ring = { version = \"0.17\", default-features = false } # digests\n";

    fn found(findings: Vec<Finding>) -> Vec<(usize, String)> {
        findings.into_iter().map(|f| (f.line, f.what)).collect()
    }

    #[test]
    fn members_that_inherit_everything_pass() {
        assert_eq!(found(check_member("x", MEMBER)), []);
    }

    #[test]
    fn every_key_has_to_be_inherited() {
        for (inherited, own) in [
            ("\nversion.workspace = true", "\nversion = \"1.0.0\""),
            ("edition.workspace = true", "edition = \"2021\""),
            ("rust-version.workspace = true", ""),
            ("license.workspace = true", "license = \"MIT\""),
            ("publish = { workspace = true }", "publish = true"),
            (
                "[lints]\nworkspace = true",
                "[lints.rust]\nmissing_docs = \"warn\"",
            ),
            ("[lints]\nworkspace = true", "[lints]\nworkspace = false"),
        ] {
            let text = MEMBER.replace(inherited, own);
            assert_ne!(text, MEMBER);
            assert_eq!(check_member("x", &text).len(), 1, "{own}");
        }
    }

    #[test]
    fn dependencies_have_to_be_inherited() {
        for own in [
            "ring = \"0.17\"",
            "ring = { version = \"0.17\" }",
            "ring = { workspace = false }",
            "ring = { workspace = true, path = \"../ring\" }",
            "ring = { workspace = true, git = \"https://example.test\" }",
        ] {
            let text = MEMBER.replace("ring.workspace = true", own);
            assert_eq!(check_member("x", &text).len(), 1, "{own}");
        }
        let text = format!("{MEMBER}[dependencies.lru]\nworkspace = true\n");
        assert_eq!(check_member("x", &text).len(), 1);
        let text = MEMBER.replace("libc.workspace = true", "libc = \"0.2\"");
        assert_eq!(
            found(check_member("x", &text)),
            [(20, "`libc` is not inherited from the workspace".to_owned())]
        );
    }

    #[test]
    fn nothing_is_patched() {
        for section in ["[patch.crates-io]", "[replace]"] {
            let text = format!("{MEMBER}\n{section}\n");
            assert_eq!(check_member("x", &text).len(), 1);
            assert_eq!(check_root("x", &format!("{ROOT}\n{section}\n")).len(), 1);
        }
    }

    #[test]
    fn the_workspace_says_why_and_switches_default_features_off() {
        assert_eq!(found(check_root("x", ROOT)), []);
        for (bad, what) in [
            (
                "a = { version = \"1\", default-features = false }",
                "no comment says why `a` is needed",
            ),
            (
                "a = { version = \"1\" } # why",
                "`a` lacks `default-features = false`",
            ),
            ("a = \"1\" # why", "`a` lacks `default-features = false`"),
            (
                "a = { git = \"https://example.test/#x\", default-features = false } # why",
                "`a` has a `git`: only crates.io is a source",
            ),
            (
                "a = { path = \"../a\" }",
                "the path of `a` is not `crates/a`",
            ),
        ] {
            let text = format!("{ROOT}{bad}\n");
            assert_eq!(
                found(check_root("x", &text)),
                [(5, what.to_owned())],
                "{bad}"
            );
        }
    }
}
