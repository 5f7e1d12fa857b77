//! What a session needs to know before it starts.

use model::{DeviceIds, OsInfo, ResourceId};
use secrecy::SecretString;
use std::{collections::BTreeSet, time::Duration};
use url::Url;

/// Preferred local UDP port. spec: data-plane 2.2
const PREFERRED_PORT: u16 = 52625;

/// How clients introduce themselves to portals of the first generation. spec: portal 2.5
const COMPONENT: &str = "connlib";

/// The version that the portal compares with those of gateways. spec: portal 10.6
const PROTOCOL_VERSION: &str = "1.5.2";

/// How a client on such a system introduces itself to the portal.
pub fn user_agent(os: &OsInfo) -> String {
    portal_client::user_agent(COMPONENT, PROTOCOL_VERSION, os)
}

/// Settings of one session; none of them changes while it runs, unless a command says so.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Base URL of the portal.
    pub api_url: Url,
    /// The token that names the actor.
    pub token: SecretString,
    /// The identity of this device, see [`portal_client::external_id`].
    pub external_id: String,
    /// What the portal shows for this device; empty lets the portal choose.
    pub name: String,
    /// How this program introduces itself, see [`user_agent`].
    pub user_agent: String,
    /// What the firmware calls the machine; may be left out.
    pub device: DeviceIds,
    /// Whether Internet Resources are used from the start.
    pub internet_resource: bool,
    /// Resources that the user switched off, known or not.
    pub disabled_resources: BTreeSet<ResourceId>,
    /// Whether the session goes on when the interface cannot be configured, and tries again with
    /// the next change; else it ends with [`crate::Disconnected::Platform`].
    pub tolerate_interface_faults: bool,
    /// How long the portal may stay away in all before the session ends; none means for ever.
    pub max_partition_time: Option<Duration>,
    /// Local UDP port that is tried first; when it is taken any other will do.
    pub preferred_port: u16,
}

impl Settings {
    /// Settings with the defaults for everything that has one.
    pub fn new(api_url: Url, token: SecretString, external_id: String, user_agent: String) -> Self {
        Self {
            api_url,
            token,
            external_id,
            name: String::new(),
            user_agent,
            device: DeviceIds::default(),
            internet_resource: false,
            disabled_resources: BTreeSet::new(),
            tolerate_interface_faults: false,
            max_partition_time: None,
            preferred_port: PREFERRED_PORT,
        }
    }
}
