//! A portal in this process, for tests and for people who look how things work.

use super::{Options, Portal, PortalFault, control};
use serde_json::Value;
use std::{fs, io, net::SocketAddr};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinHandle, yield_now},
};

/// A portal on the loopback address, with files of its own. It ends with the value, or with the
/// runtime.
#[derive(Debug)]
pub struct LocalPortal {
    folder: TempDir,
    address: SocketAddr,
    task: JoinHandle<Result<(), PortalFault>>,
    _stop: oneshot::Sender<()>,
}

impl LocalPortal {
    /// Starts one on any port. Must be called in a runtime, which will drive it.
    ///
    /// # Errors
    ///
    /// When the settings make no sense, see [`super::Settings`]; when there is no port or no folder
    /// to be had.
    pub async fn start(settings: &Value) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let options = Options {
            settings: folder.path().join("portal.json"),
            state: None,
            control: Some(folder.path().join("control")),
        };
        fs::write(&options.settings, settings.to_string())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let portal = Portal::load(options).map_err(io::Error::other)?;
        let task = tokio::spawn(portal.run(vec![listener], async {
            drop(stopped.await);
        }));
        Ok(Self {
            folder,
            address,
            task,
            _stop: stop,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, as clients take it.
    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Tells it a [`super::Command`]; its answer.
    ///
    /// # Errors
    ///
    /// When it does not run, or refuses.
    pub async fn say(&self, command: &Value) -> io::Result<Value> {
        let socket = self.folder.path().join("control");
        let answer = loop {
            match control(&socket, command).await {
                // Right after the start it is not there yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if self.task.is_finished() {
                        return Err(io::ErrorKind::NotConnected.into());
                    }
                    yield_now().await;
                }
                answer => break answer?,
            }
        };
        match answer["ok"] == true {
            true => Ok(answer),
            false => Err(io::Error::other(format!("the portal refuses: {answer}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn it_answers_refuses_and_ends() {
        let portal = LocalPortal::start(&json!({ "sites": [{ "name": "a" }] }))
            .await
            .unwrap();
        assert!(portal.url().contains(&portal.address().to_string()));
        let status = portal.say(&json!({ "cmd": "status" })).await.unwrap();
        assert_eq!(status["ok"], true);
        let refused = portal.say(&json!({ "cmd": "nonsense" })).await.unwrap_err();
        assert!(refused.to_string().contains("refuses"), "{refused}");
        let address = portal.address();
        drop(portal);
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn settings_that_make_no_sense_are_told() {
        let fault = LocalPortal::start(&json!({ "sites": 7 }))
            .await
            .unwrap_err();
        assert!(fault.to_string().contains("portal.json"), "{fault}");
    }
}
