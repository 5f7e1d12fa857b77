//! The service's half of a conversation.

use crate::{
    connection::{Connection, Reading},
    error::Fault,
    to_gui::{Generation, ToGui},
    to_service::ToService,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite};

/// A GUI, seen from the service.
///
/// Nothing is read from a GUI that does not read what it is sent, so nothing piles up.
pub struct Server<S> {
    connection: Connection<S>,
    generation: Generation,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Server<S> {
    /// The service's half of a fresh stream. Send [`ToGui::Hello`] first.
    pub fn new(stream: S, generation: Generation) -> Self {
        Self {
            connection: Connection::new(stream, Reading::WhenFlushed),
            generation,
        }
    }

    /// Which messages the GUI understands.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether all messages are sent.
    pub fn is_flushed(&self) -> bool {
        self.connection.is_flushed()
    }

    /// Takes a message to be sent while [`Server::next`] or [`Server::flush`] is waited for. What the
    /// generation has no message for is left out.
    ///
    /// # Errors
    ///
    /// [`Fault::MessageTooLarge`]; the connection can go on.
    pub fn send(&mut self, message: &ToGui) -> Result<(), Fault> {
        match message.to_json(self.generation)? {
            Some(json) => self.connection.queue(&json),
            None => Ok(()),
        }
    }

    /// The next message; none when the GUI is gone. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of the peer and of the system; the conversation is over then.
    pub async fn next(&mut self) -> Result<Option<ToService>, Fault> {
        let payload = self.connection.next().await?;
        let parse = |payload: crate::frame::Payload| serde_json::from_slice(&payload);
        Ok(payload.map(parse).transpose()?)
    }

    /// Waits until all messages are sent. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of the peer and of the system; the conversation is over then.
    pub async fn flush(&mut self) -> Result<(), Fault> {
        self.connection.flush().await
    }
}

impl<S> std::fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// Reads one question, such as [`crate::control::Ask`], and waits no longer than a frame may take.
///
/// # Errors
///
/// Those of the peer and of the system.
pub async fn receive_one<S, M>(stream: &mut S) -> Result<Option<M>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: DeserializeOwned,
{
    let mut connection = Connection::new(stream, Reading::Always);
    let limit = crate::connection::FRAME_TIME;
    let payload = tokio::time::timeout(limit, connection.next()).await;
    let payload = payload.map_err(|_| Fault::Stalled(limit))??;
    let parse = |payload: crate::frame::Payload| serde_json::from_slice(&payload);
    Ok(payload.map(parse).transpose()?)
}

/// Sends one answer, such as [`crate::control::Answer`].
///
/// # Errors
///
/// Those of the peer and of the system.
pub async fn send_one<S, M>(stream: &mut S, message: &M) -> Result<(), Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: Serialize,
{
    let mut connection = Connection::new(stream, Reading::Always);
    connection.queue(&serde_json::to_vec(message)?)?;
    connection.flush().await
}
