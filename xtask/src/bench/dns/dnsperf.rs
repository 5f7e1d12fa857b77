//! The load generator `dnsperf`, run on the client's host.

use crate::requirements;
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    net::IpAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use testbed::Host;

/// What is asked, and how hard.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// Names to ask for in turn, each for its IPv4 addresses.
    pub(super) names: Vec<String>,
    /// Over TCP instead of UDP.
    pub(super) tcp: bool,
    /// Sockets or connections.
    pub(super) clients: u32,
    /// Queries that wait at a time, over all clients.
    pub(super) in_flight: u32,
    /// Ask each name once instead of going round.
    pub(super) once: bool,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    /// Answers.
    pub(super) answers: f64,
    /// Queries without an answer, in percent.
    pub(super) lost: f64,
    /// Answers in a second.
    pub(super) rate: f64,
    /// Mean time from query to answer, in milliseconds.
    pub(super) latency: f64,
}

/// Makes sure that it is there.
pub(super) fn require() -> Result<()> {
    requirements::program("dnsperf", &["-h"], "dnsperf", true)
}

impl Load {
    /// Asks `server` for as long as given.
    pub(super) fn run(
        &self,
        host: &Host,
        server: IpAddr,
        directory: &Path,
        time: Duration,
    ) -> Result<Outcome> {
        let file = directory.join("queries");
        let lines: String = self.names.iter().map(|n| format!("{n} A\n")).collect();
        fs::write(&file, lines).context("write the queries")?;
        let mut command = Command::new("dnsperf");
        command
            .args(["-s", &server.to_string()])
            .args(["-l", &time.as_secs().to_string()])
            .args(["-c", &self.clients.to_string()])
            .args(["-q", &self.in_flight.to_string()])
            .args(["-m", if self.tcp { "tcp" } else { "udp" }])
            .args(["-t", "2"])
            .arg("-d")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.once {
            command.args(["-n", "1"]);
        }
        let output = host.spawn(command)?.wait_with_output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "dnsperf failed: {printed}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        outcome(&printed).with_context(|| format!("dnsperf printed something else: {printed}"))
    }
}

/// Picks the figures out of what it prints.
fn outcome(printed: &str) -> Option<Outcome> {
    let number = |label: &str| -> Option<f64> {
        let line = printed.lines().find_map(|l| l.trim().strip_prefix(label));
        line?.split_whitespace().next()?.parse().ok()
    };
    let (sent, answers) = (number("Queries sent:")?, number("Queries completed:")?);
    Some(Outcome {
        answers,
        lost: 100.0 * (sent - answers) / sent.max(1.0),
        rate: number("Queries per second:")?,
        latency: 1000.0 * number("Average Latency (s):")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_the_report() {
        let printed = "Statistics:\n\n  Queries sent:         200\n  \
            Queries completed:    150 (75.00%)\n  Queries lost:         50 (25.00%)\n\n  \
            Response codes:       NOERROR 150 (100.00%)\n  Run time (s):         3.000100\n  \
            Queries per second:   49.998333\n\n  \
            Average Latency (s):  0.000250 (min 0.000102, max 0.001)\n";
        let expected = Outcome {
            answers: 150.0,
            lost: 25.0,
            rate: 49.998_333,
            latency: 0.25,
        };
        assert_eq!(outcome(printed), Some(expected));
        assert_eq!(outcome("no servers could be reached"), None);
    }
}
