//! The program `dig`, and what it prints.

use super::super::Scene;
use anyhow::{Context as _, Result, ensure};
use std::process::{Child, Command};

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Code of the response, such as `NXDOMAIN`.
    pub(super) status: String,
    /// Whether the server left something out.
    pub(super) is_cut: bool,
    /// The data of all records in the answer.
    pub(super) data: Vec<String>,
}

/// Asks the resolver of the client's host; `arguments` are dig's.
pub(super) fn ask(scene: &Scene<'_>, arguments: &[&str]) -> Result<Answer> {
    let question = arguments.join(" ");
    let answer = start(scene, arguments).and_then(Answer::of);
    answer.with_context(|| format!("dig {question}"))
}

/// Begins to ask.
pub(super) fn start(scene: &Scene<'_>, arguments: &[&str]) -> Result<Child> {
    let mut command = Command::new("dig");
    // The settings of whoever runs this are not read.
    command
        .args([
            "-r",
            "+noall",
            "+comments",
            "+answer",
            "+time=2",
            "+tries=3",
        ])
        .args(arguments);
    Ok(scene.start(command)?)
}

impl Answer {
    /// What a `dig` prints that was started.
    pub(super) fn of(dig: Child) -> Result<Self> {
        let output = dig.wait_with_output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "dig failed: {printed}");
        parse(&printed).with_context(|| format!("dig printed something else: {printed}"))
    }

    /// It has this status, and this many records.
    pub(super) fn require(&self, status: &str, records: usize) -> Result<()> {
        let is_right = self.status == status && self.data.len() == records;
        ensure!(is_right, "not {status} with {records} records: {self:?}");
        Ok(())
    }

    /// Its data, when these are addresses.
    pub(super) fn addresses(&self) -> &[String] {
        &self.data
    }

    /// How many bytes the texts have together; none of them contains a space or a quote.
    pub(super) fn text_length(&self) -> usize {
        let parts = self.data.iter().flat_map(|data| data.split(' '));
        parts.map(|part| part.trim_matches('"').len()).sum()
    }
}

fn parse(printed: &str) -> Option<Answer> {
    let after = |label: &str| {
        let line = printed.lines().find(|line| line.contains(label))?;
        let (_, rest) = line.split_once(label)?;
        rest.split([',', ';']).next()
    };
    // Name, time to live, class, type, data.
    let data = printed
        .lines()
        .filter(|line| !line.starts_with(';') && !line.is_empty())
        .map(|line| {
            let mut rest = line;
            for _ in 0..4 {
                let (_, next) = rest.split_once([' ', '\t'])?;
                rest = next.trim_start();
            }
            Some(rest.to_owned())
        });
    Some(Answer {
        status: after("status: ")?.to_owned(),
        is_cut: after(";; flags: ")?.split(' ').any(|flag| flag == "tc"),
        data: data.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let printed = ";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 7\n\
            ;; flags: qr rd ra; QUERY: 1, ANSWER: 1\n\n;; ANSWER SECTION:\n\
            a.test.\t\t60\tIN\tTXT\t\"abc\" \"de\"\n\n";
        let answer = parse(printed).unwrap();
        assert_eq!(answer.data, ["\"abc\" \"de\""]);
        assert_eq!((answer.text_length(), answer.is_cut), (5, false));
        answer.require("NOERROR", 1).unwrap();
        assert!(answer.require("NOERROR", 0).is_err());
        assert!(answer.require("NXDOMAIN", 1).is_err());
    }

    #[test]
    fn answers_that_were_cut_are_told_apart() {
        let printed = ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 7\n\
            ;; flags: qr tc rd ra; QUERY: 1, ANSWER: 0\n";
        let answer = parse(printed).unwrap();
        assert!(answer.is_cut);
        assert_eq!(parse(";; no servers could be reached\n"), None);
    }
}
