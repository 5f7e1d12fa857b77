//! Settings that the service owns, as they cross the wire and lie on disk. spec: client-app 14

use serde::{Deserialize, Serialize};
use url::Url;

/// What a user may set for all sessions. spec: client-app 14
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvancedSettings {
    /// Where users sign in.
    pub auth_url: Url,
    /// Base URL of the portal.
    pub api_url: Url,
    /// What to log: a level, or `target=level` pairs separated by commas.
    pub log_filter: String,
}

impl Default for AdvancedSettings {
    /// Those of the vendor's network. spec: client-app 14, 18
    fn default() -> Self {
        let url = |text: &str| Url::parse(text).expect("the default is a URL");
        Self {
            auth_url: url("https://app.firezone.dev"),
            api_url: url("wss://api.firezone.dev/"),
            log_filter: "info".into(),
        }
    }
}

/// What the administrator of many machines prescribes; nothing is prescribed where there is no
/// such mechanism. spec: client-app 14
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MdmSettings {
    /// Where users sign in.
    pub auth_url: Option<Url>,
    /// Base URL of the portal.
    pub api_url: Option<Url>,
    /// What to log.
    pub log_filter: Option<String>,
    /// The account to sign in to.
    pub account_slug: Option<String>,
    /// Whether the GUI leaves out its way to the administrator's portal.
    pub hide_admin_portal_menu_item: Option<bool>,
    /// Whether the GUI connects when it starts.
    pub connect_on_start: Option<bool>,
    /// Whether the GUI looks for newer versions.
    pub check_for_updates: Option<bool>,
    /// Where the GUI sends users who need help.
    pub support_url: Option<Url>,
}
