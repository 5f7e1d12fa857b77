//! The channel to the portal: connects, stays connected, carries messages. spec: portal 4

use crate::{
    ChannelError, ConnectError, Delivery, Dialer, Drops, Login, Message, Messages, Party,
    RetryPolicy,
    backoff::Backoff,
    connection::{Connection, Step},
    dial::{Attempt, DialError, Socket},
    error::shown,
    outbox::Outbox,
};
use futures_util::future::{BoxFuture, FutureExt as _, poll_fn};
use model::{PublicKey, Seed, SeedTree};
use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use serde_json::Value;
use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// What a channel has to tell.
#[derive(Debug)]
pub enum ChannelEvent<I> {
    /// The channel is up, for the first time or again. The portal's `init` follows.
    Joined,
    /// The portal says something. May come before [`ChannelEvent::Joined`].
    Message(I),
    /// The channel is down and will be tried again.
    Reconnecting {
        /// Why.
        error: ConnectError,
        /// After how long.
        retry_in: Duration,
    },
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Lost: the channel is not joined, or the socket takes nothing more.
    Dropped,
    /// Waits for the channel.
    Held,
    /// On its way.
    Queued,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dropped => "dropped",
            Self::Held => "held",
            Self::Queued => "queued",
        })
    }
}

/// A party's channel to its portal.
///
/// Its methods are of three kinds:
///
/// * **[`connect`](Self::connect)** says with which key, and begins at once; call it first, and again
///   whenever the key or the network changes.
/// * **[`next`](Self::next)** drives everything, also what was handed to [`send`](Self::send):
///   nothing happens on its own. Call it in a loop. Its future may be dropped at any time.
/// * **[`send`](Self::send)** hands a message over without waiting, and says what becomes of it.
///   [`is_joined`](Self::is_joined) and [`drops`](Self::drops) look without changing anything.
///
/// After each [`ChannelEvent::Joined`] the portal tells the complete state. Once
/// [`next`](Self::next) has returned an error the session is over: further calls of
/// [`connect`](Self::connect) and [`send`](Self::send) do nothing, and
/// [`next`](Self::next) returns [`ChannelError::Ended`]. Time is that of the tokio runtime, so
/// that tests may pause it.
pub struct Channel<M: Messages> {
    login: Arc<Login>,
    dialer: Arc<dyn Dialer>,
    key: Option<PublicKey>,
    backoff: Backoff,
    nonces: ChaCha20Rng,
    state: State,
    outbox: Outbox<M::Outgoing>,
    drops: Drops,
}

enum State {
    /// Nobody asked for a connection yet.
    Idle,
    Waiting(Pin<Box<Sleep>>),
    Connecting(BoxFuture<'static, Result<Socket, DialError>>),
    Open(Box<Connection>),
    /// Over, for a reason that has been told or is still to be told.
    Over(Option<ChannelError>),
}

impl<M: Messages> Channel<M> {
    /// A channel that is not connected yet. `seed` feeds jitter and websocket nonces.
    pub fn new(login: Login, dialer: Arc<dyn Dialer>, policy: RetryPolicy, seed: Seed) -> Self {
        let tree = SeedTree::new(seed);
        Self {
            login: Arc::new(login),
            dialer,
            key: None,
            backoff: Backoff::new(policy, tree.stream("jitter")),
            nonces: tree.stream("websocket nonces"),
            state: State::Idle,
            outbox: Outbox::new(),
            drops: Drops::default(),
        }
    }

    /// Connects now, also when a connection is up or being made. spec: portal 4.6
    ///
    /// `key` is presented from now on; nothing keeps the one before, if any. With another key,
    /// messages that wait for the channel are dropped: they belong to tunnels that are gone.
    /// Does nothing once the session is over.
    pub fn connect(&mut self, key: Option<PublicKey>) {
        if matches!(self.state, State::Over(_)) {
            return;
        }
        if key.is_some() && key != self.key {
            self.key = key;
            self.outbox.clear();
        }
        self.backoff.restart();
        self.dial();
    }

    /// Drives the channel until it has something to tell. Nothing is lost when the future is
    /// dropped. Before the first [`Channel::connect`] it waits for ever.
    ///
    /// # Errors
    ///
    /// When the session is over; see [`ChannelError`] for who is to blame.
    pub async fn next(&mut self) -> Result<ChannelEvent<M::Incoming>, ChannelError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Hands over a message, as far as its [`Message::delivery`] permits.
    pub fn send(&mut self, message: M::Outgoing) -> Sent {
        let keep = message.delivery() == Delivery::Keep;
        if let State::Open(connection) = &mut self.state
            && connection.is_joined()
            && connection.has_room()
            && (!keep || self.outbox.is_empty())
        {
            let (event, payload) = message.encode();
            connection.push(event, payload);
            return Sent::Queued;
        }
        if keep {
            self.outbox.hold(message);
            return Sent::Held;
        }
        Sent::Dropped
    }

