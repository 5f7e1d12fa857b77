//! What the tests need from the machine, and how it gets there.

use super::unpack;
use crate::{
    packages,
    progress::say,
    requirements::{is_root, quiet},
    workspace,
};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Folders of system tools that are not always in `PATH`.
const SYSTEM_TOOLS: &[&str] = &["/usr/sbin", "/sbin"];

/// Something that has to be there.
struct Need {
    name: &'static str,
    is_there: fn() -> bool,
    remedy: Remedy,
}

/// How to get it.
#[derive(Debug, Clone, Copy)]
enum Remedy {
    /// A package of the distribution; installing takes root.
    Package(&'static str),
    /// Packages whose files are only unpacked, because installing them would change the machine.
    Unpacked(&'static [&'static str]),
    /// A call of cargo.
    Cargo(&'static str),
    /// A person has to do it.
    Tell(&'static str),
}

impl Remedy {
    /// What to type, or what to do.
    fn text(self) -> String {
        match self {
            Self::Package(package) => packages::hint(package),
            Self::Unpacked(packages) => {
                let packages = packages.join(" ");
                format!("apt-get update, then `cargo xtask test` unpacks {packages}")
            }
            Self::Cargo(arguments) => format!("cargo {arguments}"),
            Self::Tell(text) => text.to_owned(),
        }
    }

    /// Whether this program may do it by itself.
    fn is_allowed(self, is_root: bool) -> bool {
        match self {
            Self::Package(_) => is_root,
            Self::Cargo(_) | Self::Unpacked(_) => true,
            Self::Tell(_) => false,
        }
    }
}

const NEEDS: &[Need] = &[
    Need {
        name: "a C compiler",
        is_there: || has_tool("cc"),
        remedy: Remedy::Package("gcc"),
    },
    Need {
        name: "cargo-nextest",
        is_there: || succeeds(cargo_version_of("nextest")),
        remedy: Remedy::Cargo("install --locked cargo-nextest"),
    },
    Need {
        name: "cargo-deny",
        is_there: || succeeds(cargo_version_of("deny")),
        remedy: Remedy::Cargo("install --locked cargo-deny"),
    },
    Need {
        name: "rustfmt",
        is_there: || succeeds(cargo_version_of("fmt")),
        remedy: Remedy::Tell("rustup component add rustfmt"),
    },
    Need {
        name: "clippy",
        is_there: || succeeds(cargo_version_of("clippy")),
        remedy: Remedy::Tell("rustup component add clippy"),
    },
    Need {
        name: "nft",
        is_there: || has_tool("nft"),
        remedy: Remedy::Package("nftables"),
    },
    Need {
        name: "dig",
        is_there: || has_tool("dig"),
        remedy: Remedy::Package("bind9-dnsutils"),
    },
    Need {
        name: "unbound",
        is_there: || has_tool("unbound"),
        remedy: Remedy::Package("unbound"),
    },
    Need {
        name: "dbus-daemon",
        is_there: || has_tool("dbus-daemon"),
        remedy: Remedy::Package("dbus-daemon"),
    },
    Need {
        name: "setpriv",
        is_there: || has_tool("setpriv"),
        remedy: Remedy::Package("util-linux"),
    },
    Need {
        name: "systemd-resolved",
        is_there: unpack::has_resolved,
        remedy: Remedy::Unpacked(&["systemd-resolved", "libsystemd-shared"]),
    },
    Need {
        name: "/dev/net/tun",
        is_there: || Path::new("/dev/net/tun").exists(),
        remedy: Remedy::Tell("load the kernel's tun module; in a container, pass the device in"),
    },
    Need {
        name: "permission to make network namespaces",
        is_there: can_make_namespaces,
        remedy: Remedy::Tell(
            "run as root with CAP_SYS_ADMIN, or let users make user namespaces (sysctl \
             kernel.apparmor_restrict_unprivileged_userns=0, kernel.unprivileged_userns_clone=1)",
        ),
    },
];

/// Makes sure that everything is there, or says what is missing.
pub(super) fn provide(may_install: bool) -> Result<()> {
    let is_root = is_root();
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.is_there)()).collect();
    for need in &missing {
        say(&format!("missing: {}", need.name));
        if may_install && need.remedy.is_allowed(is_root) {
            install(need.remedy).with_context(|| format!("cannot install {}", need.name))?;
        }
    }
    let missing: Vec<&Need> = missing
        .into_iter()
        .filter(|need| !(need.is_there)())
        .collect();
    match report(&missing) {
        None => Ok(()),
        Some(text) => bail!("the tests need more than there is here:\n{text}"),
    }
}

/// A line per need; none if there is nothing to report.
fn report(missing: &[&Need]) -> Option<String> {
    let lines = missing
        .iter()
        .map(|need| format!("  {}: {}", need.name, need.remedy.text()));
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn install(remedy: Remedy) -> Result<()> {
    match remedy {
        Remedy::Package(package) => packages::install(package),
        Remedy::Unpacked(packages) => unpack::unpack(packages),
        Remedy::Cargo(arguments) => {
            let mut install = workspace::cargo();
            let status = install.args(arguments.split(' ')).status()?;
            ensure!(status.success(), "{install:?} failed with {status}");
            Ok(())
        }
        Remedy::Tell(_) => Ok(()),
    }
}

fn has_tool(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(SYSTEM_TOOLS.iter().map(PathBuf::from));
    is_in(folders, name)
}

fn is_in(mut folders: impl Iterator<Item = PathBuf>, name: &str) -> bool {
    folders.any(|folder| folder.join(name).is_file())
}

fn cargo_version_of(tool: &str) -> Command {
    let mut command = workspace::cargo();
    command.args([tool, "--version"]);
    command
}

/// Asks the kernel by doing it, since several switches have a say.
fn can_make_namespaces() -> bool {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "true"]);
    succeeds(command)
}

fn succeeds(mut command: Command) -> bool {
    let status = quiet(&mut command).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absent(remedy: Remedy) -> Need {
        Need {
            name: "it",
            is_there: || false,
            remedy,
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let (package, tell) = (absent(Remedy::Package("x")), absent(Remedy::Tell("do it")));
        assert_eq!(report(&[]), None);
        let expected = "  it: apt-get install x\n  it: do it";
        assert_eq!(report(&[&package, &tell]).as_deref(), Some(expected));
    }

    #[test]
    fn only_root_installs_packages() {
        assert!(Remedy::Package("x").is_allowed(true));
        assert!(!Remedy::Package("x").is_allowed(false));
        assert!(Remedy::Cargo("install x").is_allowed(false));
        assert!(Remedy::Unpacked(&["x"]).is_allowed(false));
        assert!(!Remedy::Tell("x").is_allowed(true));
    }

    #[test]
    fn tools_are_looked_for_in_all_folders() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let folders = || [root.join("nowhere"), root.clone()].into_iter();
        assert!(is_in(folders(), "Cargo.toml"));
        assert!(!is_in(folders(), "no-such-tool"));
        assert!(!is_in(folders(), "src"), "a folder is no tool");
    }
}
