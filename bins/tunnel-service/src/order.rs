//! What signals and administrators want of the service.

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

/// Orders that wait.
const QUEUE: usize = 16;

/// Pause after the system failed to hand over a peer.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Something that goes before what a GUI says.
#[derive(Debug)]
pub enum Order {
    /// End the session; whether there was one.
    Disconnect(oneshot::Sender<bool>),
    /// Drop all connections to gateways and make new ones.
    Reset(&'static str),
    /// Say how the service is doing.
    Status(oneshot::Sender<Status>),
    /// End the service.
    Stop,
}

/// Where orders come in. Cancel-safe.
#[derive(Debug)]
pub struct Orders(mpsc::Receiver<Order>);

/// Where orders are given, and where they come in.
pub fn orders() -> (mpsc::Sender<Order>, Orders) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (sender, Orders(receiver))
}

impl Orders {
    /// The next order. Without anybody who could give one, the service ends.
    pub(crate) async fn next(&mut self) -> Order {
        self.0.recv().await.unwrap_or(Order::Stop)
    }
}

/// Answers administrators, one after the other, for as long as the service lives.
pub async fn answer_administrators<L: Listener>(mut listener: L, orders: mpsc::Sender<Order>) {
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
        match answer(&mut stream, &orders).await {
            Ok(Some(ask)) => tracing::debug!(%peer, ?ask, "Answered"),
            Ok(None) => {}
            Err(fault) => tracing::debug!(%peer, %fault, "Could not answer"),
        }
    }
}

async fn answer<S>(stream: &mut S, orders: &mpsc::Sender<Order>) -> Result<Option<Ask>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(ask) = receive_one::<_, Ask>(stream).await? else {
        return Ok(None);
    };
    let answer = match ask {
        Ask::Disconnect => Answer::Disconnected(give(orders, Order::Disconnect).await?),
        Ask::Status => Answer::Status(give(orders, Order::Status).await?),
    };
    send_one(stream, &answer).await?;
    Ok(Some(ask))
}

async fn give<T>(
    orders: &mpsc::Sender<Order>,
    order: impl FnOnce(oneshot::Sender<T>) -> Order,
) -> Result<T, Fault> {
    let stopping = || io::Error::new(io::ErrorKind::ConnectionAborted, "the service is stopping");
    let (reply, answer) = oneshot::channel();
    let sent = orders.send(order(reply)).await;
    sent.map_err(|_| Fault::Io(stopping()))?;
    answer.await.map_err(|_| Fault::Io(stopping()))
}
