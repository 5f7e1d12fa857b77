//! A machine of its own: systemd and what it starts, in namespaces, on a host of the devnet.

use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use testbed::{Host, layout, pause};

/// How long the machine may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look whether something has happened.
const INTERVAL: Duration = Duration::from_millis(50);

/// Where the packages are on the machine.
const PACKAGES: &str = "/packages";

/// Fetches a page of the resource by its name.
pub(super) fn download() -> String {
    format!(
        "curl --silent --show-error --fail --max-time 5 --output /dev/null http://{}/bytes/100000",
        layout::RESOURCE_NAME
    )
}

/// The base URL of the devnet's portal.
pub(super) fn portal_url() -> String {
    format!("ws://{}:{}/", layout::PORTAL_NAME, layout::PORTAL_PORT)
}

/// First part of the names of control groups.
const GROUP: &str = "firezone-install-test-";

/// Starts it: in a control group of its own, which systemd then divides, and in a space of process
/// numbers that ends with the first process, however that ends. Groups that interrupted runs left
/// are empty, and can be removed.
const BOOT: &str = "set -e
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    for group in \"/sys/fs/cgroup/$STALE\"*; do
        find \"$group\" -depth -type d -exec rmdir {} ';' 2>/dev/null || true
    done
    mkdir \"/sys/fs/cgroup/$GROUP\"
    echo 0 > \"/sys/fs/cgroup/$GROUP/cgroup.procs\"
    exec unshare --pid --fork --kill-child --mount-proc systemd-nspawn \"$@\"";

/// A running machine. Its files are gone with it.
pub(super) struct Machine<'a> {
    host: &'a Host,
    keeper: Child,
    group: String,
}

