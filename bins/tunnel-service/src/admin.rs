//! Commands to the service that do not come from a GUI: from administrators and from signals.

use local_socket::Listener;
use service_ipc::{
    Fault,
    control::{Answer, Ask, Status},
    receive_one, send_one,
};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    time::sleep,
};

/// Commands that wait.
const QUEUE: usize = 16;

/// Pause after the system failed to hand over a peer.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A command that is carried out before any message of a GUI.
#[derive(Debug)]
pub enum AdminCommand {
    /// End the session; whether there was one.
    Disconnect(oneshot::Sender<bool>),
    /// Drop all connections to gateways and make new ones.
    Reset(&'static str),
    /// Report how the service is doing.
    Status(oneshot::Sender<Status>),
    /// End the service.
    Stop,
}

/// The receiving end of commands.
#[derive(Debug)]
pub struct AdminCommands(mpsc::Receiver<AdminCommand>);

/// A queue of commands: where they are sent, and where the service takes them from.
pub fn admin_commands() -> (mpsc::Sender<AdminCommand>, AdminCommands) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (sender, AdminCommands(receiver))
}

impl AdminCommands {
    /// The next command. Once nobody can send one, the service ends. Cancel-safe.
    pub(crate) async fn next(&mut self) -> AdminCommand {
        self.0.recv().await.unwrap_or(AdminCommand::Stop)
    }
}

/// Answers administrators, one after the other, for as long as the service lives.
pub async fn answer_administrators<L: Listener>(
    mut listener: L,
    commands: mpsc::Sender<AdminCommand>,
) {
    loop {
        let (mut stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "No administrator can be answered for now");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !peer.is_administrator {
            tracing::info!(%peer, "Refused to answer somebody who is no administrator");
            continue;
        }
        match answer(&mut stream, &commands).await {
            Ok(Some(ask)) => tracing::debug!(%peer, question = %ask, "Answered an administrator"),
            Ok(None) => {}
            Err(fault) => tracing::debug!(%peer, error = %fault, "Cannot answer an administrator"),
        }
    }
}

async fn answer<S>(
    stream: &mut S,
    commands: &mpsc::Sender<AdminCommand>,
) -> Result<Option<Ask>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(ask) = receive_one::<_, Ask>(stream).await? else {
        return Ok(None);
    };
    let answer = match ask {
        Ask::Disconnect => Answer::Disconnected(send(commands, AdminCommand::Disconnect).await?),
        Ask::Status => Answer::Status(send(commands, AdminCommand::Status).await?),
    };
    send_one(stream, &answer).await?;
    Ok(Some(ask))
}

/// Sends a command and waits for what came of it.
async fn send<T>(
    commands: &mpsc::Sender<AdminCommand>,
    command: impl FnOnce(oneshot::Sender<T>) -> AdminCommand,
) -> Result<T, Fault> {
    let stopping = || io::Error::new(io::ErrorKind::ConnectionAborted, "the service is stopping");
    let (reply, answer) = oneshot::channel();
    let sent = commands.send(command(reply)).await;
    sent.map_err(|_| Fault::Io(stopping()))?;
    answer.await.map_err(|_| Fault::Io(stopping()))
}

/// How a service without a GUI is doing.
pub(crate) fn idle_status() -> Status {
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        ..Status::default()
    }
}
