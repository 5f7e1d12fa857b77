//! The portal's end: accepts what the channel dials, over pipes in memory.

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, future::BoxFuture};
use model::{PublicKey, Seed};
use portal_client::{
    Channel, ChannelError, ChannelEvent, Dialer, Login, Messages, Party, RetryPolicy, Stream,
    frame::Frame, v1,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::DuplexStream,
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderMap,
    },
};

pub(crate) const KEY: PublicKey = PublicKey::from_bytes([1; 32]);
pub(crate) const OTHER_KEY: PublicKey = PublicKey::from_bytes([2; 32]);

/// What the resolver and the network do.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) addresses: Result<Vec<IpAddr>, io::ErrorKind>,
    /// Addresses that never answer.
    pub(crate) black_holes: Vec<IpAddr>,
    /// Addresses that refuse.
    pub(crate) closed: Vec<IpAddr>,
    /// Bytes that a pipe holds.
    pub(crate) capacity: usize,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            addresses: Ok(vec![IpAddr::from([192, 0, 2, 1])]),
            black_holes: vec![],
            closed: vec![],
            capacity: 64 * 1024,
        }
    }
}

/// One connection that the channel opened.
pub(crate) struct Dialed {
    pub(crate) address: SocketAddr,
    pub(crate) stream: DuplexStream,
}

struct Pipes {
    network: Arc<Mutex<Network>>,
    dialed: mpsc::UnboundedSender<Dialed>,
}

impl Dialer for Pipes {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let addresses = self.network.lock().unwrap().addresses.clone();
        async move { addresses.map_err(io::Error::from) }.boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        let network = self.network.lock().unwrap().clone();
        async move {
            if network.black_holes.contains(&address.ip()) {
                return std::future::pending().await;
            }
            if network.closed.contains(&address.ip()) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, stream) = tokio::io::duplex(network.capacity);
            self.dialed
                .send(Dialed { address, stream })
                .map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Box::new(ours) as Box<dyn Stream>)
        }
        .boxed()
    }
}

/// The portal's end of everything the channel dials.
pub(crate) struct Portal {
    pub(crate) network: Arc<Mutex<Network>>,
    dialed: mpsc::UnboundedReceiver<Dialed>,
}

pub(crate) fn login(url: &str, party: Party) -> Login {
    let token = "s3cr3t-t0ken".into();
    let url = url.parse().unwrap();
    let agent = "Ubuntu/24.4.0 connlib/1.5.2 (x86_64)";
    Login::new(&url, party, &token, "my-box", agent).unwrap()
}

pub(crate) fn channel_of<M: Messages>(login: Login, policy: RetryPolicy) -> (Channel<M>, Portal) {
    let network = Arc::new(Mutex::new(Network::default()));
    let (sender, dialed) = mpsc::unbounded_channel();
    let pipes = Arc::new(Pipes {
        network: Arc::clone(&network),
        dialed: sender,
    });
    let seed = Seed::from_bytes([9; 32]);
    let channel = Channel::new(login, pipes, policy, seed);
    (channel, Portal { network, dialed })
}

/// A client's channel that is connecting.
pub(crate) fn client() -> (Channel<v1::Client>, Portal) {
    client_with(RetryPolicy::default())
}

pub(crate) fn client_with(policy: RetryPolicy) -> (Channel<v1::Client>, Portal) {
    let (mut channel, portal) = channel_of(login("ws://portal.test:8081", Party::Client), policy);
    channel.connect(Some(KEY));
    (channel, portal)
}

/// Drives the channel to its first join, and drains the event.
pub(crate) async fn joined<M: Messages>(channel: &mut Channel<M>, portal: &mut Portal) -> Socket {
    let (event, socket) = tokio::join!(channel.next(), async {
        let mut socket = portal.accept().await;
        socket.let_in().await;
        socket
    });
    assert!(matches!(event, Ok(ChannelEvent::Joined)));
    socket
}

/// Drives the channel for as long as `other` runs; the channel must not have anything to tell.
pub(crate) async fn quietly<M: Messages, T>(
    channel: &mut Channel<M>,
    other: impl Future<Output = T>,
) -> T {
    tokio::select! {
        biased;
        value = other => value,
        event = channel.next() => panic!("unexpected: {}", told(&event)),
    }
}