impl<'a> Machine<'a> {
    /// Boots the files of `root` in the network of `host`; they stay as they are.
    pub(super) fn boot(host: &'a Host, root: &Path, packages: &Path, logs: &Path) -> Result<Self> {
        let group = format!("{GROUP}{}", std::process::id());
        let console = File::create(logs.join("console"))?;
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                BOOT,
                "boot",
                "--quiet",
                "--register=no",
                "--keep-unit",
            ])
            .args(["--boot", "--console=pipe", "--volatile=overlay"])
            .args(["--resolv-conf=off", "--link-journal=no", "--settings=no"])
            .args(["--capability=CAP_NET_ADMIN", "--bind=/dev/net/tun"])
            .arg(format!("--bind-ro={}:{PACKAGES}", packages.display()))
            .arg("--directory")
            .arg(root)
            .env("GROUP", &group)
            .env("STALE", GROUP)
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console);
        // As distributions have it.
        host.share_tun()?;
        let keeper = host.spawn(command)?;
        let machine = Self {
            host,
            keeper,
            group,
        };
        machine.await_that("the system to be up", |machine| {
            let state = machine.output("systemctl is-system-running")?;
            match String::from_utf8_lossy(&state.stdout).trim() {
                "running" => Ok(()),
                "degraded" => bail!("{}", machine.sh("systemctl --failed --plain")?),
                state => bail!("it is {state:?}"),
            }
        })?;
        machine.use_resolver()?;
        Ok(machine)
    }

    /// Runs a script in a shell on the machine, as root; what it printed.
    pub(super) fn sh(&self, script: &str) -> Result<String> {
        let output = self.output(script)?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "`{script}` ended with {}: {printed}{errors}",
            output.status
        );
        Ok(printed)
    }

    /// Runs a script that has to fail; what it said.
    pub(super) fn refuses(&self, script: &str) -> Result<String> {
        let output = self.output(script)?;
        ensure!(!output.status.success(), "`{script}` succeeds");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Runs a script until it succeeds.
    pub(super) fn await_sh(&self, script: &str) -> Result<String> {
        self.await_that(script, |machine| machine.sh(script))
    }

    /// Installs the package of a program.
    pub(super) fn install(&self, program: &str) -> Result<String> {
        self.sh(&format!("dpkg --install {PACKAGES}/{program}_*.deb 2>&1"))
    }

    /// A program has to run, to be static, and to have come with its texts.
    pub(super) fn require_program(&self, program: &str) -> Result<()> {
        self.sh(&format!("{program} --version && {program} --help"))?;
        let linked = self.sh(&format!("ldd /usr/bin/{program} 2>&1 || true"))?;
        let is_static = ["statically linked", "not a dynamic executable"]
            .iter()
            .any(|text| linked.contains(text));
        ensure!(is_static, "it needs libraries: {linked}");
        self.sh(&format!(
            "cd /usr/share
            test -s man/man1/{program}.1
            test -s bash-completion/completions/{program}
            test -s doc/{program}/copyright"
        ))
        .map(drop)
    }

    /// A unit has to be right, and its exposure at most that of ten.
    pub(super) fn require_unit(&self, unit: &str, exposure: f64) -> Result<()> {
        let complaints = self.sh(&format!(
            "systemd-analyze verify --man=no {unit}.service 2>&1"
        ))?;
        ensure!(complaints.is_empty(), "the unit is wrong: {complaints}");
        let text = self.sh(&format!(
            "systemd-analyze security --no-pager {unit}.service 2>&1 | grep 'Overall exposure'"
        ))?;
        let figure = text
            .split_whitespace()
            .find_map(|word| word.parse::<f64>().ok());
        let figure = figure.with_context(|| format!("no figure in {text}"))?;
        ensure!(figure <= exposure, "the exposure is {figure}");
        Ok(())
    }

    /// Interface, rules and DNS have to be as without a tunnel.
    pub(super) fn require_no_tunnel(&self) -> Result<()> {
        self.refuses("ip link show tun-firezone")?;
        let rules = self.sh("ip rule; ip -6 rule")?;
        ensure!(!rules.contains("0xfd002021"), "rules are left: {rules}");
        let dns = self.sh("resolvectl status --no-pager; cat /etc/resolv.conf")?;
        ensure!(!dns.contains("100.100.111."), "DNS is left: {dns}");
        self.sh(&format!("getent hosts {}", layout::PORTAL_NAME))
            .map(drop)
    }

    /// That is soon so.
    pub(super) fn await_no_tunnel(&self) -> Result<()> {
        self.await_that("the end of the tunnel", Self::require_no_tunnel)
    }

    /// Installs the package of a program as a user does with `sudo`.
    pub(super) fn install_for(&self, user: &str, program: &str) -> Result<String> {
        self.sh(&format!(
            "SUDO_USER={user} dpkg --install {PACKAGES}/{program}_*.deb 2>&1"
        ))
    }

    fn output(&self, script: &str) -> Result<Output> {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.leader()?))
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"])
            .args(["--", "sh", "-ec", script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        command.output().context("cannot start nsenter")
    }

    fn await_that<T>(&self, what: &str, look: impl Fn(&Self) -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match look(self) {
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("waited in vain for {what}")));
                }
                Err(_) => pause(INTERVAL),
                found => return found,
            }
        }
    }

    /// The first process of the machine, below those that keep it.
    fn leader(&self) -> Result<u32> {
        let nspawn = only_child(self.keeper.id())?;
        only_child(nspawn)
    }

    /// The public resolver of the devnet, as if a lease had named it.
    fn use_resolver(&self) -> Result<()> {
        let folder = "/run/systemd/resolved.conf.d";
        let (v4, v6) = (layout::RESOLVER, layout::RESOLVER6);
        self.sh(&format!(
            "mkdir -p {folder}
            printf '[Resolve]\\nDNS={v4} {v6}\\nFallbackDNS=\\n' > {folder}/devnet.conf
            systemctl restart systemd-resolved"
        ))
        .map(drop)
    }

    /// Writes the machine's journal down.
    pub(super) fn keep_journal(&self, logs: &Path) -> Result<()> {
        let journal = self.sh("journalctl --no-pager --boot")?;
        fs::write(logs.join("journal"), journal).context("cannot keep the journal")
    }

    /// Shuts the machine down.
    pub(super) fn stop(&mut self) -> Result<()> {
        // The connection may end before the answer.
        drop(self.output("systemctl poweroff"));
        let deadline = Instant::now() + PATIENCE;
        while self.keeper.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the machine does not stop");
            pause(INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        // Both fail if the machine was stopped.
        drop(self.keeper.kill());
        drop(self.keeper.wait());
        let group = format!("/sys/fs/cgroup/{}", self.group);
        drop(self.host.run(move || {
            let deadline = Instant::now() + PATIENCE;
            // What was killed takes a moment to go.
            while !remove_groups(Path::new(&group)) && Instant::now() < deadline {
                pause(INTERVAL);
            }
        }));
    }
}

fn only_child(id: u32) -> Result<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    let child = children.split_whitespace().next();
    Ok(child.context("the machine has no process")?.parse()?)
}

/// Removes a control group and those below; only folders can be removed there. Whether it is gone.
fn remove_groups(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    fs::remove_dir(group).is_ok()
}
