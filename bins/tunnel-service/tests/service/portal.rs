//! A portal on the loopback address.

use devnet::portal::{Options, control as say, run};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::PathBuf};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};
use url::Url;

use crate::world::{LIMIT, unique};

/// A portal with files of its own; it ends with the runtime of the test.
pub(crate) struct Portal {
    folder: PathBuf,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Portal {
    pub(crate) async fn start() -> Self {
        let folder = unique("portal");
        fs::create_dir_all(&folder).unwrap();
        let settings = json!({
            "account": { "slug": "dev" },
            "sites": [{ "name": "site" }],
            "tokens": [{ "token": "right", "kind": "client", "actor": "anna" }],
            "resources": [
                { "name": "net", "type": "cidr", "address": "10.20.0.0/16", "sites": ["site"] },
                { "name": "corp", "type": "dns", "address": "*.corp.test", "sites": ["site"] },
                { "name": "all", "type": "internet", "sites": ["site"] },
            ],
        });
        fs::write(folder.join("portal.json"), settings.to_string()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = Options {
            settings: folder.join("portal.json"),
            state: None,
            control: Some(folder.join("control")),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            run(options, vec![listener], stopped).await.unwrap();
        });
        Self {
            folder,
            address,
            _stop: stop,
        }
    }

    pub(crate) fn url(&self) -> Url {
        format!("ws://{}/", self.address).parse().unwrap()
    }

    pub(crate) async fn say(&self, command: Value) {
        let answer = async {
            loop {
                // The socket may not be there yet right after the start.
                match say(&self.folder.join("control"), &command).await {
                    Ok(answer) => return answer,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let answer = timeout(LIMIT, answer).await.unwrap();
        assert_eq!(answer["ok"], json!(true), "{answer}");
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        // A folder that stays harms nobody.
        fs::remove_dir_all(&self.folder).ok();
    }
}
