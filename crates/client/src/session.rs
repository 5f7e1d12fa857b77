//! One login and one tunnel.

use crate::{
    candidates::Candidates,
    control::{Command, Control, SessionState},
    data_plane::{DataPlane, DataPlaneFault, Input, Snapshot},
    direct::DirectExchange,
    entropy,
    error::ConnectFault,
    event::{EventStream, channel},
    forward::Forwarder,
    reports::{self, ReportSink},
    resolve::{DirectDialer, Resolvers, servers, without_our_own},
    settings::Settings,
    status::{PortalState, Status},
};
use model::ResourceId;
use parking_lot::Mutex;
use platform::{Platform, SystemResolver, Tun};
use portal_client::{Channel, Login, Party, RetryPolicy, v1};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tunnel_core::{Config, QueryId, Tunnel};

/// Messages that wait for the data plane; whoever has more waits.
const QUEUE: usize = 4096;

/// Commands that wait.
const COMMANDS: usize = 16;

/// How long a status may take.
const STATUS_TIME: Duration = Duration::from_secs(5);

/// A running session: one login, one tunnel interface.
///
/// Its methods are of three kinds:
///
/// * **Beginning and end.** [`connect`](Self::connect) removes what a crashed run left behind,
///   creates the interface and returns before the portal has answered;
///   [`disconnect`](Self::disconnect) waits until the host is as it was before. Dropping the
///   session ends it, too, without waiting.
/// * **Commands** ([`reset`](Self::reset), [`set_dns`](Self::set_dns),
///   [`set_internet_resource`](Self::set_internet_resource),
///   [`set_disabled_resources`](Self::set_disabled_resources)) are carried out in the order of
///   their calls. They may be called at any time, wait only while sixteen others wait, and do
///   nothing once the session is over.
/// * **Questions.** [`status`](Self::status) is a snapshot of one moment.
///
/// What happens meanwhile comes by the [`EventStream`]: [`Event::Ready`](crate::Event::Ready) once,
/// when names and addresses of resources work, and [`Event::Disconnected`](crate::Event::Disconnected)
/// last, unless [`disconnect`](Self::disconnect) was called. A session that ended does not begin
/// again: connect a new one. All methods may be called from any task.
#[derive(Debug)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    to_data: mpsc::Sender<Input>,
    state: Arc<Mutex<PortalState>>,
    control: JoinHandle<()>,
    data_plane: thread::JoinHandle<()>,
}

impl Session {
    /// Starts a session: creates the TUN device, binds the sockets, connects to the portal.
    ///
    /// What a crashed run left behind is removed first. Must be called within a tokio runtime,
    /// which will drive the control task; packets are moved by a thread of their own.
    ///
    /// # Errors
    ///
    /// Settings that cannot work, leftovers that stay, no TUN device, no socket. Everything later
    /// is an event.
    pub fn connect<P: Platform>(
        settings: Settings,
        mut platform: P,
    ) -> Result<(Self, EventStream), ConnectFault> {
        let started_at = Instant::now();
        let login = login(&settings)?;
        platform.revert()?;
        let resolvers = system_resolvers(&platform);
        let os = |action| move |source| ConnectFault::Os { action, source };
        let tunnel = tunnel(&settings, &resolvers).map_err(os("draw entropy"))?;
        let key = tunnel.public_key();
        let resolvers: Resolvers = Arc::new(Mutex::new(resolvers));

        let (to_data, inbox) = mpsc::channel(QUEUE);
        let (sink, from_data) = reports::channel();
        let sockets = (platform.sockets(), settings.preferred_port);
        let data_plane = spawn_data_plane(tunnel, &mut platform, sockets, (inbox, sink))?;

        let (forwarder, dialer) = outside_of_tunnel(&platform, &resolvers);
        let portal = portal(login, dialer, settings.max_partition_time);
        let (events, stream) = channel();
        let (commands, command_inbox) = mpsc::channel(COMMANDS);
        let state = Arc::new(Mutex::new(PortalState::default()));
        let control = Control {
            watch: platform.watch(),
            portal: portal.map_err(os("draw entropy"))?,
            platform,
            resolvers,
            to_data: to_data.clone(),
            from_data,
            commands: command_inbox,
            events,
            state: Arc::clone(&state),
            session: SessionState {
                started_at,
                key,
                ready: false,
                is_tolerant: settings.tolerate_interface_faults,
                unapplied: None,
                candidates: Candidates::default(),
                forwarder,
            },
        };
        let control = tokio::spawn(control.run());
        Ok((
            Self {
                commands,
                to_data,
                state,
                control,
                data_plane,
            },
            stream,
        ))
    }

