//! The tunnel service, and `ctl` in the place of a GUI.

use super::Scene;
use anyhow::{Context as _, Result, ensure};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    process::{Child, Command, Stdio},
};
use testbed::{CLIENT_TOKEN, layout};

/// Exit code of `ctl status` without a connection.
const NOT_CONNECTED: i32 = 3;

/// Where the service listens.
const SOCKETS: [&str; 2] = [
    "/run/dev.firezone.client/tunnel.sock",
    "/run/dev.firezone.client/control.sock",
];

/// A session lives as long as its GUI, however that ends.
pub(super) fn connected(scene: &mut Scene<'_>) -> Result<()> {
    let client = scene.testbed.client();
    client.run(add_group)?.context("add a group")?;
    let state = client.network_state()?;
    ensure!(
        status(scene)? == 1,
        "somebody answers before the service runs"
    );
    let mut command = program(scene);
    command
        .args(["run-interactive", "--dns-control", "etc-resolv-conf"])
        .env("RUST_LOG", "info");
    let mut service = scene.network.start_beside("service", command)?;
    await_status(scene, NOT_CONNECTED)?;
    scene.require(&state).context("without a session")?;
    for _ in 0..2 {
        let mut gui = connect(scene)?;
        await_status(scene, 0)?;
        scene.use_it_soon()?;
        gui.kill().context("kill ctl")?;
        gui.wait()?;
        scene.await_that(|| scene.require(&state))?;
        await_status(scene, NOT_CONNECTED)?;
    }
    let ended = service.stop()?;
    ensure!(ended.success(), "the service ends with {ended}");
    scene.require(&state)?;
    let left = client.run(|| SOCKETS.map(|path| fs::exists(path).unwrap_or(true)))?;
    ensure!(left == [false; 2], "the service leaves sockets behind");
    Ok(())
}

/// The group of GUIs, which the package makes; `/etc` is the host's own.
fn add_group() -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).open("/etc/group")?;
    writeln!(file, "firezone-client:x:64000:")
}

/// The service's program without its settings.
fn program(scene: &Scene<'_>) -> Command {
    let mut command = Command::new(scene.service);
    command.env_clear();
    command
}

/// A GUI that is told to connect.
fn connect(scene: &Scene<'_>) -> Result<Child> {
    let url = format!("ws://{}:{}/", layout::PORTAL_NAME, layout::PORTAL_PORT);
    let mut command = program(scene);
    command
        .args(["ctl", "connect", "--api-url", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut gui = scene.testbed.client().spawn(command)?;
    let mut input = gui.stdin.take().context("ctl takes no input")?;
    writeln!(input, "{CLIENT_TOKEN}").context("give ctl its token")?;
    Ok(gui)
}

/// The exit code of `ctl status`.
fn status(scene: &Scene<'_>) -> Result<i32> {
    let mut command = program(scene);
    command.args(["ctl", "status"]);
    let output = scene.output(command)?;
    output.status.code().context("ctl status was killed")
}

fn await_status(scene: &Scene<'_>, expected: i32) -> Result<()> {
    scene.await_that(|| {
        let code = status(scene)?;
        ensure!(
            code == expected,
            "ctl status ends with {code}, not {expected}"
        );
        Ok(())
    })
}
