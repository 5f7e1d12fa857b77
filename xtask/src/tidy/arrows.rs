//! Which crate may use which other crate of the workspace. docs/architecture.md draws the same.

use super::{finding::Finding, metadata};
use serde_json::Value;

/// The document that draws the table.
pub(crate) const DRAWING: &str = "docs/architecture.md";

/// Each crate with all the workspace crates it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("dns-message", &[]),
    ("ip-packet", &["model"]),
    ("netem", &["ip-packet", "model"]),
    ("connectivity", &["ip-packet", "model"]),
    (
        "tunnel-core",
        &["connectivity", "dns-message", "ip-packet", "model"],
    ),
    ("socket-factory", &[]),
    ("portal-client", &["model"]),
    ("service-ipc", &["model"]),
    ("logging", &[]),
    ("host", &["model"]),
    ("local-socket", &["host"]),
    ("platform", &["model", "socket-factory"]),
    (
        "platform-linux",
        &["dns-message", "model", "platform", "socket-factory"],
    ),
    ("platform-windows", &["model", "platform", "socket-factory"]),
    (
        "cli-support",
        &[
            "host",
            "logging",
            "platform",
            "platform-linux",
            "platform-windows",
        ],
    ),
    (
        "client",
        &[
            "dns-message",
            "model",
            "platform",
            "portal-client",
            "socket-factory",
            "tunnel-core",
        ],
    ),
    ("testbed", &[]),
    (
        "devnet",
        &[
            "connectivity",
            "ip-packet",
            "local-socket",
            "model",
            "platform",
            "portal-client",
            "socket-factory",
        ],
    ),
    (
        "netsim",
        &[
            "connectivity",
            "devnet",
            "ip-packet",
            "model",
            "netem",
            "portal-client",
            "tunnel-core",
        ],
    ),
    (
        "fuzz-targets",
        &[
            "connectivity",
            "dns-message",
            "ip-packet",
            "model",
            "netsim",
            "platform-linux",
            "portal-client",
            "service-ipc",
            "tunnel-core",
        ],
    ),
    (
        "headless-client",
        &[
            "cli-support",
            "client",
            "host",
            "local-socket",
            "logging",
            "model",
            "platform",
            "portal-client",
        ],
    ),
    (
        "tunnel-service",
        &[
            "cli-support",
            "client",
            "host",
            "local-socket",
            "logging",
            "model",
            "platform",
            "portal-client",
            "service-ipc",
        ],
    ),
    (
        "firezone-devnet",
        &[
            "cli-support",
            "devnet",
            "host",
            "model",
            "platform",
            "portal-client",
            "testbed",
        ],
    ),
    ("xtask-launcher", &[]),
    (
        "xtask",
        &[
            "platform-windows",
            "socket-factory",
            "testbed",
            "xtask-launcher",
        ],
    ),
];

/// What tests may use in addition.
const FOR_TESTS: &[&str] = &["devnet", "ip-packet", "netem", "netsim"];

/// Crates without I/O, and what would bring it in.
const PURE: &[&str] = &[
    "model",
    "dns-message",
    "ip-packet",
    "netem",
    "connectivity",
    "tunnel-core",
];
const IMPURE: &[&str] = &[
    "async-std",
    "libc",
    "mio",
    "quinn-udp",
    "rtnetlink",
    "rustix",
    "socket2",
    "tokio",
    "tun-rs",
];

/// Checks all dependencies between members of the workspace, and that each permit is used.
pub(crate) fn check(metadata: &Value) -> Vec<Finding> {
    let mut findings = forbidden(metadata);
    findings.extend(unused(metadata));
    findings
}

/// Permits that nobody draws: they would let an arrow in that nobody decided on.
fn unused(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in metadata::members(metadata) {
        let arrows = ARROWS.iter().find(|(name, _)| *name == member.name);
        for permit in arrows.map_or(&[][..], |(_, allowed)| *allowed) {
            let mut dependencies = member.dependencies.iter();
            if !dependencies.any(|found| found.name == *permit && found.kind != "dev") {
                let what = format!("{} may depend on {permit}, and does not", member.name);
                findings.push(Finding::new(&member.manifest, 1, what));
            }
        }
    }
    findings
}

/// Whether the table in the document is the one above.
pub(crate) fn check_drawing(path: &str, document: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut missing: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let rows = document.lines().enumerate();
    let rows = rows.skip_while(|(_, line)| *line != "## Arrows").skip(1);
    let rows = rows.take_while(|(_, line)| !line.starts_with("## "));
    for (index, line) in rows.filter(|(_, line)| line.starts_with('|')) {
        let mut cells = line.trim_matches('|').split('|').map(quoted);
        let (names, drawn) = (cells.next(), cells.next().unwrap_or_default());
        for name in names.unwrap_or_default() {
            missing.retain(|missing| *missing != name);
            let arrows = ARROWS.iter().find(|(known, _)| *known == name);
            let mut allowed = arrows.map_or(Vec::new(), |(_, allowed)| allowed.to_vec());
            let mut drawn = drawn.clone();
            allowed.sort_unstable();
            drawn.sort_unstable();
            if arrows.is_none() || allowed != drawn {
                let what = format!("{name} may use: {}", allowed.join(", "));
                findings.push(Finding::new(path, index + 1, what));
            }
        }
    }
    let untold = |name| Finding::new(path, 1, format!("the arrows of {name} are not drawn"));
    findings.extend(missing.into_iter().map(untold));
    findings
}

