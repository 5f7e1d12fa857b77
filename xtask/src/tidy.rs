//! `cargo xtask tidy`: what the house holds to and cargo does not know.
//!
//! Every check is a function from text or metadata to findings; only this file and
//! [`files`] read anything.

mod arrows;
mod budget;
mod circles;
mod citations;
mod files;
mod finding;
mod lexer;
mod logs;
mod manifest;
mod metadata;
mod purity;
mod source;
mod text;
mod tolerated;

use crate::workspace;
use anyhow::{Context as _, Result, bail};
use citations::Citable;
use files::Files;
use finding::Finding;
use serde_json::Value;
use source::Source;
use std::fs;

/// Options of `cargo xtask tidy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Prints all findings; fails if there is one.
#[expect(clippy::print_stdout, reason = "findings are the output of the task")]
pub(crate) fn run(_args: &Args) -> Result<()> {
    let root = workspace::root();
    let deny = fs::read_to_string(root.join("deny.toml")).context("deny.toml")?;
    let mut findings = check(&files::read(&root)?, &deny);
    match cargo_metadata() {
        Ok(metadata) => findings.extend(arrows::check(&metadata)),
        Err(error) => findings.push(Finding::new("Cargo.lock", 1, format!("{error:#}"))),
    }
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("tidy found places that break a rule: {count}"),
    }
}

/// All checks of texts.
fn check(files: &Files, deny: &str) -> Vec<Finding> {
    let sources = files
        .rust
        .iter()
        .map(|(path, text)| Source::new(path, text));
    let mut sources: Vec<Source> = sources.collect();
    source::mark_test_modules(&mut sources);

    let citable = Citable::new(&files.documents);
    let mut findings = budget::check(&sources);
    findings.extend(circles::check(&sources));
    for source in &sources {
        findings.extend(citable.check_source(source));
        findings.extend(logs::check(source));
        findings.extend(purity::check(source));
        findings.extend(text::check_source(source));
    }
    for (path, manifest) in &files.manifests {
        findings.extend(manifest::check_member(path, manifest));
    }
    for (path, document) in files.manifests.iter().chain(&files.documents) {
        findings.extend(citable.check_document(path, document));
        findings.extend(text::check_document(path, document));
        if path == arrows::DRAWING {
            findings.extend(arrows::check_drawing(path, document));
        }
        if path == "Cargo.toml" {
            findings.extend(manifest::check_root(path, document));
        }
    }
    findings.extend(tolerated::check(deny));
    findings
}

fn cargo_metadata() -> Result<Value> {
    let output = workspace::cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().map(str::trim).collect();
        bail!("cargo metadata: {}", said.join(" "));
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn file(path: &str, text: &str) -> (String, String) {
        (path.to_owned(), text.to_owned())
    }

    #[test]
    fn every_check_is_asked() {
        let files = Files {
            rust: vec![
                file(
                    "crates/model/src/a.rs",
                    "fn f() { Instant::now().unwrap() }\n",
                ),
                file(
                    "crates/model/src/b.rs",
                    &format!("//! b\n{}", "\n".repeat(700)),
                ),
            ],
            manifests: vec![file("crates/model/Cargo.toml", "[patch.crates-io]\n")],
            documents: vec![
                file(
                    "Cargo.toml",
                    "[workspace.dependencies]\nring = \"1\" # why\n",
                ),
                file("docs/x.md", concat!("TO", "DO\n")),
            ],
        };
        let metadata = metadata::fixture::workspace(&[("model", &[]), ("utils", &[])]);
        let deny = "[bans]\nskip = [\n    \"nonsense\",\n]\n";
        let mut findings = check(&files, deny);
        findings.extend(arrows::check(&metadata));
        let found: BTreeSet<_> = findings.iter().map(|f| (f.file.as_str(), f.line)).collect();
        let places = [
            ("Cargo.toml", 2),
            ("crates/model/Cargo.toml", 1),
            ("crates/model/src/a.rs", 1),
            ("crates/model/src/b.rs", 1),
            ("crates/utils/Cargo.toml", 1),
            ("deny.toml", 3),
            ("docs/x.md", 1),
        ];
        assert_eq!(found, places.into());
        let in_a = findings
            .iter()
            .filter(|f| f.file == "crates/model/src/a.rs")
            .count();
        assert_eq!(in_a, 3, "impure, unwrapped and undocumented");
    }
}
