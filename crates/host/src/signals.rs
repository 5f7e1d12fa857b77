//! What the system and whoever started the program want of it.

use crate::imp;
use std::{fmt, io};

/// A wish that reaches the process from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Whoever sits at the terminal wants the program to stop: SIGINT, Ctrl+C.
    Interrupt,
    /// The system or its service manager wants the program to stop: SIGTERM, a console that closes,
    /// the stop control of a service.
    Terminate,
    /// A service is to begin anew, or a terminal is gone: SIGHUP. Not every system has it.
    HangUp,
}

impl Signal {
    /// What the system calls it.
    pub const fn name(self) -> &'static str {
        imp::signals::name(self)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Signals as they arrive. While the value exists, they no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals(imp::signals::Signals);

impl Signals {
    /// All signals. Must be called in a runtime.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn new() -> io::Result<Self> {
        imp::signals::Signals::new(true).map(Self)
    }

    /// All signals except [`Signal::HangUp`], which does what the system does by default. Must be
    /// called in a runtime.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn without_hang_up() -> io::Result<Self> {
        imp::signals::Signals::new(false).map(Self)
    }

    /// Waits for the next signal. Cancel-safe.
    pub async fn next(&mut self) -> Signal {
        self.0.next().await
    }
}
