//! One websocket that carries one channel: joining, heartbeats, replies. spec: portal 3

use crate::{
    ChannelError, ConnectError, Login, TokenError,
    dial::{DialError, Socket, broken},
    error::shown,
    frame::{Frame, FrameError, PHOENIX, Reply},
};
use futures_util::{Sink as _, Stream as _};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep};
use tokio_tungstenite::tungstenite::{Message as WsMessage, Utf8Bytes};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// How many heartbeats may be unanswered.
const MAX_UNANSWERED: usize = 3;

/// How many frames may wait for the socket before no more is taken.
const MAX_OUTBOUND: usize = 256;

/// What the portal sent that could not be used. Frames are dropped and counted, never answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// Binary frames.
    pub binary: u64,
    /// Text frames that are no frames of the protocol, and malformed replies.
    pub malformed_frames: u64,
    /// Known events whose payload does not belong to them.
    pub malformed_messages: u64,
    /// Events that are not known.
    pub unknown_events: u64,
}

impl Drops {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.binary + self.malformed_frames + self.malformed_messages + self.unknown_events
    }
}

/// What came of a connection.
pub(crate) enum Step {
    /// The portal has let us in.
    Joined,
    /// A message of the application.
    Push { event: String, payload: Value },
}

/// Where the channel on this websocket stands.
enum Membership {
    /// Asked to be let in; again, if the portal had forgotten about us.
    Joining {
        reference: u64,
        again: bool,
        deadline: Pin<Box<Sleep>>,
    },
    Joined,
}

/// One open websocket.
pub(crate) struct Connection {
    socket: Socket,
    login: Arc<Login>,
    membership: Membership,
    next_reference: u64,
    heartbeat: Interval,
    /// References of heartbeats without an answer, oldest first.
    unanswered: VecDeque<u64>,
    outbound: VecDeque<Utf8Bytes>,
    unflushed: bool,
}

