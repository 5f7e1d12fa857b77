//! `cargo xtask dist`: what people install. Static programs, Debian packages, what a container image
//! is built from, and checksums. The same commit gives the same bytes.

mod debian;
mod elf;
mod programs;
mod target;
mod windows;

use crate::{packages, progress::say, requirements, workspace};
use anyhow::{Context as _, Result, ensure};
use debian::Package;
use ring::digest;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use target::Target;

/// Options of `cargo xtask dist`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where everything goes.
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    out: PathBuf,

    /// What the programs run on: x86_64-unknown-linux-musl or aarch64-unknown-linux-musl.
    #[arg(
        long,
        value_name = "TRIPLE",
        default_value = "x86_64-unknown-linux-musl"
    )]
    target: String,

    /// What people install on Windows instead, once the programs are there for it: an archive and an
    /// installer.
    #[arg(long, conflicts_with = "target")]
    windows: bool,

    /// Do not install what is missing.
    #[arg(long)]
    no_install: bool,
}

const PACKAGES: [Package; 2] = [
    Package {
        folder: "headless-client",
        program: "firezone-headless-client",
    },
    Package {
        folder: "tunnel-service",
        program: "firezone-client-tunnel",
    },
];

/// Builds all of it into a fresh folder.
pub(crate) fn run(args: &Args) -> Result<()> {
    let install = !args.no_install;
    if args.windows {
        return windows::build(&args.out, install);
    }
    let target = Target::of(&args.target)?;
    require(&target, install)?;
    let out = fresh(&args.out)?;
    let epoch = epoch();
    let built = programs::for_linux(&target, &epoch)?;
    for package in &PACKAGES {
        let program = built.join(package.program);
        elf::require_static(&program)?;
        fs::copy(&program, out.join(package.program))?;
        let file = debian::build(package, &out, &target, &epoch)?;
        say(&format!("{}", file.display()));
    }
    let dockerfile = workspace::root().join("packaging/container/Dockerfile");
    fs::copy(dockerfile, out.join("Dockerfile"))?;
    let sums = checksums(&out)?;
    fs::write(out.join("SHA256SUMS"), &sums)?;
    say(&sums);
    Ok(())
}

/// An empty folder.
fn fresh(out: &Path) -> Result<PathBuf> {
    let out = workspace::root().join(out);
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    fs::create_dir_all(&out)?;
    Ok(out)
}

/// Makes sure of what builds and packs.
fn require(target: &Target, install: bool) -> Result<()> {
    requirements::program("dpkg-deb", &["--version"], "dpkg", install)?;
    let tools = [Some(target.compiler), target.emulator];
    for tool in tools.into_iter().flatten() {
        requirements::program(tool.program, &["--version"], tool.package, install)?;
    }
    if let (Some(package), true) = (target.headers, install) {
        packages::install(package)?;
    }
    Ok(())
}

/// The time of the commit: what all files in packages are dated with.
fn epoch() -> String {
    let mut command = Command::new("git");
    command.args(["log", "-1", "--format=%ct"]);
    let output = command.current_dir(workspace::root()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "0".to_owned())
}

/// A line for each file, as `sha256sum --check` reads it.
fn checksums(directory: &Path) -> Result<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let content = fs::read(entry.path())?;
        let hash = digest::digest(&digest::SHA256, &content);
        let hash: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        lines.push(format!("{hash}  {}\n", entry.file_name().to_string_lossy()));
    }
    ensure!(!lines.is_empty(), "nothing was made");
    lines.sort_by(|a, b| a[64..].cmp(&b[64..]));
    Ok(lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_sorted_by_name() {
        let directory = std::env::temp_dir().join(format!("checksums-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("b"), "").unwrap();
        fs::write(directory.join("a"), "abc").unwrap();
        let sums = checksums(&directory).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(
            sums,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b\n"
        );
    }
}
