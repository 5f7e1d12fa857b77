//! systemd, sd_notify(3).

use sd_notify::NotifyState;
use std::{future::pending, io, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

#[derive(Debug, Default)]
pub(crate) struct ServiceManager {
    watchdog: Option<Interval>,
}

impl ServiceManager {
    pub(crate) fn with_watchdog() -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|limit| {
            let period = (limit / 2).max(Duration::from_millis(1));
            let mut interval = interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self { watchdog }
    }

    pub(crate) fn ready(&self) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Ready]).map_err(|error| {
            let text = "cannot notify the service manager at $NOTIFY_SOCKET";
            io::Error::new(error.kind(), format!("{text}: {error}"))
        })
    }

    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "There is no clock for the service manager"),
        }
    }

    pub(crate) fn reloaded(&self) {
        notify(&[NotifyState::Ready]);
    }

    pub(crate) fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    pub(crate) fn status(&self, status: &str) {
        notify(&[NotifyState::Status(status)]);
    }

    pub(crate) async fn wants_sign(&mut self) {
        match &mut self.watchdog {
            Some(interval) => drop(interval.tick().await),
            None => pending().await,
        }
    }

    pub(crate) fn alive(&self) {
        if self.watchdog.is_some() {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

/// A manager that does not listen for a while, as when it executes itself anew, is no reason to end.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "The service manager does not listen");
    }
}
