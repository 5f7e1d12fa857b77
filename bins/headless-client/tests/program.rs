//! The program from outside: exit codes, and what stands on which stream. spec: client-app 2, 5, 9
//!
//! Every run is in a network namespace of its own and with an identity given, so that nothing of
//! the host is looked at or changed; all end before a TUN device would be made.

#![expect(clippy::unwrap_used, reason = "what cannot go on fails the test")]

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

const MISSING: &str = "/nonexistent/firezone/token";

/// What one run said.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program with nothing but these variables.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let program = env!("CARGO_BIN_EXE_firezone-headless-client");
    let output: Output = Command::new("unshare")
        .args(["--net", "--", program, "--dns-control=disabled"])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("FIREZONE_ID", "test-box")
        .env("FIREZONE_TOKEN_PATH", MISSING)
        .envs(variables.iter().copied())
        .output()
        .expect("`unshare` of util-linux has to be installed");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(
        !stderr.starts_with("unshare:"),
        "network namespaces take root: {stderr}"
    );
    Run {
        code: output.status.code(),
        stdout,
        stderr,
    }
}

#[test]
fn help_and_version_are_success() {
    for (argument, expected) in [
        ("--help", "FIREZONE_TOKEN"),
        ("-h", "--token-path"),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        let run = run(&[argument], &[]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{argument}");
        assert!(run.stdout.contains(expected), "{argument}: {}", run.stdout);
    }
}

#[test]
fn wrong_usage_has_a_code_of_its_own() {
    for (arguments, variables) in [
        (&["--magic"][..], &[][..]),
        (&["dance"], &[]),
        (&["--token", "a-very-secret-token"], &[]),
        (&["--api-url=nowhere"], &[]),
        (&["--max-partition-time=5"], &[]),
        (&[], &[("MAX_PARTITION_TIME", "")]),
        (&[], &[("FIREZONE_NO_TELEMETRY", "1")]),
        (&[], &[("FIREZONE_ACTIVATE_INTERNET_RESOURCE", "True")]),
    ] {
        let run = run(
            arguments,
            &[&[("FIREZONE_TOKEN", "token")], variables].concat(),
        );
        assert_eq!(
            run.code,
            Some(2),
            "{arguments:?} {variables:?}: {}",
            run.stderr
        );
        assert!(
            run.stderr.contains("--help"),
            "{arguments:?}: {}",
            run.stderr
        );
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_missing_token_is_one_line_that_names_both_places() {
    for arguments in [&[][..], &["--check"], &["standalone"]] {
        let run = run(arguments, &[]);
        assert_eq!(run.code, Some(1), "{arguments:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains("FIREZONE_TOKEN") && run.stderr.contains(MISSING));
    }
}

#[test]
fn a_filter_that_is_none_is_fatal() {
    for filter in ["client=loud", "a=b=c"] {
        let variables = [("RUST_LOG", filter), ("FIREZONE_TOKEN", "token")];
        let run = run(&["--check"], &variables);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{filter}");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains(filter), "{}", run.stderr);
    }
}

#[test]
fn a_check_with_a_token_succeeds_and_tells_no_secret() {
    for arguments in [&["--check"][..], &["standalone", "--check"]] {
        let variables = [
            ("RUST_LOG", "trace"),
            ("FIREZONE_TOKEN", "a-very-secret-token"),
        ];
        let run = run(arguments, &variables);
        assert_eq!(
            (run.code, run.stderr.as_str()),
            (Some(0), ""),
            "{}",
            run.stdout
        );
        assert!(run.stdout.contains("in place."), "{}", run.stdout);
        assert!(!run.stdout.contains("a-very-secret-token"));
    }
}

#[test]
fn the_first_line_says_what_runs() {
    let run = run(&["--check"], &[("FIREZONE_TOKEN", "token")]);
    let first = run.stdout.lines().next().unwrap();
    for part in [
        "INFO",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        "linux",
    ] {
        assert!(first.contains(part), "{first}");
    }
    let (stamp, _) = first.split_once(' ').unwrap();
    assert!(stamp.len() == 24 && stamp.ends_with('Z'), "{stamp}");
}

#[test]
fn a_check_says_what_it_found_and_changes_nothing() {
    let run = run(&["--check"], &[("FIREZONE_TOKEN", "token")]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for part in [
        "Token: in the variable FIREZONE_TOKEN",
        "Portal: wss://",
        "Device: the identity that was given",
        "Rights: CAP_NET_ADMIN",
        "TUN device: /dev/net/tun",
        "Interface: tun-firezone, which does not exist yet",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
}

#[test]
fn without_rights_a_check_says_how_to_get_them() {
    let program = env!("CARGO_BIN_EXE_firezone-headless-client");
    let output = Command::new("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", "--", program])
        .args(["--dns-control=disabled", "--check"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("FIREZONE_ID", "test-box")
        .env("FIREZONE_TOKEN", "token")
        .output()
        .expect("`setpriv` of util-linux has to be installed");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("CAP_NET_ADMIN"), "{stderr}");
}

#[test]
fn nobody_to_ask_is_an_error_that_says_so() {
    let variables = [("RUNTIME_DIRECTORY", "/nonexistent")];
    let run_status = run(&["status"], &variables);
    assert_eq!(run_status.code, Some(1));
    assert!(
        run_status.stderr.contains("is it running?"),
        "{}",
        run_status.stderr
    );
    let checked = run(&["status", "--check", "ready"], &variables);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(1), ""));
}

#[test]
fn completions_and_the_manual_page_come_from_the_definition() {
    for (arguments, part) in [
        (&["completions", "bash"][..], "--token-path"),
        (&["completions", "fish"], "sign-in"),
        (&["manual"], ".TH firezone-headless-client"),
    ] {
        let run = run(arguments, &[]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains(part), "{arguments:?}: {}", run.stdout);
    }
}

#[test]
fn sign_in_writes_what_sign_out_deletes() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("token");
    let path = file.to_str().unwrap();
    let run = |arguments: &[&str], input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_firezone-headless-client"))
            .args(arguments)
            .env_clear()
            .env("FIREZONE_TOKEN_PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, _) = run(&["sign-in"], "\n");
    assert_eq!((code, file.exists()), (Some(1), false));
    let (code, stdout) = run(&["sign-in", "--account-slug=acme"], " secret-token\n");
    assert_eq!(code, Some(0));
    assert!(stdout.contains("/acme?as=headless-client"), "{stdout}");
    assert!(!stdout.contains("secret-token"), "{stdout}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "secret-token");
    assert_eq!(run(&["sign-out"], "n\n").0, Some(0));
    assert!(file.exists());
    assert_eq!(run(&["sign-out", "--force"], "").0, Some(0));
    assert!(!file.exists());
    assert!(run(&["sign-out"], "").1.contains("no token"));
}
