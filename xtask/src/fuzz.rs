//! `cargo xtask fuzz`: looks for inputs that break a promise of `docs/security.md`, guided by
//! coverage.

mod outcome;

use crate::{progress::say, workspace};
use anyhow::{Context as _, Result, bail, ensure};
use outcome::Outcome;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Longest input that is tried, in bytes.
const MAX_INPUT: usize = 4096;

/// Options of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Boundaries to try, by the names in fuzz/corpus; all if none is given.
    targets: Vec<String>,

    /// How long each is tried.
    #[arg(long, default_value_t = 5)]
    minutes: u64,

    /// Put what reaches new code into fuzz/corpus, and take out what adds nothing.
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    require_tools()?;
    let folder = workspace::root().join("fuzz");
    let known = targets(&folder)?;
    for name in &args.targets {
        ensure!(
            known.contains(name),
            "{name} is none of {}",
            known.join(", ")
        );
    }
    let chosen = match args.targets.is_empty() {
        true => &known,
        false => &args.targets,
    };
    say("Building the targets: a few minutes the first time");
    // The versions that are shipped are the ones to try.
    fs::copy(
        workspace::root().join("Cargo.lock"),
        folder.join("Cargo.lock"),
    )
    .context("the lock file cannot be copied")?;
    let built = cargo_fuzz("build", &folder).status()?;
    ensure!(built.success(), "the targets cannot be built");
    let mut broken = vec![];
    for target in chosen {
        say(&format!("{target}: {} minutes", args.minutes));
        let outcome = try_out(&folder, target, args)?;
        say(&format!("{target}: {outcome}"));
        if !outcome.is_sound {
            broken.push(target.as_str());
        }
    }
    if !broken.is_empty() {
        bail!(
            "a promise was broken by {}: the inputs are in {}; each belongs into a test",
            broken.join(", "),
            folder.join("artifacts").display()
        );
    }
    Ok(())
}

/// Fails with what to install if something is missing.
fn require_tools() -> Result<()> {
    let is_there = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        let quiet = command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    };
    ensure!(
        is_there(&["+nightly", "--version"]),
        "a nightly toolchain is needed: rustup toolchain install nightly"
    );
    ensure!(
        is_there(&["fuzz", "--version"]),
        "cargo fuzz is needed: cargo install --locked cargo-fuzz"
    );
    Ok(())
}

/// All targets, by their corpora.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder.join("corpus")).context("there is no fuzz/corpus")?;
    let mut names = vec![];
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// A call of cargo fuzz. Memory errors are not looked for: nothing of ours is unsafe there.
fn cargo_fuzz(action: &str, folder: &Path) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["+nightly", "fuzz", action, "--sanitizer", "none"])
        .current_dir(folder)
        // The allocations of a backtrace would count.
        .env("RUST_BACKTRACE", "0");
    command
}

/// Tries one target, beginning with the corpus.
fn try_out(folder: &Path, target: &str, args: &Args) -> Result<Outcome> {
    let found = folder.join("work").join(target);
    fs::create_dir_all(&found)?;
    let corpus = folder.join("corpus").join(target);
    let seconds = args.minutes * 60;
    let run = cargo_fuzz("run", folder)
        .arg(target)
        .args([&found, &corpus])
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_INPUT}"))
        .args(["-timeout=60", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .output()
        .context("cargo fuzz cannot be started")?;
    let text = String::from_utf8_lossy(&run.stderr);
    let outcome = Outcome::read(&text, run.status.success());
    if !outcome.is_sound {
        say(&text);
    }
    if args.keep && outcome.is_sound {
        merge(folder, target, &found, &corpus)?;
    }
    Ok(outcome)
}

/// Makes the corpus the smallest one that reaches what corpus and new inputs reach.
fn merge(folder: &Path, target: &str, found: &Path, corpus: &Path) -> Result<()> {
    let smallest: PathBuf = folder.join("work").join(format!("{target}.smallest"));
    drop(fs::remove_dir_all(&smallest));
    fs::create_dir_all(&smallest)?;
    let merged = cargo_fuzz("run", folder)
        .arg(target)
        .args([smallest.as_path(), corpus, found])
        // As few as reach the same edges; how often is not worth a file.
        .args(["--", "-set_cover_merge=1", "-use_counters=0"])
        .arg(format!("-max_len={MAX_INPUT}"))
        .output()?;
    ensure!(
        merged.status.success(),
        "the corpus of {target} cannot be merged"
    );
    fs::remove_dir_all(corpus)?;
    fs::rename(&smallest, corpus)?;
    Ok(())
}
