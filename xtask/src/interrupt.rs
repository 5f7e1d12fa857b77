//! What Ctrl-C does to a run.

use anyhow::{Context as _, Result};
use std::{fs, path::PathBuf, process::exit, sync::mpsc, thread};
use tokio::signal::unix::{SignalKind, signal};

/// Removes a run directory and ends this process when somebody interrupts it or asks it to end.
/// Namespaces and programs end with it.
///
/// Returns when the signals are listened to.
pub(crate) fn end_on_signals(directory: PathBuf) -> Result<()> {
    let (report, listening) = mpsc::channel();
    let listen = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hangup = signal(SignalKind::hangup())?;
            report.send(()).unwrap_or_default();
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            // The next start removes what is left.
            drop(fs::remove_dir_all(&directory));
            exit(130)
        })
    };
    let _listener = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || -> std::io::Result<()> { listen() })?;
    listening.recv().context("cannot listen for signals")
}
