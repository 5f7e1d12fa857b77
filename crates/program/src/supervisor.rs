//! What the service manager is told, if there is one. spec: client-app 4, 9

use sd_notify::NotifyState;
use std::{future::pending, io, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// The service manager. Without one, nothing happens.
#[derive(Debug, Default)]
pub struct Supervisor {
    watchdog: Option<Interval>,
    told: String,
}

impl Supervisor {
    /// One that is given the signs of life that it may want. Must be called in a runtime.
    pub fn with_watchdog() -> Self {
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

    /// The program does now what it is for.
    ///
    /// # Errors
    ///
    /// The manager cannot be told, and would wait in vain.
    pub fn ready(&self) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Ready]).map_err(|fault| {
            let text = "cannot notify the service manager at $NOTIFY_SOCKET";
            io::Error::new(fault.kind(), format!("{text}: {fault}"))
        })
    }

    /// The program does what it was sent SIGHUP for.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "There is no clock"),
        }
    }

    /// It has done that.
    pub fn reloaded(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The program ends.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// How things are, in a line. Nothing is said twice; whether this is news.
    pub fn status(&mut self, status: &str) -> bool {
        let is_news = self.told != status;
        if is_news {
            tell(&[NotifyState::Status(status)]);
            status.clone_into(&mut self.told);
        }
        is_news
    }

    /// Waits until the manager wants a sign of life; for ever if it wants none. Cancel-safe.
    pub async fn wants_sign(&mut self) {
        match &mut self.watchdog {
            Some(interval) => drop(interval.tick().await),
            None => pending().await,
        }
    }

    /// The sign of life.
    pub fn alive(&self) {
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
