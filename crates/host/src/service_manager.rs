//! What the service manager is told, if there is one. spec: client-app 4, 9, 12.1

use crate::imp;
use std::io;

/// The service manager. Without one, nothing happens.
#[derive(Debug, Default)]
pub struct ServiceManager {
    manager: imp::service_manager::ServiceManager,
    last_status: String,
}

impl ServiceManager {
    /// One that gets the signs of life that it may want. Must be called in a runtime.
    pub fn with_watchdog() -> Self {
        Self {
            manager: imp::service_manager::ServiceManager::with_watchdog(),
            last_status: String::new(),
        }
    }

    /// The program has done all that others wait for.
    ///
    /// # Errors
    ///
    /// The manager cannot be told, and would wait in vain.
    pub fn ready(&self) -> io::Result<()> {
        self.manager.ready()
    }

    /// The program begins to do what [`crate::Signal::HangUp`] asks for.
    pub fn reloading(&self) {
        self.manager.reloading();
    }

    /// It has done that.
    pub fn reloaded(&self) {
        self.manager.reloaded();
    }

    /// The program ends.
    pub fn stopping(&self) {
        self.manager.stopping();
    }

    /// How things are, in a line. Nothing is said twice in a row; whether this differs from the line
    /// before.
    pub fn status(&mut self, status: &str) -> bool {
        let differs = self.last_status != status;
        if differs {
            self.manager.status(status);
            status.clone_into(&mut self.last_status);
        }
        differs
    }

    /// Waits until the manager wants a sign of life; for ever if it wants none. Cancel-safe.
    pub async fn wants_sign(&mut self) {
        self.manager.wants_sign().await;
    }

    /// The sign of life.
    pub fn alive(&self) {
        self.manager.alive();
    }
}
