//! Sources, licences and duplicates of everything the lock file names. The rules are those of
//! `deny.toml`; this check needs no other program and no network.

use super::{
    finding::Finding,
    license::Expression,
    metadata::{list, text},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// The only source.
pub(crate) const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Where all is written down.
const LOCK: &str = "Cargo.lock";
const DENY: &str = "deny.toml";

/// What `deny.toml` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    licenses: Vec<Allowed>,
    skipped: Vec<Skipped>,
}

#[derive(Debug, PartialEq, Eq)]
struct Allowed {
    license: String,
    line: usize,
}

/// A version of a crate that may stand beside another one.
#[derive(Debug, PartialEq, Eq)]
struct Skipped {
    name: String,
    version: String,
    line: usize,
}

impl Skipped {
    /// Whether the version, which may leave out its last parts, is meant.
    fn covers(&self, name: &str, version: &str) -> bool {
        let rest = version.strip_prefix(&self.version);
        self.name == name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl Rules {
    /// Reads the two lists out of `deny.toml`: one entry per line, each with its reason.
    pub(crate) fn parse(deny: &str) -> (Self, Vec<Finding>) {
        let mut rules = Self::default();
        let mut findings = Vec::new();
        let mut inside = "";
        for (index, raw) in deny.lines().enumerate() {
            let line = index + 1;
            let code = raw.trim();
            match code {
                "allow = [" | "skip = [" => inside = &code[..code.len() - 4],
                "]" => inside = "",
                "" => {}
                _ if code.starts_with('#') => {}
                _ if inside == "allow" => rules.licenses.push(Allowed {
                    license: code.trim_matches(['"', ',']).to_owned(),
                    line,
                }),
                _ if inside == "skip" => match Self::skipped(code, line) {
                    Ok(skipped) => rules.skipped.push(skipped),
                    Err(what) => findings.push(Finding::new(DENY, line, what)),
                },
                _ => {}
            }
        }
        (rules, findings)
    }

    fn skipped(code: &str, line: usize) -> Result<Skipped, String> {
        let value = |key: &str| {
            let (_, rest) = code.split_once(&format!("{key} = \""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let (name, version) = value("crate")
            .and_then(|spec| spec.split_once('@'))
            .ok_or("a tolerated duplicate reads { crate = \"name@version\", reason = \"…\" }")?;
        if value("reason").is_none_or(|reason| reason.len() < 10) {
            return Err(format!("no reason says why {name} {version} is tolerated"));
        }
        Ok(Skipped {
            name: name.to_owned(),
            version: version.to_owned(),
            line,
        })
    }
}

/// Checks all packages.
pub(crate) fn check(metadata: &Value, rules: &Rules) -> Vec<Finding> {
    let mut findings = sources(metadata);
    findings.extend(licenses(metadata, &rules.licenses));
    findings.extend(duplicates(metadata, &rules.skipped));
    findings
}

fn external(metadata: &Value) -> impl Iterator<Item = &Value> {
    let packages = list(metadata, "packages").iter();
    packages.filter(|package| !text(package, "source").is_empty())
}

fn describe(package: &Value) -> String {
    format!("{} {}", text(package, "name"), text(package, "version"))
}

fn sources(metadata: &Value) -> Vec<Finding> {
    external(metadata)
        .filter(|package| text(package, "source") != CRATES_IO)
        .map(|package| {
            let what = format!("{} comes from elsewhere than crates.io", describe(package));
            Finding::new(LOCK, 1, what)
        })
        .collect()
}

fn licenses(metadata: &Value, allowed: &[Allowed]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut named = String::new();
    for package in external(metadata) {
        let license = text(package, "license");
        named.push_str(license);
        named.push(' ');
        let is_allowed = |name: &str| allowed.iter().any(|allowed| allowed.license == name);
        let accepted = Expression::parse(license).is_some_and(|e| e.holds(&is_allowed));
        if !accepted {
            let what = format!(
                "the licence of {} is not allowed: {license:?}",
                describe(package)
            );
            findings.push(Finding::new(LOCK, 1, what));
        }
    }
    for Allowed { license, line } in allowed {
        if !named.contains(license.as_str()) {
            let what = format!("no dependency has the licence {license}");
            findings.push(Finding::new(DENY, *line, what));
        }
    }
    findings
}

fn duplicates(metadata: &Value, skipped: &[Skipped]) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in external(metadata) {
        versions
            .entry(text(package, "name"))
            .or_default()
            .push(text(package, "version"));
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut findings = Vec::new();
    for (name, versions) in &versions {
        let is_skipped = |version: &&str| skipped.iter().any(|skip| skip.covers(name, version));
        let untold: Vec<&str> = versions
            .iter()
            .copied()
            .filter(|v| !is_skipped(v))
            .collect();
        if untold.len() > 1 {
            let what = format!("{name} is there more than once: {}", untold.join(", "));
            findings.push(Finding::new(LOCK, 1, what));
        }
    }
    for skip in skipped {
        let duplicate = versions.get(skip.name.as_str());
        let is_needed = duplicate.is_some_and(|v| v.iter().any(|v| skip.covers(&skip.name, v)));
        if !is_needed {
            let what = format!("{} {} is no duplicate", skip.name, skip.version);
            findings.push(Finding::new(DENY, skip.line, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::metadata::fixture;
    use serde_json::json;

    const DENY: &str = "[licenses]\nallow = [\n    # common\n    \"MIT\",\n]\n[bans]\nskip = [\n    \
        { crate = \"syn@1\", reason = \"an old macro still needs it\" },\n]\n";

    fn whats(packages: &[(&str, &str, &str)]) -> Vec<String> {
        let (rules, findings) = Rules::parse(DENY);
        assert_eq!(findings, []);
        let findings = check(&fixture::registry(packages), &rules);
        findings
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn tolerated_duplicates_pass() {
        assert_eq!(
            whats(&[("syn", "1.0.9", "MIT"), ("syn", "2.0.0", "MIT")]),
            [""; 0]
        );
    }

    #[test]
    fn other_duplicates_are_found() {
        let packages = [
            ("syn", "1.0.9", "MIT"),
            ("syn", "2.0.0", "MIT"),
            ("syn", "3.0.0", "MIT"),
        ];
        assert_eq!(
            whats(&packages),
            ["Cargo.lock:1: syn is there more than once: 2.0.0, 3.0.0"]
        );
        let packages = [("syn", "10.0.9", "MIT"), ("syn", "2.0.0", "MIT")];
        assert_eq!(
            whats(&packages),
            [
                "Cargo.lock:1: syn is there more than once: 10.0.9, 2.0.0",
                "deny.toml:8: syn 1 is no duplicate"
            ]
        );
    }

    #[test]
    fn stale_tolerance_is_found() {
        assert_eq!(
            whats(&[("syn", "1.0.9", "MIT")]),
            ["deny.toml:8: syn 1 is no duplicate"]
        );
    }

    #[test]
    fn tolerance_needs_a_reason() {
        for entry in [
            "{ crate = \"syn@1\" },",
            "{ crate = \"syn@1\", reason = \"\" },",
            "{ crate = \"syn\", reason = \"an old macro still needs it\" },",
            "\"syn@1\",",
        ] {
            let (_, findings) = Rules::parse(&format!("skip = [\n{entry}\n]\n"));
            assert_eq!(findings.len(), 1, "{entry}");
        }
    }

    #[test]
    fn other_licences_are_found() {
        let duplicate = [("syn", "1.0.9", "MIT"), ("syn", "2.0.0", "MIT")];
        for license in ["GPL-3.0-only", "MIT AND GPL-3.0-only", ""] {
            let packages = [&duplicate[..], &[("x", "1.0.0", license)]].concat();
            let what = format!("Cargo.lock:1: the licence of x 1.0.0 is not allowed: {license:?}");
            assert_eq!(whats(&packages), [what]);
        }
    }

    #[test]
    fn unused_licences_are_found() {
        let duplicate = [("syn", "1.0.9", ""), ("syn", "2.0.0", "")];
        assert_eq!(
            whats(&duplicate).last().map(String::as_str),
            Some("deny.toml:4: no dependency has the licence MIT")
        );
    }

    #[test]
    fn other_sources_are_found() {
        let source = "git+https://example.test/x";
        let package =
            json!({ "name": "x", "version": "1.0.0", "license": "MIT", "source": source });
        let findings = check(&json!({ "packages": [package] }), &Rules::default());
        assert_eq!(
            findings[0].what,
            "x 1.0.0 comes from elsewhere than crates.io"
        );
    }
}
