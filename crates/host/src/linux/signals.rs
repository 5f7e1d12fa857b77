//! Signals, signal(7).

use crate::Signal;
use std::{future::pending, io};
use tokio::signal::unix::{self, SignalKind, signal};

pub(crate) const fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Interrupt => "SIGINT",
        Signal::Terminate => "SIGTERM",
        Signal::HangUp => "SIGHUP",
    }
}

#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: Option<unix::Signal>,
}

impl Signals {
    pub(crate) fn new(with_hang_up: bool) -> io::Result<Self> {
        let hang_up = with_hang_up.then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: hang_up.transpose()?,
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => pending().await,
            }
        };
        // A stream of signals ends with its runtime, which also ends whoever waits here.
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = hang_up => Signal::HangUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{self, kill_process};

    #[tokio::test]
    async fn signals_arrive_as_what_they_are() {
        let mut signals = Signals::new(true).unwrap();
        for (sent, expected) in [
            (process::Signal::INT, Signal::Interrupt),
            (process::Signal::TERM, Signal::Terminate),
            (process::Signal::HUP, Signal::HangUp),
        ] {
            kill_process(process::getpid(), sent).unwrap();
            assert_eq!(signals.next().await, expected);
        }
    }
}
