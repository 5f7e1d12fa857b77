//! A service with its sockets, and GUIs.

use crate::machine::Machine;
use service_ipc::{
    Access, Claim, Client, Connect, Generation, ToGui, ToService,
    control::{Answer, Ask, Status},
    receive_one, send_one,
};
use std::time::Duration;
use tempfile::TempDir;
use tokio::{net::UnixStream, sync::mpsc, task::JoinHandle, time::timeout};
use tunnel_service::{Lifetime, Order, Policy, Service, answer_administrators, orders};
use url::Url;

/// How long anything may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A running service.
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) orders: mpsc::Sender<Order>,
    folder: TempDir,
    service: JoinHandle<()>,
    control: JoinHandle<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Generation::August2026, Lifetime::Unlimited).await
    }

    pub(crate) async fn with(generation: Generation, lifetime: Lifetime) -> Self {
        let machine = Machine::default();
        let folder = TempDir::new().unwrap();
        let claim = Claim::take(folder.path()).unwrap();
        let access = Access {
            mode: 0o600,
            group: None,
        };
        let listener = claim.bind("tunnel.sock", access).await.unwrap();
        let control = claim.bind("control.sock", access).await.unwrap();
        let (giver, taker) = orders();
        let service = Service {
            host: machine.clone(),
            listener,
            policy: Policy::Programs(vec![]),
            generation,
            orders: taker,
            lifetime,
        };
        Self {
            machine,
            orders: giver.clone(),
            folder,
            service: tokio::spawn(async move {
                let _claim = claim;
                service.serve().await;
            }),
            control: tokio::spawn(answer_administrators(control, giver)),
        }
    }

    /// A stream to the service that nothing was said on.
    pub(crate) async fn stream(&self) -> UnixStream {
        let path = self.folder.path().join("tunnel.sock");
        service_ipc::connect(&path).await.unwrap()
    }

    /// A GUI that was greeted.
    pub(crate) async fn gui(&self) -> Gui {
        Gui(Client::open(self.stream().await).await.unwrap())
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        let path = self.folder.path().join("control.sock");
        let mut stream = service_ipc::connect(&path).await.unwrap();
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
        self.orders.send(Order::Stop).await.unwrap();
        self.wait_for_end().await;
    }

    /// Waits for the end of the service and looks whether it left anything.
    pub(crate) async fn wait_for_end(self) {
        timeout(LIMIT, self.service).await.unwrap().unwrap();
        self.control.abort();
        assert!(self.machine.is_clean(), "the machine is as it was before");
        assert!(!self.folder.path().join("tunnel.sock").exists());
    }

    pub(crate) async fn eventually(&self, condition: impl Fn(&Machine) -> bool) {
        let wait = async {
            while !condition(&self.machine) {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, wait).await.expect("it never came to that");
    }
}

/// A GUI that behaves.
pub(crate) struct Gui(pub(crate) Client<UnixStream>);

impl Gui {
    pub(crate) async fn say(&mut self, message: ToService) {
        self.0.say(&message).unwrap();
        self.0.flush().await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> ToGui {
        let message = timeout(LIMIT, self.0.next())
            .await
            .expect("a message in time");
        message.unwrap().expect("the service goes on")
    }

    /// The next message that is meant; others are left out.
    pub(crate) async fn hear_where(&mut self, is_meant: impl Fn(&ToGui) -> bool) -> ToGui {
        loop {
            let message = self.hear().await;
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
        self.say(ToService::Connect(connect)).await;
        self.hear_where(|message| matches!(message, ToGui::ConnectResult(_)))
            .await
    }
}