    /// Drops all connections and makes new ones, as when the device roams to another network.
    pub async fn reset(&self, reason: &'static str) {
        self.command(Command::Reset(reason)).await;
    }

    /// Switches off these resources, known or not, and no others. They stay in the list of
    /// resources, but nothing is sent to them. spec: client-app 10
    pub async fn set_disabled_resources(&self, disabled: BTreeSet<ResourceId>) {
        self.command(Command::SetDisabledResources(disabled)).await;
    }

    /// Switches Internet Resources on or off, except those that are disabled.
    pub async fn set_internet_resource(&self, enabled: bool) {
        self.command(Command::SetInternetResource(enabled)).await;
    }

    /// Replaces what the platform reported as the system's resolvers.
    pub async fn set_dns(&self, servers: Vec<SocketAddr>) {
        let resolvers = servers.into_iter().map(SystemResolver::do53).collect();
        self.command(Command::SetResolvers(resolvers)).await;
    }

    /// How the session is doing; none when it is over, or gives no answer within five seconds,
    /// which it should in much less however much it has to do.
    pub async fn status(&self) -> Option<Status> {
        let snapshot = snapshot(&self.to_data).await?;
        Some(Status {
            portal: *self.state.lock(),
            resources: snapshot.resources,
            connections: snapshot.connections,
            drops: snapshot.drops,
            plan: snapshot.plan,
            upstreams: snapshot.upstreams,
        })
    }

    /// Ends the session and waits until the host is as it was before.
    pub async fn disconnect(self) {
        self.command(Command::Stop).await;
        drop((self.commands, self.to_data));
        if let Err(error) = self.control.await {
            tracing::error!(%error, "The control task failed");
        }
        let data_plane = self.data_plane;
        let joined = tokio::task::spawn_blocking(move || data_plane.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("The data plane failed");
        }
    }

    /// A session that is over needs no command.
    async fn command(&self, command: Command) {
        if self.commands.send(command).await.is_err() {
            tracing::debug!("The session is over");
        }
    }
}

/// Asks the data plane how things are. Whoever asks must not hang with it.
async fn snapshot(to_data: &mpsc::Sender<Input>) -> Option<Snapshot> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        to_data.send(Input::Snapshot(reply)).await.ok()?;
        answer.await.ok()
    };
    timeout(STATUS_TIME, asked).await.ok()?
}

fn login(settings: &Settings) -> Result<Login, ConnectFault> {
    let Settings {
        api_url,
        token,
        external_id,
        user_agent,
        ..
    } = settings;
    let login = Login::new(api_url, Party::Client, token, external_id, user_agent)?;
    Ok(login.named(&settings.name)?.device(&settings.device)?)
}

/// Who asks and who dials without the tunnel.
fn outside_of_tunnel<P: Platform>(
    platform: &P,
    resolvers: &Resolvers,
) -> (Forwarder<QueryId>, DirectDialer) {
    let direct = DirectExchange {
        sockets: platform.sockets(),
        system: platform.system_exchange(),
    };
    let forwarder = Forwarder::new(direct.clone(), &resolvers.lock());
    let dialer = DirectDialer {
        direct,
        resolvers: Arc::clone(resolvers),
        hosts: platform.host_table(),
    };
    (forwarder, dialer)
}

