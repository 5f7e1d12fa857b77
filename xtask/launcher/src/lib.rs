//! What the tasks of this workspace are, in a crate without dependencies: it is there within a second
//! in a fresh clone, long before the tasks themselves are built.

use std::ffi::OsStr;

/// The name of a task and what it does.
pub type Task = (&'static str, &'static str);

/// `cargo xtask bench`.
pub const BENCH: Task = ("bench", "Measure speed and memory");

/// `cargo xtask demo`.
pub const DEMO: Task = (
    "demo",
    "Build a network in namespaces, run everything in it, and use it as a user would",
);

/// `cargo xtask dist`.
pub const DIST: Task = (
    "dist",
    "Build what people install: static programs, Debian packages, a container's folder, checksums",
);

/// `cargo xtask fuzz`.
pub const FUZZ: Task = (
    "fuzz",
    "Look for inputs that break a promise of the security page, guided by coverage",
);

/// `cargo xtask install-test`.
pub const INSTALL_TEST: Task = (
    "install-test",
    "Install the packages in a small Debian under systemd, use them in the devnet, remove them",
);

/// `cargo xtask scenarios`.
pub const SCENARIOS: Task = (
    "scenarios",
    "Run the real programs through scenarios in network namespaces",
);

/// `cargo xtask test`.
pub const TEST: Task = ("test", "Run every check and every test");

/// `cargo xtask tidy`.
pub const TIDY: Task = (
    "tidy",
    "Check what the house holds to and cargo does not know",
);

/// All tasks.
pub const TASKS: &[Task] = &[BENCH, DEMO, DIST, FUZZ, INSTALL_TEST, SCENARIOS, TEST, TIDY];

/// What the task with this name does.
pub fn purpose(name: &str) -> Option<&'static str> {
    let task = TASKS.iter().find(|(task, _)| *task == name)?;
    Some(task.1)
}

/// What there is, for somebody who asks for no task in particular.
pub fn overview() -> String {
    let mut text =
        "Tasks of this workspace\n\nUsage: cargo xtask TASK [OPTIONS]\n\nTasks:\n".to_owned();
    for (name, purpose) in TASKS {
        text += &format!("  {name:<14}{purpose}\n");
    }
    text + "\n`cargo xtask TASK --help` tells the options of a task, once it is built.\n"
}

/// Whether cargo tells a program about the package that it is of by this variable. A cargo that
/// hears of it builds what looks at such variables once more.
pub fn is_of_package(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_package_are_told_from_others() {
        let is_of_package = |name: &str| is_of_package(OsStr::new(name));
        assert!(is_of_package("CARGO_PKG_NAME") && is_of_package("CARGO_MANIFEST_DIR"));
        assert!(!is_of_package("CARGO_TARGET_DIR") && !is_of_package("CARGO"));
    }

    #[test]
    fn the_overview_names_every_task() {
        let overview = overview();
        for (name, purpose) in TASKS {
            assert!(
                overview.contains(name) && overview.contains(purpose),
                "{name}"
            );
        }
        assert!(overview.lines().all(|line| line.len() <= 110), "{overview}");
    }

    #[test]
    fn every_task_is_found_by_its_name() {
        for (name, what) in TASKS {
            assert_eq!(purpose(name), Some(*what));
        }
        assert_eq!(purpose("sleep"), None);
    }
}
