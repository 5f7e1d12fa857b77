//! A portal on the loopback address.

use devnet::portal::LocalPortal;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::Url;

use crate::world::LIMIT;

/// A portal with a resource of each kind.
pub(crate) struct Portal(LocalPortal);

impl Portal {
    pub(crate) async fn start() -> Self {
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
        Self(LocalPortal::start(&settings).await.unwrap())
    }

    pub(crate) fn url(&self) -> Url {
        self.0.url().parse().unwrap()
    }

    pub(crate) async fn send(&self, command: Value) {
        let said = timeout(LIMIT, self.0.say(&command)).await;
        said.expect("an answer in time").unwrap();
    }
}
