//! Starts of the client that are cut short.

use super::Scene;
use anyhow::{Context as _, Result, ensure};
use std::{os::unix::process::ExitStatusExt as _, time::Duration};

/// Ages of the client in milliseconds, spread over its start; it is ready after some tens.
const AGES: [u64; 7] = [0, 4, 8, 16, 24, 40, 80];

/// SIGTERM.
const TERM: i32 = 15;

/// At no moment does SIGTERM leave anything behind.
pub(super) fn stopped(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    for age in AGES {
        let command = scene.network.client_command();
        let mut client = scene.network.start_beside("client", command)?;
        client.let_age(Duration::from_millis(age));
        let status = client.stop()?;
        ensure!(
            status.success() || status.signal() == Some(TERM),
            "the client ends with {status} when it is stopped after {age} ms"
        );
        scene
            .require(&state)
            .with_context(|| format!("stopped after {age} ms"))?;
    }
    scene
        .network
        .start_client_by(scene.network.client_command())?;
    scene.stop(&state).context("stopped when it was ready")
}

/// Whatever SIGKILL leaves behind, the next client copes with it and takes it away.
pub(super) fn killed(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    for age in AGES {
        let command = scene.network.client_command();
        let mut client = scene.network.start_beside("client", command)?;
        client.let_age(Duration::from_millis(age));
        client.kill();
        start_and_stop(scene, &state)
            .with_context(|| format!("after a client that was killed after {age} ms"))?;
    }
    scene
        .network
        .start_client_by(scene.network.client_command())?;
    scene.network.kill_client();
    ensure!(
        scene.require(&state).is_err(),
        "the killed client left nothing to take away"
    );
    start_and_stop(scene, &state).context("after a client that was killed when it was ready")
}

fn start_and_stop(scene: &mut Scene<'_>, state: &[String]) -> Result<()> {
    scene
        .network
        .start_client_by(scene.network.client_command())?;
    scene.stop(state)
}
