//! The steps of `cargo xtask test`.

use crate::{scenarios, tidy, windows, workspace};
use std::{fmt, process::Command};

/// One thing that has to hold.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
}

/// How to find out.
#[derive(Debug)]
pub(crate) enum Work {
    /// By a call of cargo.
    Cargo(Cargo),
    /// By another task.
    Task(fn() -> anyhow::Result<()>),
}

/// A call of cargo.
#[derive(Debug)]
pub(crate) struct Cargo {
    arguments: &'static str,
    variable: Option<(&'static str, &'static str)>,
}

impl Step {
    /// A step of cargo; no argument contains a space.
    pub(crate) fn cargo(name: &'static str, arguments: &'static str) -> Self {
        let work = Work::Cargo(Cargo {
            arguments,
            variable: None,
        });
        Self { name, work }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        if let Work::Cargo(cargo) = &mut self.work {
            cargo.variable = Some((name, value));
        }
        self
    }

    fn task(name: &'static str, task: fn() -> anyhow::Result<()>) -> Self {
        let work = Work::Task(task);
        Self { name, work }
    }
}

impl Cargo {
    /// The call, to be run at the root of the workspace.
    pub(crate) fn command(&self) -> Command {
        let mut command = workspace::cargo();
        command.args(self.arguments.split(' ')).envs(self.variable);
        command
    }
}

impl fmt::Display for Cargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, value)) = self.variable {
            write!(f, "{name}=\"{value}\" ")?;
        }
        write!(f, "cargo {}", self.arguments)
    }
}

/// All steps, those that fail soonest first; what uses network namespaces of its own comes last.
pub(crate) fn all() -> Vec<Step> {
    vec![
        Step::cargo("format", "fmt --all --check"),
        Step::cargo(
            "lints",
            "clippy --workspace --all-targets --locked -- -D warnings",
        ),
        Step::task("tidy", || tidy::run(&tidy::Args {})),
        // Advisories change without us: a job of their own asks for them every day.
        Step::cargo(
            "dependencies",
            "deny --offline --locked check -D unmatched-skip -D unnecessary-skip \
             -D license-not-encountered bans licenses sources",
        ),
        // The fuzz targets need the virtual clock.
        Step::cargo(
            "tests",
            "nextest run --workspace --exclude fuzz-targets --locked",
        ),
        // In a call of its own, because features are united: the clock of tests must not get
        // into anything else.
        Step::cargo(
            "tests in virtual time",
            "nextest run -p connectivity -p netsim -p fuzz-targets --locked --features \
             connectivity/__virtual-time,netsim/__virtual-time,fuzz-targets/__virtual-time",
        ),
        Step::cargo(
            "examples in documentation",
            "test --doc --workspace --locked",
        ),
        Step::cargo(
            "documentation",
            "doc --workspace --no-deps --document-private-items --locked",
        )
        .with("RUSTDOCFLAGS", "-D warnings"),
        Step::task("scenarios in namespaces", || {
            scenarios::run(&scenarios::Args::default())
        }),
    ]
}

/// The steps for Windows. They are none of [`all`] as long as the programs are not there for Windows.
pub(crate) fn windows() -> Vec<Step> {
    vec![
        Step::task("lints for Windows", windows::lint),
        Step::task("tests under Wine", windows::test),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<String> {
        let steps = all().into_iter().map(|step| match step.work {
            Work::Cargo(cargo) => cargo.to_string(),
            Work::Task(_) => step.name.to_owned(),
        });
        steps.collect()
    }

    #[test]
    fn the_lock_file_is_never_changed() {
        for line in lines().iter().filter(|line| line.contains("cargo ")) {
            assert!(
                line.contains("--locked") || line.contains("cargo fmt"),
                "{line}"
            );
        }
    }

    #[test]
    fn arguments_are_separated_by_single_spaces() {
        for line in lines() {
            assert!(!line.contains("  "), "{line}");
        }
    }

    #[test]
    fn the_virtual_clock_is_in_a_call_of_its_own() {
        let virtual_time = |line: &&String| line.contains("__virtual-time");
        let lines = lines();
        let found: Vec<_> = lines.iter().filter(virtual_time).collect();
        assert_eq!(found.len(), 1);
        assert!(!found[0].contains("--workspace"));
    }

    #[test]
    fn variables_reach_the_command() {
        let step = all()
            .into_iter()
            .find(|step| step.name == "documentation")
            .unwrap();
        let Work::Cargo(cargo) = step.work else {
            panic!("it is a call of cargo");
        };
        let command = cargo.command();
        let set: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        assert_eq!(set, [("RUSTDOCFLAGS".as_ref(), "-D warnings".as_ref())]);
        assert!(
            cargo
                .to_string()
                .starts_with("RUSTDOCFLAGS=\"-D warnings\" cargo doc ")
        );
    }
}
