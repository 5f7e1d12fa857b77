//! From a login to an open websocket: resolve, connect, TLS, upgrade. spec: portal 2.4, 2.9, 2.10

use crate::{ChannelError, ConnectError, Login, Stage, TokenError, error::shown, retry_after};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use model::PublicKey;
use rustls::pki_types::ServerName;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error as WsError,
        http::{HeaderMap, Request, Response, header},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// The largest frame and message, in bytes. spec: portal 11
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
const TCP_LIMIT: Duration = Duration::from_secs(5);
const UPGRADE_LIMIT: Duration = Duration::from_secs(15);
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 16;

/// A byte stream to the portal.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How the channel gets a byte stream to a host.
///
/// The embedding shell owns name resolution and socket options: which resolvers are asked, that
/// the connection stays outside the tunnel, `TCP_NODELAY`. The channel bounds how long it waits.
pub trait Dialer: Send + Sync + 'static {
    /// The addresses of a name. Never asked about address literals.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    /// Opens a connection to one address. Called for all addresses of a name at once; the first
    /// to succeed is used and the others are dropped.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;
}

/// A websocket to the portal.
pub(crate) type Socket = WebSocketStream<Box<dyn Stream>>;

/// Why there is no connection (any more).
#[derive(Debug)]
pub(crate) enum DialError {
    /// Worth another try.
    Transient(ConnectError),
    /// The session is over.
    Fatal(ChannelError),
}

impl From<ConnectError> for DialError {
    fn from(error: ConnectError) -> Self {
        Self::Transient(error)
    }
}

/// What one attempt works with.
pub(crate) struct Attempt {
    pub(crate) login: Arc<Login>,
    pub(crate) dialer: Arc<dyn Dialer>,
    pub(crate) key: Option<PublicKey>,
    /// What the portal proves with that it understands websockets. RFC 6455 section 4.1
    pub(crate) nonce: [u8; 16],
}

impl Attempt {
    /// Opens a websocket, after closing the one that it replaces.
    pub(crate) async fn run(self, replaced: Option<Socket>) -> Result<Socket, DialError> {
        if let Some(socket) = replaced {
            say_goodbye(socket).await;
        }
        let addresses = self.resolve().await?;
        let upgrade = async {
            let stream = self.connect(&addresses).await?;
            let stream = self.secure(stream).await?;
            self.upgrade(stream).await
        };
        match timeout(UPGRADE_LIMIT, upgrade).await {
            Ok(result) => result,
            Err(_) => Err(self.timed_out(Stage::Upgrade, UPGRADE_LIMIT).into()),
        }
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let port = self.login.port();
        if let Some(ip) = self.login.literal() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let host = self.login.host();
        let addresses = match timeout(RESOLVE_LIMIT, self.dialer.resolve(&host)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(source)) => return Err(ConnectError::Resolve { host, source }),
            Err(_) => return Err(self.timed_out(Stage::Resolve, RESOLVE_LIMIT)),
        };
        if addresses.is_empty() {
            return Err(ConnectError::NoAddresses { host });
        }
        let addresses = addresses.into_iter().take(MAX_ADDRESSES);
        Ok(addresses.map(|ip| SocketAddr::new(ip, port)).collect())
    }

    /// Dials all addresses at once, so that one that swallows everything starves no other.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<Box<dyn Stream>, ConnectError> {
        let host = self.login.host();
        let mut dials: FuturesUnordered<_> = addresses
            .iter()
            .map(|&address| self.dialer.connect(address))
            .collect();
        let first = async {
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            while let Some(result) = dials.next().await {
                match result {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        match timeout(TCP_LIMIT, first).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(ConnectError::Tcp { host, source }),
            Err(_) => Err(self.timed_out(Stage::Tcp, TCP_LIMIT)),
        }
    }

    async fn secure(&self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, ConnectError> {
        if !self.login.secure() {
            return Ok(stream);
        }
        let host = self.login.host();
        let name = match self.login.literal() {
            Some(ip) => Ok(ServerName::IpAddress(ip.into())),
            None => ServerName::try_from(host.clone()),
        };
        let failed = |source| ConnectError::Tls {
            host: host.clone(),
            source,
        };
        let name =
            name.map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let connector = TlsConnector::from(Arc::clone(self.login.tls()));
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        Ok(Box::new(stream))
    }

    async fn upgrade(&self, stream: Box<dyn Stream>) -> Result<Socket, DialError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let request = self.request()?;
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(WsError::Http(response)) => Err(self.refused(&response)),
            Err(error) => Err(broken(&self.login, error).into()),
        }
    }

    /// The upgrade request; `Host` never has a port. spec: portal 2.4
    fn request(&self) -> Result<Request<()>, ConnectError> {
        Request::get(self.login.url(self.key.as_ref()).as_str())
            .header(header::HOST, self.login.host())
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, STANDARD.encode(self.nonce))
            .header(header::USER_AGENT, self.login.user_agent())
            .body(())
            // The error may quote the URL, and with it the token.
            .map_err(|_| ConnectError::Websocket {
                host: self.login.host(),
                source: io::Error::new(io::ErrorKind::InvalidInput, "no request can be made"),
            })
    }

    /// Sorts HTTP statuses: only 401 and 403 end the session. spec: portal 4.3, 11
    fn refused(&self, response: &Response<Option<Vec<u8>>>) -> DialError {
        let detail = || detail(response);
        match response.status().as_u16() {
            401 => DialError::Fatal(ChannelError::TokenInvalid(TokenError::Rejected(detail()))),
            403 => DialError::Fatal(ChannelError::TokenInvalid(TokenError::Forbidden(detail()))),
            status => DialError::Transient(ConnectError::Status {
                host: self.login.host(),
                status,
                retry_after: wanted_wait(response.headers()),
            }),
        }
    }

    fn timed_out(&self, stage: Stage, limit: Duration) -> ConnectError {
        ConnectError::Timeout {
            host: self.login.host(),
            stage,
            limit,
        }
    }
}

/// A websocket error without anything that could quote the request.
pub(crate) fn broken(login: &Login, error: WsError) -> ConnectError {
    let source = match error {
        WsError::Io(error) => error,
        WsError::Capacity(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        WsError::Protocol(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        WsError::ConnectionClosed | WsError::AlreadyClosed => {
            io::Error::from(io::ErrorKind::UnexpectedEof)
        }
        _ => io::Error::new(io::ErrorKind::InvalidData, "not a websocket"),
    };
    ConnectError::Websocket {
        host: login.host(),
        source,
    }
}

/// Sends a close frame without waiting for the answer.
async fn say_goodbye(mut socket: Socket) {
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    // The connection is of no use any more, so it does not matter how this ends.
    drop(timeout(CLOSE_LIMIT, socket.close(Some(frame))).await);
}

fn wanted_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    retry_after::parse(text, SystemTime::now())
}

/// What the portal says about a refusal: plain text, or the detail of a problem document.
fn detail(response: &Response<Option<Vec<u8>>>) -> Option<String> {
    let body = str::from_utf8(response.body().as_deref()?).ok()?;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let text = if kind.to_ascii_lowercase().contains("json") {
        let problem: serde_json::Value = serde_json::from_str(body).ok()?;
        shown(problem.get("detail")?.as_str()?)
    } else {
        shown(body)
    };
    (!text.is_empty()).then_some(text)
}
