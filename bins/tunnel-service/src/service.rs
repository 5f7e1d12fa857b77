//! The life of the service. spec: client-app 12

use crate::{
    access::Policy,
    admin::{ACCEPT_PAUSE, AdminCommand, AdminCommands, idle_status},
    gui::{Gui, Next},
    machine::Machine,
};
use futures_util::FutureExt as _;
use local_socket::{Listener, Peer};
use platform::Platform as _;
use service_ipc::{Generation, Server};
use std::{error::Error, panic::AssertUnwindSafe};
use tokio::time::{Instant, sleep_until};

/// How long the service lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is told to stop.
    Unlimited,
    /// Until the first GUI is gone.
    OneGui,
}

/// A service that is ready to serve.
pub struct Service<M, L> {
    /// The machine.
    pub machine: M,
    /// Where GUIs arrive.
    pub listener: L,
    /// Which of them are served.
    pub policy: Policy,
    /// Which messages they understand.
    pub generation: Generation,
    /// Commands that are carried out before their messages.
    pub commands: AdminCommands,
    /// When it ends by itself.
    pub lifetime: Lifetime,
}

impl<M: Machine, L: Listener> Service<M, L> {
    /// Serves GUIs, one after the other, until it is told to stop.
    pub async fn serve(mut self) {
        loop {
            self.undo_leftovers();
            self.machine.report("Waiting for a GUI");
            let Some((stream, peer)) = self.wait_for_gui().await else {
                return;
            };
            let next = self.serve_gui(stream, &peer).await;
            if next == Next::End || self.lifetime == Lifetime::OneGui {
                return;
            }
        }
    }

    /// Of a crashed run, or of a session that did not end in time.
    fn undo_leftovers(&mut self) {
        let undone = self
            .machine
            .platform()
            .and_then(|mut platform| platform.revert());
        if let Err(fault) = undone {
            let error = &fault as &dyn Error;
            tracing::warn!(error, "Cannot undo what an earlier run left behind");
        }
    }

    async fn wait_for_gui(&mut self) -> Option<(L::Stream, Peer)> {
        let mut accept_at = Instant::now();
        loop {
            let accept = async {
                sleep_until(accept_at).await;
                self.listener.accept().await
            };
            let accepted = tokio::select! {
                biased;
                command = self.commands.next() => {
                    if let AdminCommand::Stop = command {
                        return None;
                    }
                    handle_idle_command(command);
                    continue;
                }
                accepted = accept => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match self.policy.check(&peer) {
                    Ok(()) => return Some((stream, peer)),
                    Err(reason) => tracing::info!(%peer, %reason, "Refused to serve"),
                },
                Err(error) => {
                    tracing::warn!(%error, "No GUI can be served for now");
                    accept_at = Instant::now() + ACCEPT_PAUSE;
                }
            }
        }
    }

    /// A panic costs the GUI its connection, and nobody else anything.
    async fn serve_gui(&mut self, stream: L::Stream, peer: &Peer) -> Next {
        tracing::info!(%peer, "Serving a GUI");
        let server = Server::new(stream, self.generation);
        let gui = Gui::new(
            &mut self.machine,
            &mut self.commands,
            server,
            peer.to_string(),
        );
        let next = AssertUnwindSafe(gui.serve()).catch_unwind().await;
        tracing::info!(%peer, "The GUI is gone");
        next.unwrap_or_else(|_| {
            tracing::error!("Serving the GUI panicked; the next one is served");
            Next::Gui
        })
    }
}

/// Carries out a command while there is no GUI. Whoever asked may be gone.
fn handle_idle_command(command: AdminCommand) {
    match command {
        AdminCommand::Disconnect(reply) => drop(reply.send(false)),
        AdminCommand::Status(reply) => drop(reply.send(idle_status())),
        AdminCommand::Reset(_) | AdminCommand::Stop => {}
    }
}
