//! The life of the client. spec: client-app 9

use crate::{cli::Cli, host, log, settings};
use anyhow::{Context as _, Result};
use client::{Event, EventStream, Session};
use sd_notify::NotifyState;
use secrecy::SecretString;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs until a signal, or until the session ends by itself.
pub(crate) fn run(cli: Cli, token: Option<SecretString>) -> Result<()> {
    let _logging = log::start(&cli.log_filter, cli.log_dir.as_deref())?;
    tracing::info!(
        arch = std::env::consts::ARCH,
        os = std::env::consts::OS,
        version = env!("CARGO_PKG_VERSION"),
        "Starting"
    );
    tracing::debug!(?cli);
    let settings = settings::resolve(&cli, token)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let options = host::Options {
            dns_control: cli.dns_control,
            ..host::Options::default()
        };
        let platform = host::Platform::new(options)?;
        if cli.check {
            // Dropping it would undo what a crashed run left behind: checking leaves the host alone.
            std::mem::forget(platform);
            tracing::info!("Everything that can be checked without changes is in place");
            return Ok(());
        }
        let signals = Signals::new().context("cannot listen for signals")?;
        let (session, events) = Session::connect(settings, platform)?;
        let result = serve(&session, events, signals, cli.exit).await;
        if let Err(error) = notify(&[NotifyState::Stopping]) {
            tracing::debug!(%error, "The service manager does not listen any more");
        }
        session.disconnect().await;
        result
    })
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

async fn serve(
    session: &Session,
    mut events: EventStream,
    mut signals: Signals,
    exit_when_ready: bool,
) -> Result<()> {
    loop {
        tokio::select! {
            _ = signals.hangup.recv() => session.reset("SIGHUP").await,
            _ = signals.interrupt.recv() => {
                tracing::info!("Stopping on SIGINT");
                return Ok(());
            }
            _ = signals.terminate.recv() => {
                tracing::info!("Stopping on SIGTERM");
                return Ok(());
            }
            event = events.next() => match event {
                Some(Event::Ready(_)) => {
                    notify(&[NotifyState::Ready])?;
                    if exit_when_ready {
                        return Ok(());
                    }
                }
                Some(Event::Disconnected(reason)) => return Err(reason.into()),
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

/// Tells the service manager, if there is one. spec: client-app 4
fn notify(states: &[NotifyState<'_>]) -> Result<()> {
    sd_notify::notify(states).context("cannot notify the service manager at $NOTIFY_SOCKET")
}
