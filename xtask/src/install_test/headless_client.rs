//! The headless client, from its installation to its purge.

use super::{
    Check,
    machine::{Machine, download, portal_url},
};
use anyhow::{Result, ensure};
use testbed::{CLIENT_TOKEN, layout};

const PROGRAM: &str = "firezone-headless-client";

pub(super) const CHECKS: &[Check] = &[
    ("the headless client is installed", installed),
    ("its program and its unit are sound", sound),
    ("a token among its settings", configured),
    ("signing in", signed_in),
    ("it gets ready, and names lead to resources", started),
    ("it has no right that it does not need", confined),
    ("root is told how it is doing, and nobody else", asked),
    ("a reload", reloaded),
    ("a client that is killed comes back", killed),
    ("an upgrade while it runs", upgraded),
    ("nothing has told the token", secret),
    ("a stop leaves nothing behind", stopped),
    (
        "resolv.conf rewritten by root, as the unit describes",
        rewritten,
    ),
    ("a purge leaves nothing behind", purged),
];

fn installed(machine: &Machine<'_>) -> Result<()> {
    let said = machine.install(PROGRAM)?;
    ensure!(
        said.contains("sign-in"),
        "it does not say how to go on: {said}"
    );
    machine.sh(&format!("systemctl is-enabled {PROGRAM}"))?;
    machine.refuses(&format!("systemctl is-active {PROGRAM}"))?;
    // Whoever starts it all the same reads in the journal what is missing.
    machine.refuses(&format!("systemctl start {PROGRAM}"))?;
    machine.sh(&format!(
        "journalctl --no-pager --unit {PROGRAM} | grep 'there is no token: .* sign-in'
        systemctl stop {PROGRAM}"
    ))?;
    Ok(())
}

fn sound(machine: &Machine<'_>) -> Result<()> {
    machine.require_program(PROGRAM)?;
    machine.require_unit(PROGRAM, 2.0)
}

fn configured(machine: &Machine<'_>) -> Result<()> {
    machine.sh(&format!(
        "printf 'FIREZONE_API_URL={}\\nFIREZONE_TOKEN={CLIENT_TOKEN}\\n' > /etc/default/{PROGRAM}
        systemctl start {PROGRAM}
        {PROGRAM} status --check ready
        systemctl stop {PROGRAM}",
        portal_url()
    ))?;
    machine.require_no_tunnel()
}

fn signed_in(machine: &Machine<'_>) -> Result<()> {
    machine.sh(&format!("echo {CLIENT_TOKEN} | {PROGRAM} sign-in"))?;
    let file = machine.sh("stat -c '%a %U %G' /etc/dev.firezone.client/token")?;
    ensure!(file.trim() == "600 root root", "the token file is {file}");
    machine.sh(&format!(
        "echo FIREZONE_API_URL={} > /etc/default/{PROGRAM}",
        portal_url()
    ))?;
    Ok(())
}

fn started(machine: &Machine<'_>) -> Result<()> {
    machine.sh(&format!("systemctl start {PROGRAM}"))?;
    machine.sh(&format!("{PROGRAM} status --check ready"))?;
    machine.sh(&download())?;
    // The others of the machine's names still lead where they did.
    machine.sh(&format!("getent hosts {}", layout::PORTAL_NAME))?;
    Ok(())
}

fn confined(machine: &Machine<'_>) -> Result<()> {
    let process = machine.sh(&format!(
        "cat /proc/$(systemctl show --value --property MainPID {PROGRAM})/status"
    ))?;
    let field = |name: &str| {
        let mut lines = process.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))
    };
    let user = field("Uid").and_then(|ids| ids.split('\t').next());
    ensure!(user != Some("0"), "root runs it");
    // CAP_NET_ADMIN is the twelfth capability.
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        let rights = field(set);
        ensure!(rights == Some("0000000000001000"), "{set} is {rights:?}");
    }
    Ok(())
}

fn asked(machine: &Machine<'_>) -> Result<()> {
    let status = machine.sh(&format!("{PROGRAM} status"))?;
    ensure!(
        status.lines().all(|line| line.chars().count() <= 80),
        "{status}"
    );
    machine.refuses(&format!(
        "setpriv --reuid=65534 --regid=65534 --clear-groups {PROGRAM} status"
    ))?;
    Ok(())
}

fn reloaded(machine: &Machine<'_>) -> Result<()> {
    machine.sh(&format!("systemctl reload {PROGRAM}"))?;
    machine.await_sh(&download())?;
    Ok(())
}

fn killed(machine: &Machine<'_>) -> Result<()> {
    machine.sh(&format!("systemctl kill --signal KILL {PROGRAM}"))?;
    machine.await_sh(&format!("{PROGRAM} status --check ready"))?;
    machine.await_sh(&download())?;
    Ok(())
}

fn upgraded(machine: &Machine<'_>) -> Result<()> {
    let id = format!("systemctl show --value --property MainPID {PROGRAM}");
    let before = machine.sh(&id)?;
    machine.install(PROGRAM)?;
    ensure!(machine.sh(&id)? != before, "the old program still runs");
    machine.await_sh(&download())?;
    Ok(())
}

fn secret(machine: &Machine<'_>) -> Result<()> {
    machine.refuses(&format!("journalctl --no-pager | grep {CLIENT_TOKEN}"))?;
    machine.refuses(&format!(
        "cd /proc/$(systemctl show --value --property MainPID {PROGRAM})
        grep {CLIENT_TOKEN} environ cmdline"
    ))?;
    Ok(())
}

fn stopped(machine: &Machine<'_>) -> Result<()> {
    machine.sh(&format!("systemctl stop {PROGRAM}"))?;
    machine.require_no_tunnel()
}

fn rewritten(machine: &Machine<'_>) -> Result<()> {
    let drop_in = format!("/etc/systemd/system/{PROGRAM}.service.d");
    let before = machine.sh("cat /etc/resolv.conf")?;
    // The unit's own text says what to write.
    machine.sh(&format!(
        "mkdir {drop_in}
        sed -n 's/^#   //p' /usr/lib/systemd/system/{PROGRAM}.service > {drop_in}/override.conf
        systemctl stop systemd-resolved
        mv /etc/resolv.conf /etc/resolv.conf.link
        echo nameserver {} > /etc/resolv.conf
        systemctl daemon-reload
        systemctl start {PROGRAM}",
        layout::RESOLVER
    ))?;
    let dns = machine.sh("cat /etc/resolv.conf")?;
    ensure!(dns.contains("100.100.111."), "it was not rewritten: {dns}");
    machine.await_sh(&download())?;
    machine.sh(&format!(
        "systemctl stop {PROGRAM}
        grep {} /etc/resolv.conf
        mv /etc/resolv.conf.link /etc/resolv.conf
        rm -r {drop_in} /etc/resolv.conf.before-firezone
        systemctl start systemd-resolved
        systemctl daemon-reload",
        layout::RESOLVER
    ))?;
    ensure!(
        machine.sh("cat /etc/resolv.conf")? == before,
        "it is another one"
    );
    machine.require_no_tunnel()
}

fn purged(machine: &Machine<'_>) -> Result<()> {
    machine.sh(&format!("systemctl start {PROGRAM}"))?;
    machine.sh(&format!("dpkg --purge {PROGRAM} 2>&1"))?;
    machine.require_no_tunnel()?;
    machine.refuses(&format!("systemctl cat {PROGRAM}"))?;
    machine.sh(
        "test ! -e /etc/dev.firezone.client && test ! -e /var/lib/private/dev.firezone.client",
    )?;
    Ok(())
}