impl Connection {
    /// Takes over a fresh websocket and asks to join.
    pub(crate) fn new(socket: Socket, login: Arc<Login>) -> Self {
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL);
        // After a suspended hour the portal deserves its ten seconds, not 360 beats at once.
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection = Self {
            socket,
            login,
            membership: Membership::Joined,
            next_reference: 0,
            heartbeat,
            unanswered: VecDeque::new(),
            outbound: VecDeque::new(),
            unflushed: false,
        };
        connection.join(false);
        connection
    }

    /// Whether messages of the application may be sent.
    pub(crate) const fn is_joined(&self) -> bool {
        matches!(self.membership, Membership::Joined)
    }

    /// Whether another message may be pushed.
    pub(crate) fn has_room(&self) -> bool {
        self.outbound.len() < MAX_OUTBOUND
    }

    /// Queues a message of the application; only for a joined channel with room.
    pub(crate) fn push(&mut self, event: &str, payload: Value) {
        self.request(self.login.party().topic(), event, payload);
    }

    /// The websocket, to be closed.
    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    /// Drives the connection until something comes of it. Nothing is lost when the caller stops
    /// polling and comes back later.
    pub(crate) fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        drops: &mut Drops,
    ) -> Poll<Result<Step, DialError>> {
        loop {
            self.check_time(cx)?;
            self.poll_write(cx)?;
            let message = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.broken(error))),
                Poll::Ready(None) => return Poll::Ready(Err(self.ended())),
            };
            match message {
                WsMessage::Text(text) => {
                    if let Some(step) = self.handle_text(&text, drops)? {
                        return Poll::Ready(Ok(step));
                    }
                }
                WsMessage::Binary(_) => {
                    drops.binary += 1;
                    tracing::warn!("Dropped a binary frame of the portal");
                }
                // The websocket layer has queued the pong already.
                WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Frame(_) => {}
                WsMessage::Close(frame) => return Poll::Ready(Err(self.closed(cx, frame))),
            }
        }
    }

    fn check_time(&mut self, cx: &mut Context<'_>) -> Result<(), DialError> {
        if let Membership::Joining { deadline, .. } = &mut self.membership
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Err(ConnectError::JoinTimeout.into());
        }
        while self.heartbeat.poll_tick(cx).is_ready() {
            let reference = self.request(PHOENIX, "heartbeat", json!({}));
            self.unanswered.push_back(reference);
            if self.unanswered.len() > MAX_UNANSWERED {
                return Err(ConnectError::Silent.into());
            }
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), DialError> {
        while !self.outbound.is_empty() {
            match Pin::new(&mut self.socket).poll_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready.map_err(|error| self.broken(error))?,
            }
            if let Some(text) = self.outbound.pop_front() {
                self.unflushed = true;
                Pin::new(&mut self.socket)
                    .start_send(WsMessage::Text(text))
                    .map_err(|error| self.broken(error))?;
            }
        }
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.socket).poll_flush(cx)
        {
            flushed.map_err(|error| self.broken(error))?;
            self.unflushed = false;
        }
        Ok(())
    }

    fn handle_text(&mut self, text: &str, drops: &mut Drops) -> Result<Option<Step>, DialError> {
        let frame = match Frame::parse(text) {
            Ok(frame) => frame,
            Err(FrameError::Empty) => return Err(ConnectError::EmptyFrame.into()),
            Err(FrameError::Malformed) => {
                drops.malformed_frames += 1;
                tracing::warn!(
                    bytes = text.len(),
                    "Dropped a malformed frame of the portal"
                );
                return Ok(None);
            }
        };
        let nothing = frame.payload.as_object().is_some_and(|o| o.is_empty());
        match frame.event.as_str() {
            "phx_reply" => self.handle_reply(&frame, drops),
            "phx_close" if nothing => self.handle_channel_close(),
            "phx_error" if nothing => {
                tracing::debug!("The portal's end of the channel crashed");
                Ok(None)
            }
            "disconnect" => handle_disconnect(&frame.payload, drops),
            _ => Ok(Some(Step::Push {
                event: frame.event,
                payload: frame.payload,
            })),
        }
    }

    fn handle_reply(
        &mut self,
        frame: &Frame,
        drops: &mut Drops,
    ) -> Result<Option<Step>, DialError> {
        let (Some(reference), Some(reply)) = (frame.reference, Reply::parse(&frame.payload)) else {
            drops.malformed_frames += 1;
            tracing::warn!("Dropped a malformed reply of the portal");
            return Ok(None);
        };
        if let Some(position) = self.unanswered.iter().position(|&r| r == reference) {
            // Whatever was sent before it got through as well.
            self.unanswered.drain(..=position);
            return Ok(None);
        }
        let joining = match self.membership {
            Membership::Joining { reference, .. } => Some(reference),
            Membership::Joined => None,
        };
        match reply {
            Reply::Ok if joining == Some(reference) => {
                self.membership = Membership::Joined;
                Ok(Some(Step::Joined))
            }
            Reply::Ok => Ok(None),
            Reply::Error(reason) if joining == Some(reference) => Err(refused(&reason)),
            Reply::Error(reason) => {
                if reason == "unmatched topic" && joining.is_none() {
                    tracing::debug!("The portal has lost the channel, joining again");
                    self.join(true);
                } else {
                    tracing::debug!(reason = shown(&reason), "The portal refused a message");
                }
                Ok(None)
            }
        }
    }

    /// Joining anew makes the portal close the channel it had; that is no news.
    fn handle_channel_close(&self) -> Result<Option<Step>, DialError> {
        match self.membership {
            Membership::Joining { again: true, .. } => Ok(None),
            _ => Err(ConnectError::ChannelClosed.into()),
        }
    }

    fn join(&mut self, again: bool) {
        let payload = self.login.join_payload();
        let reference = self.request(self.login.party().topic(), "phx_join", payload);
        self.membership = Membership::Joining {
            reference,
            again,
            deadline: Box::pin(sleep(JOIN_LIMIT)),
        };
    }

    fn request(&mut self, topic: &str, event: &str, payload: Value) -> u64 {
        let reference = self.next_reference;
        self.next_reference += 1;
        let frame = Frame::request(topic, event, payload, reference);
        self.outbound.push_back(frame.emit().into());
        reference
    }

    /// The portal's close frame; the echo of it is written as far as the socket takes it.
    fn closed(
        &mut self,
        cx: &mut Context<'_>,
        frame: Option<tokio_tungstenite::tungstenite::protocol::CloseFrame>,
    ) -> DialError {
        drop(Pin::new(&mut self.socket).poll_flush(cx));
        let (code, reason) = frame.map_or((1005, String::new()), |frame| {
            (u16::from(frame.code), shown(frame.reason.as_str()))
        });
        ConnectError::Closed { code, reason }.into()
    }

    fn broken(&self, error: tokio_tungstenite::tungstenite::Error) -> DialError {
        broken(&self.login, error).into()
    }

    fn ended(&self) -> DialError {
        DialError::Transient(ConnectError::Websocket {
            host: self.login.host(),
            source: io::Error::from(io::ErrorKind::UnexpectedEof),
        })
    }
}

/// Only the end of the token is an end; what other reasons mean, the close that follows says.
fn handle_disconnect(payload: &Value, drops: &mut Drops) -> Result<Option<Step>, DialError> {
    if payload.get("reason").and_then(Value::as_str) == Some("token_expired") {
        let error = ChannelError::TokenInvalid(TokenError::Expired);
        return Err(DialError::Fatal(error));
    }
    drops.unknown_events += 1;
    tracing::warn!("Ignored a disconnect of the portal for an unknown reason");
    Ok(None)
}

fn refused(reason: &str) -> DialError {
    DialError::Fatal(match reason {
        "token_expired" => ChannelError::TokenInvalid(TokenError::Expired),
        _ => ChannelError::JoinRefused(shown(reason)),
    })
}
