//! A standard library for Windows from Debian's sources.

use super::{TARGET, debian};
use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use ring::digest;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where Debian puts the sources.
const SOURCES: &str = "/usr/lib/rustlib/src/rust/library";

/// An empty crate: what is built is what it depends on without saying so.
const SEED: &str = "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                    [profile.release]\nopt-level = 0\ndebug = false\n[workspace]\n";

/// The parts that are built: programs unwind, and tests have a harness.
const PARTS: &str = "-Zbuild-std=std,panic_unwind,proc_macro,test";

/// Whether Debian's compiler and its sources are installed.
pub(super) fn has_sources() -> bool {
    [
        "/usr/bin/rustc",
        "/usr/bin/cargo",
        "/usr/bin/cargo-clippy",
        SOURCES,
    ]
    .iter()
    .all(|path| Path::new(path).exists())
}

/// Where the standard library is, in a folder as compilers want it.
pub(super) fn folder() -> Result<PathBuf> {
    Ok(workspace::target()?.join("windows").join("sysroot"))
}

/// Whether it is there, and of the compiler that is installed.
pub(super) fn is_built(folder: &Path) -> Result<bool> {
    if !has_sources() {
        return Ok(false);
    }
    let built = fs::read_to_string(stamp(folder)).unwrap_or_default();
    Ok(built == version()?)
}

/// Builds it in a folder of its own, and moves it to its place as a whole.
pub(super) fn build(folder: &Path) -> Result<()> {
    let fresh = folder.with_added_extension(std::process::id().to_string());
    let seed = fresh.join("seed");
    let result = build_in(&seed).and_then(|built| {
        let lib = fresh.join("sysroot/lib/rustlib").join(TARGET).join("lib");
        fs::create_dir_all(&lib)?;
        copy_libraries(&built, &lib)?;
        fs::write(stamp(&fresh.join("sysroot")), version()?)?;
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::rename(fresh.join("sysroot"), folder).context("cannot move the standard library")
    });
    fs::remove_dir_all(&fresh).ok();
    result
}

/// Returns the folder with what was built.
fn build_in(seed: &Path) -> Result<PathBuf> {
    fs::create_dir_all(seed.join("src"))?;
    fs::write(seed.join("Cargo.toml"), SEED)?;
    fs::write(seed.join("src/lib.rs"), "#![no_std]\n")?;
    let target = seed.join("target");
    let mut command = debian::tool("/usr/bin/cargo");
    command
        .args(["build", "--release", PARTS, "--target", TARGET])
        .current_dir(seed)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target);
    let status = command.status().context("cannot start Debian's cargo")?;
    ensure!(
        status.success(),
        "cargo could not build the standard library for Windows"
    );
    Ok(target.join(TARGET).join("release/deps"))
}

fn copy_libraries(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if name.ends_with(".rlib") && !name.starts_with("libseed-") {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

fn stamp(folder: &Path) -> PathBuf {
    folder.join("made-by")
}

/// What the standard library is made by and of.
fn version() -> Result<String> {
    let output = Command::new("/usr/bin/rustc").arg("-vV").output();
    let output = output.context("cannot start Debian's rustc")?;
    let mut made_by = output.stdout;
    made_by.extend([SEED, PARTS].concat().bytes());
    let hash = digest::digest(&digest::SHA256, &made_by);
    Ok(hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_taken_and_nothing_else() {
        let root = std::env::temp_dir().join(format!("sysroot-{}", std::process::id()));
        let (from, to) = (root.join("from"), root.join("to"));
        fs::create_dir_all(&from).unwrap();
        fs::create_dir_all(&to).unwrap();
        for name in ["libstd-1.rlib", "libseed-2.rlib", "std.d"] {
            fs::write(from.join(name), "").unwrap();
        }
        copy_libraries(&from, &to).unwrap();
        let names = fs::read_dir(&to)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.collect();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(names, ["libstd-1.rlib"]);
    }
}
