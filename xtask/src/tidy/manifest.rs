//! Manifests say nothing twice: members inherit from the workspace, and the workspace says why.

use super::finding::Finding;
use std::ops::Range;
use toml_edit::{Document, Item, TableLike};

/// Keys of `[package]` that have to come from the workspace.
const INHERITED: &[&str] = &["edition", "license", "publish", "rust-version", "version"];

/// Tables of dependencies, at the top and below a target.
const DEPENDENCIES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// A manifest, and what is wrong with it.
struct Manifest<'a> {
    path: &'a str,
    text: &'a str,
    findings: Vec<Finding>,
}

/// Checks a member's manifest.
pub(crate) fn check_member(path: &str, text: &str) -> Vec<Finding> {
    check(path, text, |manifest, root| {
        for key in INHERITED {
            let value = root.get("package").and_then(|package| package.get(key));
            if !value.is_some_and(inherits) {
                manifest.found(None, format!("`{key}` is not inherited from the workspace"));
            }
        }
        if !root.get("lints").is_some_and(inherits) {
            manifest.found(None, "lints are not inherited from the workspace");
        }
        manifest.check_dependencies(root);
        let targets = root.get("target").and_then(Item::as_table_like);
        for (_, target) in targets.into_iter().flat_map(TableLike::iter) {
            if let Some(target) = target.as_table_like() {
                manifest.check_dependencies(target);
            }
        }
    })
}

/// Checks the manifest of the workspace.
pub(crate) fn check_root(path: &str, text: &str) -> Vec<Finding> {
    check(path, text, |manifest, root| {
        let workspace = root.get("workspace");
        let dependencies = workspace.and_then(|workspace| workspace.get("dependencies"));
        if let Some(dependencies) = dependencies.and_then(Item::as_table_like) {
            for (name, item) in dependencies.iter() {
                manifest.check_shared(name, item, span_of(dependencies, name));
            }
        }
    })
}

fn check(
    path: &str,
    text: &str,
    checks: impl FnOnce(&mut Manifest<'_>, &dyn TableLike),
) -> Vec<Finding> {
    let mut manifest = Manifest {
        path,
        text,
        findings: Vec::new(),
    };
    match Document::parse(text) {
        Ok(document) => {
            let root: &dyn TableLike = document.as_table();
            for key in ["patch", "replace"] {
                if root.contains_key(key) {
                    manifest.found(span_of(root, key), "dependencies are not patched");
                }
            }
            checks(&mut manifest, root);
        }
        Err(error) => {
            let what = error.message().lines().next().unwrap_or("not TOML");
            manifest.found(error.span(), what);
        }
    }
    manifest.findings
}

impl Manifest<'_> {
    /// Notes what is wrong, in the line where `at` begins, or in the first one.
    fn found(&mut self, at: Option<Range<usize>>, what: impl Into<String>) {
        let before = at.and_then(|at| self.text.get(..at.start));
        let line = 1 + before.map_or(0, |before| before.matches('\n').count());
        self.findings.push(Finding::new(self.path, line, what));
    }

    /// What a member says about its dependencies.
    fn check_dependencies(&mut self, owner: &dyn TableLike) {
        for table in DEPENDENCIES {
            let Some(dependencies) = owner.get(table).and_then(Item::as_table_like) else {
                continue;
            };
            for (name, item) in dependencies.iter() {
                let at = span_of(dependencies, name);
                if item.as_table().is_some_and(|table| !table.is_dotted()) {
                    let what = format!("write `{name}` as one line, without a table of its own");
                    self.found(at.clone(), what);
                }
                if !inherits(item) {
                    let what = format!("`{name}` is not inherited from the workspace");
                    self.found(at.clone(), what);
                }
                for key in ["git", "path", "registry"] {
                    if item.get(key).is_some() {
                        self.found(at.clone(), format!("`{name}` has a `{key}` of its own"));
                    }
                }
            }
        }
    }

    /// What the workspace says about a dependency of its members.
    fn check_shared(&mut self, name: &str, item: &Item, at: Option<Range<usize>>) {
        let comment = at.clone().and_then(|at| self.comment_behind(item, &at));
        let mut found = |what: String| self.found(at.clone(), what);
        if item.is_table() {
            found("write dependencies as one line each".to_owned());
        }
        for key in ["git", "registry"] {
            if item.get(key).is_some() {
                found(format!(
                    "`{name}` has a `{key}`: only crates.io is a source"
                ));
            }
        }
        if let Some(path) = item.get("path") {
            let path = path.as_str().unwrap_or_default();
            if ![format!("crates/{name}"), name.replace('-', "/")].contains(&path.to_owned()) {
                found(format!("the path of `{name}` is not `crates/{name}`"));
            }
            return;
        }
        if item.get("default-features").and_then(Item::as_bool) != Some(false) {
            found(format!("`{name}` lacks `default-features = false`"));
        }
        if comment.is_none_or(|comment| comment.len() < 3) {
            found(format!("no comment says why `{name}` is needed"));
        }
    }

    /// The comment in the rest of the item's line.
    fn comment_behind(&self, item: &Item, key: &Range<usize>) -> Option<String> {
        let end = item.span().map_or(key.end, |span| span.end);
        let rest = self.text.get(end..)?.lines().next()?;
        let (_, comment) = rest.split_once('#')?;
        Some(comment.trim().to_owned())
    }
}

fn span_of(table: &dyn TableLike, key: &str) -> Option<Range<usize>> {
    table.key(key)?.span()
}

fn inherits(item: &Item) -> bool {
    item.get("workspace").and_then(Item::as_bool) == Some(true)
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
            "ring.version = \"0.17\"",
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
    fn what_is_no_toml_is_found_in_its_line() {
        let text = format!("{MEMBER}libc = [\n");
        let findings = found(check_member("x", &text));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].0 > 20, "{findings:?}");
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
