//! The portal over real sockets and files.

use super::{
    config::{Settings, SettingsFault},
    connections::{ConnectionId, MAX_CONNECTIONS},
    control,
    core::{Core, Moment},
    files::{read_state, save},
    hub::{Hub, OUTGOING, Outgoing},
    options::Options,
    upgrade::{Refusal, Upgrade},
};
use futures_util::{SinkExt as _, StreamExt as _};
use local_socket::SocketFault;
use model::Seed;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::{
    fs, io,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode, header},
        protocol::{CloseFrame, WebSocketConfig},
    },
};

/// The largest message of a party, in bytes.
const MAX_MESSAGE: usize = 1024 * 1024;

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// How long a party may take to close its end after ours.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Why a portal does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortalFault {
    /// The control socket cannot be opened.
    #[error("cannot open the control socket")]
    Control(#[source] SocketFault),
    /// The operating system has no entropy.
    #[error("no entropy")]
    Entropy,
    /// A file cannot be read.
    #[error("cannot read {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The configuration makes no sense.
    #[error("the configuration {path:?} cannot be used")]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SettingsFault,
    },
}

/// A portal that is ready to run.
pub struct Portal {
    options: Options,
    hub: Arc<Hub>,
}

/// Loads a portal and runs it until `shutdown` is ready.
///
/// # Errors
///
/// When it cannot start.
pub async fn run(
    options: Options,
    listeners: Vec<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), PortalFault> {
    Portal::load(options)?.run(listeners, shutdown).await
}

impl Portal {
    /// Reads the files of a portal.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be read or makes no sense. A state file that is missing or
    /// broken is not an error.
    pub fn load(options: Options) -> Result<Self, PortalFault> {
        let path = options.settings.clone();
        let text = fs::read_to_string(&path).map_err(|source| PortalFault::File {
            path: path.clone(),
            source,
        })?;
        let state = options.state.as_deref().map(read_state).unwrap_or_default();
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| PortalFault::Entropy)?;
        let now = Moment {
            at: Instant::now(),
            unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        };
        let core = Settings::parse(&text)
            .and_then(|settings| Core::new(settings, state, Seed::from_bytes(seed), now))
            .map_err(|source| PortalFault::Settings { path, source })?;
        Ok(Self {
            options,
            hub: Arc::new(Hub::new(core)),
        })
    }

    /// Serves connections on all listeners until `shutdown` is ready.
    ///
    /// # Errors
    ///
    /// When the control socket cannot be opened.
    pub async fn run(
        self,
        listeners: Vec<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), PortalFault> {
        let Self { options, hub } = self;
        let mut tasks = JoinSet::new();
        if let Some(path) = options.control.clone() {
            let listener = control::listen(&path).await;
            let listener = listener.map_err(PortalFault::Control)?;
            tasks.spawn(control::serve(listener, Arc::clone(&hub), options.clone()));
        }
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        for listener in listeners {
            tasks.spawn(accept(listener, Arc::clone(&hub), Arc::clone(&slots)));
        }
        tasks.spawn(keep_time(Arc::clone(&hub)));
        tasks.spawn(keep_files(Arc::clone(&hub), options.clone()));
        shutdown.await;
        tasks.shutdown().await;
        save(&hub, &options);
        Ok(())
    }
}

async fn keep_time(hub: Arc<Hub>) {
    loop {
        match hub.deadline() {
            Some(deadline) => tokio::select! {
                () = sleep_until(deadline.into()) => hub.timeout(),
                () = hub.rescheduled.notified() => {}
            },
            None => hub.rescheduled.notified().await,
        }
    }
}

async fn keep_files(hub: Arc<Hub>, options: Options) {
    loop {
        hub.unsaved.notified().await;
        let (hub, options) = (Arc::clone(&hub), options.clone());
        // Files are small, but disks may be slow.
        drop(tokio::task::spawn_blocking(move || save(&hub, &options)).await);
    }
}

async fn accept(listener: TcpListener, hub: Arc<Hub>, slots: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Without a free slot the connection is dropped at once.
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                        continue;
                    };
                    let hub = Arc::clone(&hub);
                    connections.spawn(async move {
                        serve(stream, peer.ip(), &hub).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "Cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Tells the hub that a connection is gone, whichever way its task ends.
struct Registration<'a> {
    hub: &'a Hub,
    id: ConnectionId,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.hub.closed(self.id);
    }
}

async fn serve(stream: TcpStream, remote: IpAddr, hub: &Hub) {
    // A failure only costs latency.
    drop(stream.set_nodelay(true));
    let (sender, receiver) = mpsc::channel(OUTGOING);
    let mut registration = None;
    #[expect(clippy::result_large_err, reason = "the callback's type is given")]
    let look = |request: &Request, response: Response| {
        let id = admit(request, remote, hub, sender).map_err(|refusal| answer(&refusal))?;
        registration = Some(Registration { hub, id });
        Ok(response)
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let handshake = accept_hdr_async_with_config(stream, look, Some(config));
    match timeout(HANDSHAKE_LIMIT, handshake).await {
        Ok(Ok(socket)) => {
            if let Some(registration) = registration {
                talk(socket, &registration, receiver).await;
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "No websocket came of a connection"),
        Err(_) => tracing::debug!("A handshake took too long"),
    }
}

fn admit(
    request: &Request,
    remote: IpAddr,
    hub: &Hub,
    sender: mpsc::Sender<Outgoing>,
) -> Result<ConnectionId, Refusal> {
    let text = |name: &str| {
        let value = request.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let upgrade = Upgrade {
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        user_agent: text("user-agent").unwrap_or_default(),
        authorization: text("x-authorization"),
        remote,
    };
    hub.upgrade(&upgrade, sender)
}

fn answer(refusal: &Refusal) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(refusal.text.to_owned()));
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(refusal.text.len()),
    );
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Carries frames both ways until either side has had enough. Never pings. spec: portal 10.3
async fn talk(
    mut socket: WebSocketStream<TcpStream>,
    registration: &Registration<'_>,
    mut receiver: mpsc::Receiver<Outgoing>,
) {
    let Registration { hub, id } = registration;
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => hub.frame(*id, &text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
            outgoing = receiver.recv() => match outgoing {
                Some(Outgoing::Text(text)) => {
                    let sending = timeout(SEND_LIMIT, socket.send(Message::text(text)));
                    if !matches!(sending.await, Ok(Ok(()))) {
                        return;
                    }
                }
                Some(Outgoing::Close(code)) => return close(socket, code).await,
                Some(Outgoing::Abort) | None => return,
            },
        }
    }
    // Flushes the echo of a close frame; the party may be gone already.
    drop(timeout(CLOSE_LIMIT, socket.close(None)).await);
}

/// Closes properly: what was sent before must not be lost to a reset, so the party's end is
/// waited for.
async fn close(mut socket: WebSocketStream<TcpStream>, code: u16) {
    let frame = CloseFrame {
        code: code.into(),
        reason: "".into(),
    };
    let ending = async {
        socket.close(Some(frame)).await?;
        while socket.next().await.transpose()?.is_some() {}
        Ok::<_, tokio_tungstenite::tungstenite::Error>(())
    };
    drop(timeout(CLOSE_LIMIT, ending).await);
}
