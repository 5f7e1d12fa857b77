//! Which way packets take, and what happens when it ends.

use super::{Scene, Way};
use anyhow::{Result, ensure};

pub(super) fn direct(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    scene.network.start_client()?;
    let path = scene.use_it()?;
    ensure!(path == Some(Way::Direct), "packets went {path:?}");
    scene.stop(&state)
}

pub(super) fn relayed(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    scene.network.start_client()?;
    let path = scene.use_it()?;
    ensure!(path == Some(Way::Relayed), "packets went {path:?}");
    scene.stop(&state)
}

pub(super) fn restarted_portal(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    scene.network.start_client()?;
    scene.use_it()?;
    scene.network.restart_portal()?;
    scene.use_it_soon()?;
    scene.stop(&state)
}