/// The channel to the portal, not connected yet.
fn portal(
    login: Login,
    dialer: DirectDialer,
    budget: Option<Duration>,
) -> std::io::Result<Channel<v1::Client>> {
    let policy = RetryPolicy {
        budget,
        ..RetryPolicy::default()
    };
    let seed = entropy::seed()?;
    Ok(Channel::new(login, Arc::new(dialer), policy, seed))
}

fn system_resolvers<P: Platform>(platform: &P) -> Vec<SystemResolver> {
    let resolvers = platform.system_resolvers().unwrap_or_else(|fault| {
        tracing::warn!(error = %fault, "The system's resolvers are unknown");
        vec![]
    });
    without_our_own(resolvers)
}

fn tunnel(settings: &Settings, resolvers: &[SystemResolver]) -> std::io::Result<Tunnel> {
    let config = Config {
        internet_resource: settings.internet_resource,
        disabled_resources: settings.disabled_resources.clone(),
        system_resolvers: servers(resolvers),
    };
    let unix_time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Ok(Tunnel::new(
        config,
        entropy::seed()?,
        unix_time,
        Instant::now(),
    ))
}

/// Starts the thread that moves packets; device and sockets belong to its own runtime.
fn spawn_data_plane<P: Platform>(
    tunnel: Tunnel,
    platform: &mut P,
    sockets: (platform::Sockets, u16),
    channels: (mpsc::Receiver<Input>, ReportSink),
) -> Result<thread::JoinHandle<()>, ConnectFault> {
    let os = |action| move |source| ConnectFault::Os { action, source };
    // The thread comes first: a runtime that nobody takes must not be dropped in the caller's.
    let (hand_over, handed_over) = std::sync::mpsc::sync_channel(1);
    let builder = thread::Builder::new().name("data plane".into());
    let thread = builder
        .spawn(move || {
            if let Ok((runtime, data_plane)) = handed_over.recv() {
                work(&runtime, data_plane);
            }
        })
        .map_err(os("start the data plane"))?;
    let origin = Instant::now();
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(os("start the data plane"))?;
    let guard = runtime.enter();
    let data_plane = data_plane(origin, tunnel, platform, sockets, channels);
    drop(guard);
    match data_plane {
        Ok(data_plane) => {
            // It waits for exactly this.
            drop(hand_over.send((runtime, data_plane)));
            Ok(thread)
        }
        Err(fault) => {
            // Just dropping it panics: the caller is in a runtime, which must not be blocked.
            runtime.shutdown_background();
            Err(fault)
        }
    }
}

fn work<T: Tun>(runtime: &runtime::Runtime, data_plane: DataPlane<T>) {
    if let Err(fault) = runtime.block_on(data_plane.run()) {
        tracing::error!(
            error = &fault as &dyn std::error::Error,
            "The data plane ended"
        );
    }
}

/// Opens device and sockets. Must be called in the runtime that will drive them.
fn data_plane<P: Platform>(
    origin: Instant,
    tunnel: Tunnel,
    platform: &mut P,
    sockets: (platform::Sockets, u16),
    channels: (mpsc::Receiver<Input>, ReportSink),
) -> Result<DataPlane<P::Tun>, ConnectFault> {
    let os = |action| move |source| ConnectFault::Os { action, source };
    let tun = platform.create_tun()?;
    tracing::debug!(interface = tun.name(), "Created the TUN device");
    DataPlane::new(origin, tunnel, tun, sockets, channels).map_err(|fault| match fault {
        DataPlaneFault::Bind(source) => os("bind a UDP socket")(source),
        DataPlaneFault::Tun(source) => os("use the TUN device")(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_data_plane_that_hangs_does_not_hold_whoever_asks() {
        let (to_data, _inbox) = mpsc::channel(1);
        let start = tokio::time::Instant::now();
        // The first question gets no answer, and the second one not even a place.
        for asked in 1..=2 {
            assert!(snapshot(&to_data).await.is_none());
            assert_eq!(start.elapsed(), asked * STATUS_TIME);
        }
    }
}