    /// Whether the portal has let us in and the connection still stands.
    pub fn is_joined(&self) -> bool {
        matches!(&self.state, State::Open(connection) if connection.is_joined())
    }

    /// What the portal sent so far that could not be used.
    pub const fn drops(&self) -> Drops {
        self.drops
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ChannelEvent<M::Incoming>, ChannelError>> {
        loop {
            let outcome = match &mut self.state {
                State::Idle => return Poll::Pending,
                State::Over(reason) => {
                    let reason = reason.take().unwrap_or(ChannelError::Ended);
                    return Poll::Ready(Err(reason));
                }
                State::Waiting(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.dial();
                    continue;
                }
                State::Connecting(attempt) => match ready!(attempt.poll_unpin(cx)) {
                    Ok(socket) => {
                        let connection = Connection::new(socket, Arc::clone(&self.login));
                        self.state = State::Open(Box::new(connection));
                        continue;
                    }
                    Err(error) => Err(error),
                },
                State::Open(connection) => {
                    flush(&mut self.outbox, connection);
                    ready!(connection.poll_step(cx, &mut self.drops))
                }
            };
            match outcome {
                Ok(Step::Joined) => {
                    self.backoff.joined();
                    tracing::debug!(host = self.login.host(), "Joined the portal");
                    return Poll::Ready(Ok(ChannelEvent::Joined));
                }
                Ok(Step::Push { event, payload }) => {
                    if let Some(message) = self.decode(&event, payload) {
                        return Poll::Ready(Ok(ChannelEvent::Message(message)));
                    }
                }
                Err(DialError::Transient(error)) => return Poll::Ready(self.reconnect(error)),
                Err(DialError::Fatal(error)) => self.state = State::Over(Some(error)),
            }
        }
    }

    fn decode(&mut self, event: &str, payload: Value) -> Option<M::Incoming> {
        use crate::DecodeError;

        match M::Incoming::decode(event, payload) {
            Ok(message) => return Some(message),
            Err(DecodeError::Unknown) => self.drops.unknown_events += 1,
            Err(DecodeError::Malformed(_)) => self.drops.malformed_messages += 1,
        }
        let event = shown(event);
        tracing::warn!(
            event,
            dropped = self.drops.total(),
            "Dropped a message of the portal"
        );
        None
    }

    fn reconnect(
        &mut self,
        error: ConnectError,
    ) -> Result<ChannelEvent<M::Incoming>, ChannelError> {
        let wanted = match &error {
            ConnectError::Status { retry_after, .. } => *retry_after,
            _ => None,
        };
        match self.backoff.delay(wanted) {
            Some(retry_in) => {
                self.state = State::Waiting(Box::pin(sleep(retry_in)));
                Ok(ChannelEvent::Reconnecting { error, retry_in })
            }
            None => {
                self.state = State::Over(None);
                Err(ChannelError::RetriesExhausted(error))
            }
        }
    }

    fn dial(&mut self) {
        if self.key.is_none() && !matches!(self.login.party(), Party::Relay { .. }) {
            self.state = State::Over(Some(ChannelError::KeyMissing));
            return;
        }
        let replaced = match mem::replace(&mut self.state, State::Idle) {
            State::Open(connection) => Some(connection.into_socket()),
            _ => None,
        };
        let mut nonce = [0; 16];
        self.nonces.fill_bytes(&mut nonce);
        let attempt = Attempt {
            login: Arc::clone(&self.login),
            dialer: Arc::clone(&self.dialer),
            key: self.key,
            nonce,
        };
        self.state = State::Connecting(attempt.run(replaced).boxed());
    }
}

impl<M: Messages> fmt::Debug for Channel<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("login", &self.login)
            .field("joined", &self.is_joined())
            .field("drops", &self.drops)
            .finish_non_exhaustive()
    }
}

/// Moves what waits to the connection, as far as it is joined and has room.
fn flush<T: Message>(outbox: &mut Outbox<T>, connection: &mut Connection) {
    while connection.is_joined()
        && connection.has_room()
        && let Some(message) = outbox.take()
    {
        let (event, payload) = message.encode();
        connection.push(event, payload);
    }
}
