//! What compiles for Windows: the workspace's own toolchain where rustup has or gets the target, and
//! otherwise Debian's compiler with a standard library that is built from Debian's sources.

use super::{TARGET, debian, sysroot};
use crate::{packages, progress::say, requirements, workspace};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Debian's compiler and what it takes to build a standard library.
const COMPILER: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"];

/// What links for Windows, and what runs it.
const TOOLS: [(&str, &str); 2] = [
    ("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64-win32"),
    ("wine", "wine"),
];

/// A compiler for Windows.
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The one of the workspace.
    Own,
    /// Debian's, with the standard library in this folder.
    Debian(PathBuf),
}

impl Toolchain {
    /// Makes sure of all that is needed, or says what is missing. Building a standard library takes two
    /// minutes, once for each compiler.
    pub(crate) fn provide(may_install: bool) -> Result<Self> {
        for (program, package) in TOOLS {
            // The linker has no 64-bit Wine to depend on, and Wine none that it would recommend.
            requirements::program(program, &["--version"], package, may_install)?;
        }
        if is_own() || may_install && add_target() && is_own() {
            return Ok(Self::Own);
        }
        if !sysroot::has_sources() {
            ensure!(
                may_install && requirements::is_root(),
                "the standard library for Windows is missing: rustup target add {TARGET}, or on \
                 Debian: {}",
                packages::hint(&COMPILER.join(" "))
            );
            packages::install_all(COMPILER).with_context(|| {
                format!("there is no standard library for Windows: rustup target add {TARGET}")
            })?;
        }
        let folder = sysroot::folder()?;
        if !sysroot::is_built(&folder)? {
            say("building the standard library for Windows");
            sysroot::build(&folder)?;
        }
        Ok(Self::Debian(folder))
    }

    /// The one that [`Self::provide`] has provided.
    pub(crate) fn find() -> Result<Self> {
        if is_own() {
            return Ok(Self::Own);
        }
        let folder = sysroot::folder()?;
        if !sysroot::is_built(&folder)? {
            bail!("no standard library for Windows is built: `cargo xtask test --windows` does it");
        }
        Ok(Self::Debian(folder))
    }

    /// A call of cargo for Windows; the target has to be named.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = match self {
            Self::Own => workspace::cargo(),
            Self::Debian(_) => debian::tool("/usr/bin/cargo"),
        };
        self.configure(&mut command);
        command
    }

    /// A call of clippy for Windows.
    pub(crate) fn clippy(&self) -> Command {
        let mut command = match self {
            Self::Own => workspace::cargo(),
            // Cargo would find the one of rustup, which is for another compiler.
            Self::Debian(_) => debian::tool("/usr/bin/cargo-clippy"),
        };
        command.arg("clippy");
        self.configure(&mut command);
        command
    }

    fn configure(&self, command: &mut Command) {
        let variable = |name: &str| {
            let target = TARGET.replace('-', "_").to_uppercase();
            format!("CARGO_TARGET_{target}_{name}")
        };
        command.env(variable("RUNNER"), "wine");
        if let Self::Debian(sysroot) = self {
            let flags = format!("--sysroot {}", sysroot.display());
            command.env(variable("RUSTFLAGS"), &flags);
            command.env(variable("RUSTDOCFLAGS"), &flags);
            // Beside the standard library: what two compilers make does not mix.
            command.env("CARGO_TARGET_DIR", sysroot.with_file_name("build"));
        }
    }
}

/// Asks rustup for the standard library; a network that swallows everything is waited for no longer
/// than that.
fn add_target() -> bool {
    let mut command = Command::new("timeout");
    command
        .args(["120", "rustup", "target", "add", TARGET])
        .current_dir(workspace::root());
    command.status().is_ok_and(|status| status.success())
}

/// Whether the compiler of the workspace has a standard library for Windows.
fn is_own() -> bool {
    let mut command = Command::new("rustc");
    command
        .args(["--print", "sysroot"])
        .current_dir(workspace::root())
        .stderr(Stdio::null());
    command.output().is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout).into_owned();
        has_target(Path::new(sysroot.trim()))
    })
}

fn has_target(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_compilers_share_no_folder() {
        let toolchain = Toolchain::Debian("/somewhere/sysroot".into());
        let command = toolchain.cargo();
        let value = |name: &str| {
            let mut found = command.get_envs().filter(|(key, _)| *key == name);
            found
                .next()
                .and_then(|(_, value)| value)
                .map(ToOwned::to_owned)
        };
        assert_eq!(value("CARGO_TARGET_DIR"), Some("/somewhere/build".into()));
        let flags = value("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS");
        assert_eq!(flags, Some("--sysroot /somewhere/sysroot".into()));
        assert_eq!(value("RUSTC"), Some("/usr/bin/rustc".into()));
    }

    #[test]
    fn a_toolchain_without_the_target_is_not_taken() {
        assert!(!has_target(Path::new("/nowhere")));
    }
}
