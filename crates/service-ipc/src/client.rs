//! The GUI's half of a conversation.

use crate::{
    connection::{Connection, Reading},
    error::Fault,
    to_gui::{Generation, Hello, ToGui},
    to_service::ToService,
};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use zeroize::Zeroizing;

/// How long a service may take to greet. spec: client-app 13.3
pub const HELLO_TIME: Duration = Duration::from_secs(5);

/// The service, seen from a GUI. It learns the generation from the greeting.
pub struct Client<S> {
    connection: Connection<S>,
    generation: Generation,
    hello: Option<Box<Hello>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Waits for the greeting of the service at the other end of a fresh stream.
    ///
    /// # Errors
    ///
    /// [`Fault::NoHello`] when the service is busy with another GUI, [`Fault::Refused`] when it
    /// does not want this program, and those of the system.
    pub async fn open(stream: S) -> Result<Self, Fault> {
        let mut connection = Connection::new(stream, Reading::Always);
        let greeting = timeout(HELLO_TIME, connection.next()).await;
        let greeting = greeting.map_err(|_| Fault::NoHello(HELLO_TIME))??;
        let greeting = greeting.ok_or(Fault::Refused)?;
        let generations = Generation::ALL.into_iter();
        let hello = generations
            .filter_map(|generation| {
                let message = ToGui::from_json(generation, &greeting).ok()?;
                Some((generation, message))
            })
            .next();
        match hello {
            Some((generation, ToGui::Hello(hello))) => Ok(Self {
                connection,
                generation,
                hello,
            }),
            _ => Err(Fault::Refused),
        }
    }

    /// Which generation the service speaks.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What the service said of itself; nothing in the older generation.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_deref()
    }

    /// The stream, for example to ask who is at its other end.
    pub fn stream(&self) -> &S {
        self.connection.stream()
    }

    /// Takes a message to be sent while [`Client::next`] or [`Client::flush`] is waited for.
    ///
    /// # Errors
    ///
    /// [`Fault::MessageTooLarge`]; the connection can go on.
    pub fn send(&mut self, message: &ToService) -> Result<(), Fault> {
        self.connection
            .queue(&Zeroizing::new(serde_json::to_vec(message)?))
    }

    /// The next message; none when the service is gone. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of the peer and of the system; the conversation is over then.
    pub async fn next(&mut self) -> Result<Option<ToGui>, Fault> {
        let payload = self.connection.next().await?;
        let parse = |payload: crate::frame::Payload| ToGui::from_json(self.generation, &payload);
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

impl<S> std::fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
