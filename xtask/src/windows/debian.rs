//! Debian's compiler, which is beside that of rustup.

use crate::workspace;
use std::process::Command;

/// A call of a tool of Debian's compiler that hears nothing of rustup's.
pub(super) fn tool(program: &str) -> Command {
    let ours = workspace::cargo();
    let mut command = Command::new(program);
    command.current_dir(workspace::root());
    for (name, value) in ours.get_envs() {
        if value.is_none() {
            command.env_remove(name);
        }
    }
    for name in [
        "RUSTUP_TOOLCHAIN",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "LD_LIBRARY_PATH",
    ] {
        command.env_remove(name);
    }
    command
        .env("CARGO", "/usr/bin/cargo")
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTDOC", "/usr/bin/rustdoc");
    command
}
