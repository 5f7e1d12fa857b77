//! Debian packages. Their contents are laid out in a folder that `dpkg-deb` packs.

use super::target::Target;
use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// What is packed.
#[derive(Debug)]
pub(super) struct Package {
    /// Its folder below `packaging`.
    pub(super) folder: &'static str,
    /// The program's name, which is the package's, too.
    pub(super) program: &'static str,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds one into `out`, in which the program is already; returns the package.
pub(super) fn build(
    package: &Package,
    out: &Path,
    target: &Target,
    epoch: &str,
) -> Result<PathBuf> {
    let stage = out.join(format!("{}.stage", package.program));
    let layout = Layout {
        package,
        target,
        source: workspace::root().join("packaging").join(package.folder),
        stage: &stage,
    };
    layout.program(&out.join(package.program))?;
    layout.system()?;
    layout.control()?;
    let file = out.join(format!(
        "{}_{VERSION}_{}.deb",
        package.program, target.debian
    ));
    let mut command = Command::new("dpkg-deb");
    command
        .args(["--build", "--root-owner-group", "-Zxz"])
        .arg(&stage)
        .arg(&file)
        .env("SOURCE_DATE_EPOCH", epoch)
        .stdout(std::process::Stdio::null());
    ensure!(
        command.status()?.success(),
        "dpkg-deb could not pack {}",
        package.program
    );
    fs::remove_dir_all(&stage)?;
    Ok(file)
}

struct Layout<'a> {
    package: &'a Package,
    target: &'a Target,
    source: PathBuf,
    stage: &'a Path,
}

impl Layout<'_> {
    /// The program, and what it says about itself.
    fn program(&self, program: &Path) -> Result<()> {
        let name = self.package.program;
        let content = fs::read(program)?;
        self.put(&format!("usr/bin/{name}"), &content, 0o755)?;
        let ask = |arguments: &[&str]| -> Result<Vec<u8>> {
            let output = self.target.command(program).args(arguments).output();
            let output = output.with_context(|| format!("cannot start {name}"))?;
            ensure!(output.status.success(), "{name} {arguments:?} failed");
            Ok(output.stdout)
        };
        let page = ask(&["manual"])?;
        self.put(&format!("usr/share/man/man1/{name}.1"), &page, 0o644)?;
        for (shell, path) in [
            (
                "bash",
                format!("usr/share/bash-completion/completions/{name}"),
            ),
            (
                "fish",
                format!("usr/share/fish/vendor_completions.d/{name}.fish"),
            ),
            ("zsh", format!("usr/share/zsh/vendor-completions/_{name}")),
        ] {
            self.put(&path, &ask(&["completions", shell])?, 0o644)?;
        }
        Ok(())
    }

    /// What the system's own services read.
    fn system(&self) -> Result<()> {
        let name = self.package.program;
        for (file, path) in [
            (
                format!("{name}.service"),
                format!("usr/lib/systemd/system/{name}.service"),
            ),
            (
                format!("{name}.sysusers"),
                format!("usr/lib/sysusers.d/{name}.conf"),
            ),
            (
                format!("{name}.rules"),
                format!("usr/share/polkit-1/rules.d/50-{name}.rules"),
            ),
        ] {
            let file = self.source.join(file);
            if file.exists() {
                self.put(&path, &fs::read(file)?, 0o644)?;
            }
        }
        let copyright = fs::read(self.source.with_file_name("copyright"))?;
        self.put(
            &format!("usr/share/doc/{name}/copyright"),
            &copyright,
            0o644,
        )
    }

    /// What `dpkg` reads.
    fn control(&self) -> Result<()> {
        let control = fs::read_to_string(self.source.join("control"))?;
        let control = control
            .replace("@VERSION@", VERSION)
            .replace("@ARCHITECTURE@", self.target.debian);
        self.put("DEBIAN/control", control.as_bytes(), 0o644)?;
        for script in ["postinst", "prerm", "postrm"] {
            let content = fs::read(self.source.join(script))?;
            self.put(&format!("DEBIAN/{script}"), &content, 0o755)?;
        }
        Ok(())
    }

    fn put(&self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let path = self.stage.join(path);
        let write = || {
            let directory = path.parent().unwrap_or(self.stage);
            fs::create_dir_all(directory)?;
            // Whatever the umask says.
            for parent in directory
                .ancestors()
                .take_while(|p| p.starts_with(self.stage))
            {
                fs::set_permissions(parent, Permissions::from_mode(0o755))?;
            }
            fs::write(&path, content)?;
            fs::set_permissions(&path, Permissions::from_mode(mode))
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}
