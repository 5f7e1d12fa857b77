//! Which crate may use which other crate of the workspace. docs/architecture.md draws the same.

use super::{finding::Finding, metadata};
use serde_json::Value;

/// Each crate with all the workspace crates it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("ip-packet", &["model"]),
    ("connectivity", &["ip-packet", "model"]),
    ("tunnel-core", &["connectivity", "ip-packet", "model"]),
    ("socket-factory", &[]),
    ("portal-client", &["model"]),
    ("service-ipc", &["model"]),
    ("logging", &[]),
    ("host", &["model"]),
    ("local-socket", &["host"]),
    ("platform", &["model", "socket-factory"]),
    ("platform-linux", &["model", "platform", "socket-factory"]),
    (
        "cli-support",
        &["host", "logging", "platform", "platform-linux"],
    ),
    (
        "client",
        &[
            "model",
            "platform",
            "portal-client",
            "socket-factory",
            "tunnel-core",
        ],
    ),
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
            "portal-client",
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
        ],
    ),
    (
        "xtask",
        &[
            "connectivity",
            "devnet",
            "ip-packet",
            "model",
            "netsim",
            "platform",
            "tunnel-core",
        ],
    ),
];

/// What tests may use in addition.
const FOR_TESTS: &[&str] = &["devnet", "ip-packet", "netsim"];

/// Crates without I/O, and what would bring it in.
const PURE: &[&str] = &["model", "ip-packet", "connectivity", "tunnel-core"];
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

/// Checks all dependencies between members of the workspace.
pub(crate) fn check(metadata: &Value) -> Vec<Finding> {
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
        let findings = check(&fixture::workspace(members));
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
