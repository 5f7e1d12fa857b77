//! What the service manager is told, if there is one. spec: client-app 4, 9

use anyhow::{Context as _, Result};
use client::{PortalState, Status};
use sd_notify::NotifyState;
use std::{future::pending, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// The service manager.
pub(crate) struct Supervisor {
    watchdog: Option<Interval>,
    told: String,
}

impl Supervisor {
    /// Must be called in a runtime.
    pub(crate) fn new() -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|patience| {
            let period = (patience / 2).max(Duration::from_millis(1));
            let mut interval = interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self {
            watchdog,
            told: String::new(),
        }
    }

    /// Addresses, routes and DNS are set. A manager that cannot be told would wait in vain.
    pub(crate) fn ready(&self) -> Result<()> {
        sd_notify::notify(&[NotifyState::Ready])
            .context("cannot notify the service manager at $NOTIFY_SOCKET")
    }

    /// Connections are being made anew.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "There is no clock"),
        }
    }

    /// They are being made; the rest happens by itself.
    pub(crate) fn reloaded(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The client ends.
    pub(crate) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// How things are, in a line; nothing is said twice.
    pub(crate) fn status(&mut self, status: &Status) {
        let text = line(status);
        if text != self.told {
            tell(&[NotifyState::Status(&text)]);
            self.told = text;
        }
    }

    /// Waits until the manager wants a sign of life; for ever if it wants none. Cancel-safe.
    pub(crate) async fn wants_sign(&mut self) {
        match &mut self.watchdog {
            Some(interval) => drop(interval.tick().await),
            None => pending().await,
        }
    }

    /// The sign of life.
    pub(crate) fn alive(&self) {
        if self.watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// A manager that does not listen for a while, as when it executes itself anew, is no reason to end.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "The service manager does not listen");
    }
}

fn line(status: &Status) -> String {
    let portal = match status.portal {
        PortalState::Connecting => "Connecting to the portal",
        PortalState::Connected => "Connected to the portal",
        PortalState::Disconnected => "Disconnected",
    };
    let connected = status.connections.iter();
    let gateways = connected.filter(|(_, peer)| peer.path.is_some()).count();
    let resources = status.resources.len();
    format!("{portal}; resources: {resources}, gateways in use: {gateways}")
}