/// Drives the channel through one failure.
pub(crate) async fn hiccup<M: Messages>(
    channel: &mut Channel<M>,
) -> (portal_client::ConnectError, Duration) {
    match channel.next().await {
        Ok(ChannelEvent::Reconnecting { error, retry_in }) => (error, retry_in),
        event => panic!("unexpected: {}", told(&event)),
    }
}

fn told<I>(event: &Result<ChannelEvent<I>, ChannelError>) -> String {
    match event {
        Ok(ChannelEvent::Joined) => "joined".into(),
        Ok(ChannelEvent::Message(_)) => "a message".into(),
        Ok(ChannelEvent::Reconnecting { error, .. }) => format!("{error:?}"),
        Err(error) => format!("{error:?}"),
    }
}

impl Portal {
    pub(crate) async fn dialed(&mut self) -> Dialed {
        self.dialed.recv().await.unwrap()
    }

    /// Accepts the next websocket.
    pub(crate) async fn accept(&mut self) -> Socket {
        let dialed = self.dialed().await;
        let mut uri = String::new();
        let mut headers = HeaderMap::new();
        #[expect(clippy::result_large_err, reason = "the callback's type is given")]
        let look = |request: &Request, response: Response| {
            uri = request.uri().to_string();
            headers = request.headers().clone();
            Ok::<_, ErrorResponse>(response)
        };
        let socket = accept_hdr_async(dialed.stream, look).await.unwrap();
        let (path, query) = uri.split_once('?').unwrap();
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned();
        Socket {
            socket,
            path: path.to_owned(),
            query: query.collect(),
            headers,
        }
    }

    /// Answers the next upgrade with a status.
    pub(crate) async fn refuse(&mut self, status: u16, headers: &[(&str, &str)], body: &str) {
        let dialed = self.dialed().await;
        let mut refusal = ErrorResponse::new(Some(body.to_owned()));
        *refusal.status_mut() = status.try_into().unwrap();
        for (name, value) in headers {
            let name = name
                .parse::<tokio_tungstenite::tungstenite::http::HeaderName>()
                .unwrap();
            refusal.headers_mut().insert(name, value.parse().unwrap());
        }
        #[expect(clippy::result_large_err, reason = "the callback's type is given")]
        let look = |_: &Request, _: Response| Err(refusal);
        assert!(accept_hdr_async(dialed.stream, look).await.is_err());
    }
}

/// The portal's end of a websocket.
pub(crate) struct Socket {
    pub(crate) socket: WebSocketStream<DuplexStream>,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
}

impl Socket {
    /// The next frame, other than heartbeats.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            let frame = self.any_frame().await;
            if frame.event != "heartbeat" {
                return frame;
            }
        }
    }

    pub(crate) async fn any_frame(&mut self) -> Frame {
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Text(text) => return Frame::parse(&text).unwrap(),
                Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.raw(Message::text(text)).await;
    }

    pub(crate) async fn push(&mut self, event: &str, payload: Value) {
        self.text(&Frame::push("client", event, payload).emit())
            .await;
    }

    pub(crate) async fn reply(&mut self, request: &Frame, outcome: Result<(), &str>) {
        self.text(&Frame::reply(request, outcome).emit()).await;
    }

    pub(crate) async fn let_in(&mut self) {
        let join = self.frame().await;
        assert_eq!(join.event, "phx_join");
        self.reply(&join, Ok(())).await;
    }

    /// Sends a message and waits until the channel has told about it: whatever was sent before
    /// has been handled by then.
    pub(crate) async fn barrier<M: Messages>(&mut self, channel: &mut Channel<M>) {
        let id = "33333333-3333-4333-8333-333333333331";
        self.push("resource_deleted", json!(id)).await;
        let event = channel.next().await;
        assert!(
            matches!(event, Ok(ChannelEvent::Message(_))),
            "{}",
            told(&event)
        );
    }

    /// Whether the channel has closed its end by then.
    pub(crate) async fn ends_within(&mut self, limit: Duration) -> bool {
        let end = async { while let Some(Ok(_)) = self.socket.next().await {} };
        timeout(limit, end).await.is_ok()
    }
}

/// How long a future takes.
pub(crate) async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let value = future.await;
    (value, start.elapsed())
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
