//! Frames over a stream, in both directions, by one owner and without a task.

use crate::{
    error::Fault,
    frame::{Decoder, HEADER, MAX_PAYLOAD, Payload, header},
};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use zeroize::Zeroizing;

/// How long a frame may take from its first byte to its last, in either direction.
pub const FRAME_TIME: Duration = Duration::from_secs(10);

/// Bytes that may wait for the peer.
const MAX_UNSENT: usize = 2 * (MAX_PAYLOAD + HEADER);

/// Whether to read while something waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Always: the peer's messages never wait for ours.
    Always,
    /// Only once all is sent: a peer that does not read is not listened to.
    WhenFlushed,
}

/// A stream of frames.
pub(crate) struct Connection<S> {
    stream: S,
    reading: Reading,
    decoder: Decoder,
    unsent: Zeroizing<Vec<u8>>,
    sent: usize,
    receive_limit: Limit,
    send_limit: Limit,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(stream: S, reading: Reading) -> Self {
        Self {
            stream,
            reading,
            decoder: Decoder::default(),
            unsent: Zeroizing::default(),
            sent: 0,
            receive_limit: Limit::default(),
            send_limit: Limit::default(),
        }
    }

    /// The stream.
    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    /// Whether nothing waits to be sent.
    pub(crate) fn is_flushed(&self) -> bool {
        self.sent == self.unsent.len()
    }

    /// Lets a payload wait for [`Connection::next`] or [`Connection::flush`].
    pub(crate) fn queue(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let header = header(payload)?;
        let needed = self.unsent.len() + header.len() + payload.len();
        if needed > MAX_UNSENT {
            return Err(Fault::MessageTooLarge(needed));
        }
        if let Some(room) = larger_room(self.unsent.capacity(), needed) {
            // Growing in place would leave a copy of a token behind.
            let mut larger = Zeroizing::new(Vec::with_capacity(room));
            larger.extend_from_slice(&self.unsent);
            self.unsent = larger;
        }
        self.unsent.extend_from_slice(&header);
        self.unsent.extend_from_slice(payload);
        Ok(())
    }

    /// The next payload; none if the peer left between two frames. Sends meanwhile what waits.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Payload>, Fault> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Sends what waits. Cancel-safe.
    pub(crate) async fn flush(&mut self) -> Result<(), Fault> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Payload>, Fault>> {
        match self.poll_flush(cx) {
            Poll::Ready(result) => result?,
            Poll::Pending if self.reading == Reading::WhenFlushed => return Poll::Pending,
            Poll::Pending => {}
        }
        self.poll_receive(cx)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Payload>, Fault>> {
        loop {
            let mut room = ReadBuf::new(self.decoder.room());
            match Pin::new(&mut self.stream).poll_read(cx, &mut room) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    if self.decoder.is_inside() {
                        ready!(self.receive_limit.poll_over(cx));
                        return Poll::Ready(Err(Fault::Stalled(FRAME_TIME)));
                    }
                    return Poll::Pending;
                }
            }
            let count = room.filled().len();
            if count == 0 {
                let end = match self.decoder.is_inside() {
                    true => Err(Fault::Truncated),
                    false => Ok(None),
                };
                return Poll::Ready(end);
            }
            if let Some(payload) = self.decoder.advance(count)? {
                self.receive_limit.clear();
                return Poll::Ready(Ok(Some(payload)));
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while !self.is_flushed() {
            let rest = &self.unsent[self.sent..];
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return Poll::Ready(Err(error.into()));
                }
                Poll::Ready(count) => self.sent += count?,
                Poll::Pending => {
                    ready!(self.send_limit.poll_over(cx));
                    return Poll::Ready(Err(Fault::Stalled(FRAME_TIME)));
                }
            }
        }
        self.unsent = Zeroizing::default();
        self.sent = 0;
        self.send_limit.clear();
        Pin::new(&mut self.stream).poll_flush(cx).map_err(Fault::Io)
    }
}

/// The room to be made for so many bytes, if there is too little. Twice as much each time, so that all
/// copies together have at most twice the bytes of what is sent.
fn larger_room(room: usize, needed: usize) -> Option<usize> {
    (needed > room).then(|| needed.max(2 * room).min(MAX_UNSENT))
}

/// A limit in time that starts when it is first looked at.
#[derive(Default)]
struct Limit(Option<Pin<Box<Sleep>>>);

impl Limit {
    fn clear(&mut self) {
        self.0 = None;
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep(FRAME_TIME)));
        sleep.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests;
