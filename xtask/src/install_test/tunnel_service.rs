//! The tunnel service, from its installation to its purge, with `ctl` in the place of a GUI.

use super::{
    Check,
    machine::{Machine, download, portal_url},
};
use anyhow::{Result, ensure};
use testbed::CLIENT_TOKEN;

const PROGRAM: &str = "firezone-client-tunnel";

pub(super) const CHECKS: &[Check] = &[
    ("the tunnel service is installed and runs", installed),
    ("its program and its unit are sound", sound),
    ("its socket is for root and the group", guarded),
    ("a member of the group connects", connected),
    ("without its GUI nothing is left of a session", abandoned),
    ("an upgrade while it runs", upgraded),
    ("a purge leaves nothing behind", purged),
];

fn installed(machine: &Machine<'_>) -> Result<()> {
    machine.sh("useradd --create-home stranger; useradd --create-home member")?;
    machine.install_for("member", PROGRAM)?;
    machine.sh(&format!("systemctl is-active {PROGRAM}"))?;
    let groups = |user: &str| machine.sh(&format!("id --groups --name {user}"));
    ensure!(groups("member")?.contains("firezone-client"));
    ensure!(!groups("stranger")?.contains("firezone-client"));
    let status = machine.refuses(&format!("{PROGRAM} ctl status"))?;
    ensure!(!status.contains("Error"), "{status}");
    Ok(())
}

fn sound(machine: &Machine<'_>) -> Result<()> {
    machine.require_program(PROGRAM)?;
    // Giving files to the group and looking at the GUI's program take two more capabilities.
    machine.require_unit(PROGRAM, 3.0)
}

fn guarded(machine: &Machine<'_>) -> Result<()> {
    let socket = machine.sh("stat -c '%a %U %G' /run/dev.firezone.client/tunnel.sock")?;
    ensure!(
        socket.trim() == "660 root firezone-client",
        "it is {socket}"
    );
    // Shells may stand in for GUIs here.
    machine.sh(&format!(
        "echo FIREZONE_GUI=/usr/bin/{PROGRAM} > /etc/default/{PROGRAM}
        systemctl restart {PROGRAM}"
    ))?;
    let said = machine.refuses(&connect("stranger", ""))?;
    ensure!(said.contains("not permitted"), "{said}");
    Ok(())
}

/// A user connects; standard input has the token.
fn connect(user: &str, behind: &str) -> String {
    let url = portal_url();
    format!(
        "echo {CLIENT_TOKEN} | setpriv --reuid={user} --regid={user} --init-groups \
        {PROGRAM} ctl connect --api-url {url} {behind}"
    )
}

fn connected(machine: &Machine<'_>) -> Result<()> {
    machine.sh(&connect("member", ">/dev/null 2>&1 &"))?;
    machine.await_sh(&format!("{PROGRAM} ctl status"))?;
    machine.await_sh(&download())?;
    Ok(())
}

fn abandoned(machine: &Machine<'_>) -> Result<()> {
    machine.sh("pkill --signal KILL --euid member")?;
    machine.await_no_tunnel()
}

fn upgraded(machine: &Machine<'_>) -> Result<()> {
    machine.install(PROGRAM)?;
    machine.sh(&format!("systemctl is-active {PROGRAM}"))?;
    Ok(())
}

fn purged(machine: &Machine<'_>) -> Result<()> {
    machine.refuses(&format!("journalctl --no-pager | grep {CLIENT_TOKEN}"))?;
    machine.sh(&format!("dpkg --purge {PROGRAM} 2>&1"))?;
    machine.require_no_tunnel()?;
    machine.refuses(&format!("systemctl cat {PROGRAM}"))?;
    machine.sh("test ! -e /var/lib/dev.firezone.client && test ! -e /var/log/dev.firezone.client && test ! -e /run/dev.firezone.client")?;
    Ok(())
}
