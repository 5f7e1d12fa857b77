//! The machines that programs are built for.

use anyhow::{Result, bail};
use std::{path::Path, process::Command};

/// A program, and the package of the distribution that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) program: &'static str,
    pub(super) package: &'static str,
}

/// A kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// What Rust calls it.
    pub(super) triple: &'static str,
    /// What Debian calls it.
    pub(super) debian: &'static str,
    /// Compiles C for it, and links.
    pub(super) compiler: Tool,
    /// What the C compiler cannot do without.
    pub(super) headers: Option<&'static str>,
    /// Runs its programs where this machine cannot.
    pub(super) emulator: Option<Tool>,
}

const X86_64: Target = Target {
    triple: "x86_64-unknown-linux-musl",
    debian: "amd64",
    compiler: Tool {
        program: "musl-gcc",
        package: "musl-tools",
    },
    headers: None,
    emulator: None,
};

const AARCH64: Target = Target {
    triple: "aarch64-unknown-linux-musl",
    debian: "arm64",
    compiler: Tool {
        program: "aarch64-linux-gnu-gcc",
        package: "gcc-aarch64-linux-gnu",
    },
    headers: Some("libc6-dev-arm64-cross"),
    emulator: Some(Tool {
        program: "qemu-aarch64-static",
        package: "qemu-user-static",
    }),
};

impl Target {
    /// The machine of a triple.
    ///
    /// # Errors
    ///
    /// Nobody has tried it yet.
    pub(super) fn of(triple: &str) -> Result<Self> {
        let known = [X86_64, AARCH64];
        match known.into_iter().find(|target| target.triple == triple) {
            Some(target) => Ok(target),
            None => bail!(
                "there are no packages for {triple}; there are: {}",
                known.map(|target| target.triple).join(", ")
            ),
        }
    }

    /// Variables that tell cargo and build scripts which tools to use.
    pub(super) fn variables(&self) -> [(String, &'static str); 2] {
        let triple = self.triple.replace('-', "_");
        let compiler = self.compiler.program;
        // `musl-gcc` would bring start-up files of its own.
        let linker = match self.emulator {
            None => "cc",
            Some(_) => compiler,
        };
        [
            (format!("CC_{triple}"), compiler),
            (
                format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase()),
                linker,
            ),
        ]
    }

    /// How to start a program of that machine here.
    pub(super) fn command(&self, program: &Path) -> Command {
        match self.emulator {
            None => Command::new(program),
            Some(emulator) => {
                let mut command = Command::new(emulator.program);
                command.arg(program);
                command
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_machines_have_packages() {
        let arm = Target::of("aarch64-unknown-linux-musl").unwrap();
        assert_eq!(arm.debian, "arm64");
        let command = arm.command("/program".as_ref());
        assert_eq!(command.get_program(), "qemu-aarch64-static");
        let fault = Target::of("riscv64gc-unknown-linux-musl").unwrap_err();
        assert!(fault.to_string().contains("x86_64-unknown-linux-musl"));
    }

    #[test]
    fn tools_are_named_as_cargo_and_build_scripts_look_for_them() {
        let variables = AARCH64.variables().map(|(name, _)| name);
        let expected = [
            "CC_aarch64_unknown_linux_musl",
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER",
        ];
        assert_eq!(variables, expected);
    }
}
