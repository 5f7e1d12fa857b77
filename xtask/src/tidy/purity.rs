//! No clock, no entropy, no I/O, no waiting, no operating system in the crates that promise so.

use super::{
    finding::Finding,
    source::{Source, closing, contains, line_at, positions},
};

/// Folders of the crates that are pure.
const PURE: &[&str] = &[
    "crates/connectivity",
    "crates/dns-message",
    "crates/ip-packet",
    "crates/model",
    "crates/netem",
    "crates/tunnel-core",
];

/// Folders in which conditions on the operating system have their place.
const KNOW_SYSTEMS: &[&str] = &[
    "crates/cli-support",
    "crates/host",
    "crates/local-socket",
    "crates/platform-linux",
    "crates/platform-windows",
    "crates/socket-factory",
    "crates/testbed",
    "xtask",
];

/// What must not stand in code, and what it would be.
const WORDS: &[(&str, &str)] = &[
    ("Instant::now", "reads a clock"),
    ("SystemTime::now", "reads a clock"),
    (".elapsed()", "reads a clock"),
    ("thread_rng", "draws entropy"),
    ("OsRng", "draws entropy"),
    ("SystemRandom", "draws entropy"),
    ("getrandom", "draws entropy"),
    ("rand::rng", "draws entropy"),
    ("async", "waits"),
    (".await", "waits"),
    ("TcpStream", "opens sockets"),
    ("TcpListener", "opens sockets"),
    ("UdpSocket", "opens sockets"),
    ("std::fs", "touches files"),
    ("std::env", "reads the environment"),
    ("std::process", "knows processes"),
    ("std::thread", "knows threads"),
    ("tokio", "needs a runtime"),
    ("unsafe", "is unsafe"),
];

/// Modules of the standard library in braces: `use std::{fs, …}`.
const MODULES: &[&str] = &["fs", "env", "process", "thread"];

/// Conditions on the operating system.
const SYSTEMS: &[&str] = &[
    "target_os",
    "target_family",
    "target_env",
    "unix",
    "windows",
];

/// Checks one file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let folder = source.folder();
    if PURE.contains(&folder) {
        for (line, code) in source.code_lines() {
            for (word, why) in WORDS {
                if contains(code, word) {
                    let what = format!("`{word}` {why}, and this crate is pure");
                    findings.push(Finding::new(&source.path, line, what));
                }
            }
        }
        imports(source, &mut findings);
    }
    if !KNOW_SYSTEMS.contains(&folder) {
        conditions(source, &mut findings);
    }
    findings
}

fn imports(source: &Source, findings: &mut Vec<Finding>) {
    let code = &source.masked.code;
    for at in positions(code, "use std::{") {
        let open = at + "use std::".len();
        let end = closing(code, open).unwrap_or(code.len());
        for module in MODULES {
            for position in positions(&code[open..end], module) {
                let before = code[..open + position].trim_end();
                let line = line_at(code, open + position);
                if before.ends_with(['{', ',']) && !source.is_test(line) {
                    let what = format!("`std::{module}` does I/O, and this crate is pure");
                    findings.push(Finding::new(&source.path, line, what));
                }
            }
        }
    }
}

fn conditions(source: &Source, findings: &mut Vec<Finding>) {
    let code = &source.masked.code;
    for opening in ["cfg(", "cfg!(", "cfg_attr("] {
        for at in positions(code, opening) {
            let open = at + opening.len() - 1;
            let end = closing(code, open).unwrap_or(code.len());
            let line = line_at(code, at);
            if source.is_test(line) {
                continue;
            }
            for word in SYSTEMS {
                if contains(&code[open..end], word) {
                    let what = format!("condition on the operating system: `{word}`");
                    findings.push(Finding::new(&source.path, line, what));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let findings = check(&Source::new(path, text));
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn impure_code_is_found() {
        for code in [
            "let now = Instant::now();",
            "let now = SystemTime::now();",
            "let age = start.elapsed();",
            "let mut rng = rand::thread_rng();",
            "let mut rng = rand::rng();",
            "OsRng.fill(&mut bytes);",
            "SystemRandom::new()",
            "getrandom::fill(&mut bytes)",
            "async fn f() {}",
            "f().await;",
            "let s = std::net::UdpSocket::bind(a);",
            "use std::net::{IpAddr, TcpStream};",
            "TcpListener::bind(a)",
            "std::fs::read(path)",
            "use std::{collections::BTreeMap, fs, io};",
            "use std::{env, io};",
            "use std::{process::Command};",
            "std::thread::spawn(f);",
            "tokio::spawn(f);",
            "#[cfg(target_os = \"linux\")]",
            "#[cfg(not(windows))]",
            "if cfg!(unix) {}",
            "#[cfg_attr(windows, inline)]",
            "unsafe { f() }",
        ] {
            let text = format!("//! x\n{code}\n");
            assert_eq!(lines("crates/tunnel-core/src/x.rs", &text), [2], "{code}");
        }
    }

    #[test]
    fn innocent_code_is_not_found() {
        for code in [
            "// Instant::now() would read the clock.",
            "let x = \"unsafe\";",
            "#[expect(unsafe_code)]",
            "for pair in bytes.windows(2) {}",
            "use std::{collections::BTreeMap, time::Instant};",
            "#[cfg(feature = \"tokio\")]",
            "let environment = env;",
            "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }",
        ] {
            assert_eq!(lines("crates/model/src/x.rs", code), [0; 0], "{code}");
        }
    }

    #[test]
    fn shells_may_do_what_cores_may_not() {
        let text = "let now = Instant::now();\n#[cfg(target_os = \"linux\")]\nfn f() {}\n";
        assert_eq!(lines("crates/client/src/x.rs", text), [2]);
        assert_eq!(lines("crates/socket-factory/src/x.rs", text), [0; 0]);
    }
}