/// The words between backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn forbidden(metadata: &Value) -> Vec<Finding> {
    let members = metadata::members(metadata);
    let names: Vec<&str> = members.iter().map(|member| member.name).collect();
    let mut findings = Vec::new();
    for member in &members {
        let mut found = |what| findings.push(Finding::new(&member.manifest, 1, what));
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == member.name) else {
            found(format!(
                "{} is not in the table of crates and their arrows",
                member.name
            ));
            continue;
        };
        for dependency in &member.dependencies {
            let to = dependency.name;
            let is_test = dependency.kind == "dev";
            if names.contains(&to)
                && !allowed.contains(&to)
                && !(is_test && FOR_TESTS.contains(&to))
            {
                found(format!("{} must not depend on {to}", member.name));
            }
            if !is_test && PURE.contains(&member.name) && IMPURE.contains(&to) {
                found(format!(
                    "{} does no I/O, so it must not depend on {to}",
                    member.name
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::metadata::fixture;

    fn whats(members: &[(&str, &[(&str, &str)])]) -> Vec<String> {
        texts(forbidden(&fixture::workspace(members)))
    }

    fn texts(findings: Vec<Finding>) -> Vec<String> {
        findings.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn arrows_point_down() {
        let members: &[(&str, &[(&str, &str)])] = &[
            ("model", &[]),
            (
                "connectivity",
                &[("model", ""), ("netsim", "dev"), ("ring", "")],
            ),
            ("netsim", &[]),
        ];
        assert_eq!(whats(members), [""; 0]);
    }

    #[test]
    fn arrows_that_point_up_are_found() {
        let members: &[(&str, &[(&str, &str)])] = &[
            ("model", &[("client", ""), ("client", "dev")]),
            ("client", &[]),
        ];
        assert_eq!(whats(members), ["model must not depend on client"; 2]);
    }

    #[test]
    fn netsim_is_for_tests_only() {
        let members: &[(&str, &[(&str, &str)])] = &[("model", &[("netsim", "")]), ("netsim", &[])];
        assert_eq!(whats(members), ["model must not depend on netsim"]);
    }

    #[test]
    fn unknown_crates_are_found() {
        assert_eq!(
            whats(&[("utils", &[])]),
            ["utils is not in the table of crates and their arrows"]
        );
    }

    #[test]
    fn pure_crates_take_no_io_in() {
        let members: &[(&str, &[(&str, &str)])] =
            &[("tunnel-core", &[("tokio", ""), ("tokio", "dev")])];
        assert_eq!(
            whats(members),
            ["tunnel-core does no I/O, so it must not depend on tokio"]
        );
    }

    #[test]
    fn permits_that_nobody_uses_are_found() {
        let of = |dependencies| texts(unused(&fixture::workspace(&[("ip-packet", dependencies)])));
        assert_eq!(of(&[("model", "")]), [""; 0]);
        let unused = ["ip-packet may depend on model, and does not"];
        assert_eq!(of(&[]), unused);
        assert_eq!(of(&[("model", "dev")]), unused);
    }

    #[test]
    fn the_drawing_is_the_table() {
        let mut document = "## Arrows\n\n| crate | may use |\n|---|---|\n".to_owned();
        for (name, allowed) in ARROWS.iter().skip(1) {
            let allowed = allowed.iter().rev().map(|name| format!("`{name}`"));
            let allowed = allowed.collect::<Vec<_>>().join(", ");
            document += &format!("| `{name}` | {allowed} |\n");
        }
        let drawing = |rows: &str| {
            texts(check_drawing(
                "x",
                &format!("{document}{rows}\n\nNot `this`.\n\n## Next\n"),
            ))
        };
        assert_eq!(drawing("| `model` | – |"), [""; 0]);
        assert_eq!(drawing(""), ["the arrows of model are not drawn"]);
        assert_eq!(drawing("| `model`, `utils` | – |"), ["utils may use: "]);
        assert_eq!(drawing("| `model` | `client` |"), ["model may use: "]);
    }

    #[test]
    fn the_table_has_no_circle() {
        for (index, (name, allowed)) in ARROWS.iter().enumerate() {
            for other in *allowed {
                let below = ARROWS.iter().position(|(below, _)| below == other);
                let is_below = below.is_some_and(|below| below < index);
                assert!(is_below, "{name} comes before {other}");
            }
        }
    }
}
