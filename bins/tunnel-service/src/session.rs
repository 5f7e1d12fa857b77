//! The session of a GUI and its states. spec: client-app 12.3

use crate::machine::Machine;
use client::{Event, EventStream, Session, Settings};
use model::ResourceId;
use platform::{NetworkWatch, Platform as _};
use service_ipc::control::SessionState;
use std::{
    collections::BTreeSet,
    error::Error,
    io::{self, ErrorKind},
    time::Duration,
};
use tokio::time::{Instant, sleep_until, timeout};

/// How long the end of a session is waited for. spec: client-app 18
const END_TIME: Duration = Duration::from_secs(10);

/// How long to wait for a change of the network at most, in case that none is ever reported.
const RETRY: Duration = Duration::from_secs(30);

/// What became of an attempt to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    /// The session runs.
    Running,
    /// There is no network; it is tried again when that changes.
    Waiting,
}

/// What happened to the session.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// The session says so.
    Event(Event),
    /// The session is over without a word.
    Over,
    /// It is time to try again.
    Retry,
}

/// The place for one session.
pub(crate) struct Slot<M: Machine> {
    state: State<M::Platform>,
}

enum State<P> {
    None,
    Running(Box<Running>),
    Waiting(Box<Waiting<P>>),
}

struct Running {
    session: Session,
    events: EventStream,
    settings: Settings,
    is_ready: bool,
}

struct Waiting<P> {
    settings: Settings,
    watch: NetworkWatch,
    // Its watch falls silent without it.
    _platform: P,
    retry_at: Instant,
}

impl<M: Machine> Slot<M> {
    pub(crate) fn new() -> Self {
        Self { state: State::None }
    }

    pub(crate) fn state(&self) -> SessionState {
        match &self.state {
            State::None => SessionState::None,
            State::Running(running) if running.is_ready => SessionState::Connected,
            State::Running(_) => SessionState::Creating,
            State::Waiting(_) => SessionState::WaitingForNetwork,
        }
    }

    /// The running session.
    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Running(running) => Some(&running.session),
            State::None | State::Waiting(_) => None,
        }
    }

    /// Switches Internet Resources, also for the next attempt; ignored without a session.
    pub(crate) async fn set_internet_resource(&mut self, enabled: bool) {
        match &mut self.state {
            State::None => tracing::debug!("There is no session to switch anything in"),
            State::Running(running) if running.settings.internet_resource == enabled => {}
            State::Running(running) => {
                running.settings.internet_resource = enabled;
                running.session.set_internet_resource(enabled).await;
            }
            State::Waiting(waiting) => waiting.settings.internet_resource = enabled,
        }
    }

    /// Switches off these resources and no others, also for the next attempt; ignored without a
    /// session.
    pub(crate) async fn set_disabled_resources(&mut self, disabled: BTreeSet<ResourceId>) {
        match &mut self.state {
            State::None => tracing::debug!("There is no session to switch anything in"),
            State::Running(running) => {
                running.settings.disabled_resources.clone_from(&disabled);
                running.session.set_disabled_resources(disabled).await;
            }
            State::Waiting(waiting) => waiting.settings.disabled_resources = disabled,
        }
    }

    /// Starts a session in place of another one.
    ///
    /// # Errors
    ///
    /// Why there is none, for the user.
    pub(crate) async fn start(
        &mut self,
        machine: &mut M,
        settings: Settings,
    ) -> Result<Started, String> {
        self.end().await;
        let platform = machine.platform().map_err(|fault| chain(&fault))?;
        match Session::connect(settings.clone(), platform) {
            Ok((session, events)) => {
                self.state = State::Running(Box::new(Running {
                    session,
                    events,
                    settings,
                    is_ready: false,
                }));
                Ok(Started::Running)
            }
            Err(fault) if is_offline(machine, &fault) => {
                tracing::info!(error = &fault as &dyn Error, "Waiting for a network");
                self.wait(machine, settings)
            }
            Err(fault) => Err(chain(&fault)),
        }
    }

    /// Tries again what waits for a network.
    ///
    /// # Errors
    ///
    /// Why there is no session, for the user.
    pub(crate) async fn retry(&mut self, machine: &mut M) -> Result<Started, String> {
        match std::mem::replace(&mut self.state, State::None) {
            State::Waiting(waiting) => {
                // Its platform goes first, since a session needs the system for itself.
                let settings = waiting.settings.clone();
                drop(waiting);
                self.start(machine, settings).await
            }
            other => {
                self.state = other;
                Ok(Started::Running)
            }
        }
    }

    /// Whether the session ended before it ever came up, because there is no network.
    pub(crate) fn lacks_network(&self, machine: &mut M, reason: &(dyn Error + 'static)) -> bool {
        match &self.state {
            State::Running(running) if !running.is_ready => is_offline(machine, reason),
            _ => false,
        }
    }

    /// Puts waiting for a network in place of a session that lacked one, so that a machine that
    /// starts without a network connects later; whether that succeeded.
    pub(crate) async fn wait_instead(&mut self, machine: &mut M) -> bool {
        let State::Running(running) = &self.state else {
            return false;
        };
        let settings = running.settings.clone();
        self.end().await;
        self.wait(machine, settings).is_ok()
    }

    fn wait(&mut self, machine: &mut M, settings: Settings) -> Result<Started, String> {
        let mut platform = machine.platform().map_err(|fault| chain(&fault))?;
        self.state = State::Waiting(Box::new(Waiting {
            settings,
            watch: platform.watch(),
            _platform: platform,
            retry_at: Instant::now() + RETRY,
        }));
        Ok(Started::Waiting)
    }

    /// Waits for the next event; for ever without a session. Cancel-safe.
    pub(crate) async fn next(&mut self) -> SessionEvent {
        match &mut self.state {
            State::None => std::future::pending().await,
            State::Running(running) => match running.events.next().await {
                Some(event) => {
                    running.is_ready |= matches!(event, Event::Ready(_));
                    SessionEvent::Event(event)
                }
                None => SessionEvent::Over,
            },
            State::Waiting(waiting) => {
                tokio::select! {
                    _ = waiting.watch.next() => {}
                    () = sleep_until(waiting.retry_at) => {}
                }
                SessionEvent::Retry
            }
        }
    }

    /// Ends the session, and waits until the host is as it was before; whether there was one.
    pub(crate) async fn end(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::None) {
            State::None => false,
            State::Running(running) => {
                let ended = timeout(END_TIME, running.session.disconnect()).await;
                if ended.is_err() {
                    tracing::warn!("The session takes long to end; it is left to itself");
                }
                true
            }
            // Dropping the platform reverts.
            State::Waiting(_) => true,
        }
    }
}

/// Whether there is no network at all, as opposed to a portal that cannot be reached.
fn is_offline<M: Machine>(machine: &mut M, error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.kind() {
                ErrorKind::NetworkDown
                | ErrorKind::NetworkUnreachable
                | ErrorKind::HostUnreachable
                | ErrorKind::AddrNotAvailable => return true,
                // A name was not found: was there anybody to ask?
                ErrorKind::NotFound => return has_no_resolver(machine),
                _ => {}
            }
        }
        cause = error.source();
    }
    false
}

fn has_no_resolver<M: Machine>(machine: &mut M) -> bool {
    let resolvers = machine
        .platform()
        .and_then(|platform| platform.system_resolvers());
    resolvers.is_ok_and(|resolvers| resolvers.is_empty())
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
