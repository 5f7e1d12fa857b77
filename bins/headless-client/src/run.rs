//! The life of the client. spec: client-app 9

use crate::{
    cli::{Cli, Options},
    settings,
    status::{self, Program, Report},
};
use anyhow::{Context as _, Result};
use client::{Event, EventStream, PortalState, Session, Status};
use host::{ServiceManager, Signal, Signals};
use platform::Platform as _;
use secrecy::SecretString;
use std::time::Instant;

/// What one socket buffer may take at most when it may take as much as the tunnel wants.
const SOCKET_BUFFER: usize = 128 * 1024 * 1024;

/// Runs until a signal, or until the session ends by itself.
pub(crate) fn run(cli: &Cli, token: Option<SecretString>) -> Result<()> {
    let options = &cli.options;
    if options.inc_buf
        && let Err(error) = host::raise_socket_buffer_limits(SOCKET_BUFFER)
    {
        tracing::warn!(%error, "The limits of socket buffers stay");
    }
    let found = settings::Found::gather(options, token)?;
    let settings = settings::resolve(options, found);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let signals = Signals::new().context("cannot listen for signals")?;
        let platform = cli_support::Platform::open(options.host.options())?;
        let (session, events) = Session::connect(settings, platform)?;
        let mut client = Client {
            options,
            session: &session,
            service_manager: ServiceManager::with_watchdog(),
            status: status::Server::listen().await,
            started: Instant::now(),
            is_ready: false,
        };
        let result = client.serve(events, signals, cli.early().exit).await;
        client.service_manager.stopping();
        drop(client);
        session.disconnect().await;
        result
    })
}

/// A running client.
struct Client<'a> {
    options: &'a Options,
    session: &'a Session,
    service_manager: ServiceManager,
    status: status::Server,
    started: Instant,
    is_ready: bool,
}

impl Client<'_> {
    async fn serve(
        &mut self,
        mut events: EventStream,
        mut signals: Signals,
        exit_when_ready: bool,
    ) -> Result<()> {
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::HangUp => self.reset(signal.name()).await,
                    Signal::Interrupt | Signal::Terminate => {
                        tracing::info!(%signal, "Stopping");
                        return Ok(());
                    }
                },
                stream = self.status.accept() => {
                    if let Some(report) = self.report().await {
                        self.status.send(stream, &report);
                    }
                }
                () = self.service_manager.wants_sign() => self.show_life().await,
                event = events.next() => match event {
                    Some(Event::Disconnected(reason)) => return Err(reason.into()),
                    Some(Event::Ready(_)) => {
                        self.is_ready = true;
                        self.service_manager.ready()?;
                        if exit_when_ready {
                            return Ok(());
                        }
                        self.show_life().await;
                    }
                    Some(_) => self.show_life().await,
                    None => return Ok(()),
                },
            }
        }
    }

    /// All connections anew, as the service manager's `reload`.
    async fn reset(&self, reason: &'static str) {
        // Before it is ready, a manager would take the end of reloading for just that.
        if self.is_ready {
            self.service_manager.reloading();
        }
        self.session.reset(reason).await;
        if self.is_ready {
            self.service_manager.reloaded();
        }
    }

    /// Tells the service manager how things are. A session that does not answer shows no life.
    async fn show_life(&mut self) {
        if let Some(status) = self.session.status().await {
            self.service_manager.status(&line(&status));
            self.service_manager.alive();
        }
    }

    async fn report(&self) -> Option<Report> {
        let status = self.session.status().await?;
        let program = Program {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
        };
        let url = self.options.api_url.to_string();
        Some(Report::new(&status, program, url, self.is_ready))
    }
}

/// How a session is doing, for the service manager.
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
