//! What comes over the socket of the tunnel service, from either side.

use crate::script::Script;
use service_ipc::{Client, Generation, Server};
use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A peer that says what the input says, in pieces of some size, and takes whatever it is told.
struct Peer<'a> {
    says: &'a [u8],
    piece: usize,
}

impl AsyncRead for Peer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.piece.min(self.says.len()).min(buffer.remaining());
        let (piece, rest) = self.says.split_at(length);
        buffer.put_slice(piece);
        self.says = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The service listens to a GUI, and a GUI to the service.
pub(crate) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let generation = script.choose(&Generation::ALL);
    let is_service = script.flag();
    let piece = usize::from(script.byte()) + 1;
    let says = script.rest();
    let peer = Peer { says, piece };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    let _guard = runtime.enter();
    let listening = async {
        if is_service {
            listen_to_gui(Server::new(peer, generation)).await;
        } else if let Ok(client) = Client::open(peer).await {
            listen_to_service(client).await;
        }
    };
    let polled = pin!(listening).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_ready(), "the peer always has something, or ends");
}

async fn listen_to_gui(mut server: Server<Peer<'_>>) {
    while let Ok(Some(message)) = server.next().await {
        let json = serde_json::to_vec(&message).expect("messages are JSON");
        let again: service_ipc::ToService =
            serde_json::from_slice(&json).expect("what was understood is understood again");
        assert_eq!(serde_json::to_vec(&again).ok(), Some(json));
    }
}

async fn listen_to_service(mut client: Client<Peer<'_>>) {
    while let Ok(Some(message)) = client.next().await {
        let _shown = format!("{message:?}");
        let generation = client.generation();
        let json = message.to_json(generation).expect("messages are JSON");
        let json = json.expect("what a generation says has a form in it");
        let again = service_ipc::ToGui::from_json(generation, &json);
        again.expect("what was understood is understood again");
    }
}
