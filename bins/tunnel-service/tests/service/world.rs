//! A service with its sockets, and GUIs.

use crate::machine::FakeMachine;
use local_socket::{Claim, Permissions, Stream, Trust, connect, path_in};
use service_ipc::{
    Client, Connect, Generation, ToGui, ToService,
    control::{Answer, Ask, Status},
    receive_one, send_one,
};
use std::time::Duration;
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tunnel_service::{
    AdminCommand, Lifetime, Policy, Service, admin_commands, answer_administrators,
};
use url::Url;

/// How long anything may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A running service.
pub(crate) struct World {
    pub(crate) machine: FakeMachine,
    pub(crate) commands: mpsc::Sender<AdminCommand>,
    folder: TempDir,
    service: JoinHandle<()>,
    control: JoinHandle<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Generation::August2026, Lifetime::Unlimited).await
    }

    pub(crate) async fn with(generation: Generation, lifetime: Lifetime) -> Self {
        let machine = FakeMachine::default();
        let folder = TempDir::new().unwrap();
        let claim = Claim::take(folder.path(), "tunnel").unwrap();
        let owner = Permissions::Owner;
        let listener = claim.bind("tunnel", &owner).await.unwrap();
        let control = claim.bind("control", &owner).await.unwrap();
        let (giver, taker) = admin_commands();
        let service = Service {
            machine: machine.clone(),
            listener,
            policy: Policy::Programs(vec![]),
            generation,
            commands: taker,
            lifetime,
        };
        Self {
            machine,
            commands: giver.clone(),
            folder,
            service: tokio::spawn(async move {
                let _claim = claim;
                service.serve().await;
            }),
            control: tokio::spawn(answer_administrators(control, giver)),
        }
    }

    /// A stream to the service that nothing was said on.
    pub(crate) async fn stream(&self) -> Stream {
        let path = path_in(self.folder.path(), "tunnel");
        connect(&path, Trust::Administrators, 1).await.unwrap()
    }

    /// A GUI that was greeted.
    pub(crate) async fn gui(&self) -> Gui {
        Gui(Client::open(self.stream().await).await.unwrap())
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        let path = path_in(self.folder.path(), "control");
        let mut stream = connect(&path, Trust::Administrators, 1).await.unwrap();
        send_one(&mut stream, &ask).await.unwrap();
        receive_one(&mut stream).await.unwrap().unwrap()
    }

    pub(crate) async fn status(&self) -> Status {
        match self.ask(Ask::Status).await {
            Answer::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    /// Stops the service and looks whether it left anything.
    pub(crate) async fn stop(self) {
        self.commands.send(AdminCommand::Stop).await.unwrap();
        self.wait_for_end().await;
    }

    /// Waits for the end of the service and looks whether it left anything.
    pub(crate) async fn wait_for_end(self) {
        timeout(LIMIT, self.service).await.unwrap().unwrap();
        self.control.abort();
        assert!(self.machine.is_clean(), "the machine is as it was before");
        assert!(!path_in(self.folder.path(), "tunnel").exists());
    }

    pub(crate) async fn eventually(&self, condition: impl Fn(&FakeMachine) -> bool) {
        let wait = async {
            while !condition(&self.machine) {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, wait).await.expect("it never came to that");
    }
}

/// A GUI that behaves.
pub(crate) struct Gui(pub(crate) Client<Stream>);

impl Gui {
    pub(crate) async fn send(&mut self, message: ToService) {
        self.0.send(&message).unwrap();
        self.0.flush().await.unwrap();
    }

    pub(crate) async fn recv(&mut self) -> ToGui {
        let message = timeout(LIMIT, self.0.next())
            .await
            .expect("a message in time");
        message.unwrap().expect("the service goes on")
    }

    /// The next message that is meant; others are left out.
    pub(crate) async fn recv_where(&mut self, is_meant: impl Fn(&ToGui) -> bool) -> ToGui {
        loop {
            let message = self.recv().await;
            if is_meant(&message) {
                return message;
            }
        }
    }

    pub(crate) async fn connect(&mut self, url: Url, token: &str) -> ToGui {
        let connect = Connect {
            api_url: Some(url),
            ..Connect::new(token.into())
        };
        self.send(ToService::Connect(connect)).await;
        self.recv_where(|message| matches!(message, ToGui::ConnectResult(_)))
            .await
    }
}
