//! What the service says to a GUI, in the form of either generation. spec: client-app 13.6

use crate::{
    resource::{Device, Resource},
    settings::{AdvancedSettings, MdmSettings},
};
use model::ResourceId;
use serde::{Deserialize, Serialize};

/// How GUI and service talk. They are released together, and nothing in the protocol tells the
/// generations apart before the service has spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Generation {
    /// That of July 2025: the GUI keeps the settings.
    July2025,
    /// That of August 2026: the service keeps the settings.
    #[default]
    August2026,
}

impl Generation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::July2025, Self::August2026];

    /// The name that options and variables use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::July2025 => "2025-07",
            Self::August2026 => "2026-08",
        }
    }
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Generation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|known| known.name() == text);
        found.ok_or_else(|| format!("possible values: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A message to the GUI.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToGui {
    /// How [`crate::ToService::ApplyAdvancedSettings`] went: what applies now, or why not.
    AdvancedSettingsApplied(Result<AdvancedSettings, String>),
    /// No gateway of this resource is online. Told once per session.
    AllGatewaysOffline(ResourceId),
    /// How [`crate::ToService::ClearLogs`] went.
    ClearedLogs(Result<(), String>),
    /// Whether a session was started.
    ConnectResult(Result<(), String>),
    /// There is no session any more, as was asked for.
    DisconnectedGracefully,
    /// The gateways of this resource do not understand this client. Told once per session.
    GatewayVersionMismatch(ResourceId),
    /// The greeting; with content in the newer generation.
    Hello(Option<Box<Hello>>),
    /// The session ended by itself.
    OnDisconnect {
        /// Why, for the user.
        error_msg: String,
        /// Whether the token is of no further use.
        requires_sign_in: bool,
    },
    /// All resources, sorted; replaces the list before.
    OnUpdateResources(Resources),
    /// The service is stopping; nothing follows.
    TerminatingGracefully,
}

/// What the newer service says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The identity of this device.
    pub firezone_id: String,
    /// The settings in force.
    pub advanced_settings: AdvancedSettings,
    /// What the administrator prescribes.
    #[serde(default)]
    pub mdm_settings: MdmSettings,
}

/// Everything that can be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Resources, sorted by [`Resource::sort_key`].
    pub resources: Vec<Resource>,
    /// Other clients. Only in the newer generation.
    #[serde(default)]
    pub connected_devices: Vec<Device>,
}

impl ToGui {
    /// The JSON of a generation; none if it has no such message.
    ///
    /// # Errors
    ///
    /// None in practice: all members can be written as JSON.
    pub fn to_json(&self, generation: Generation) -> Result<Option<Vec<u8>>, serde_json::Error> {
        let json = match generation {
            Generation::July2025 => {
                July2025::of(self.clone()).map(|form| serde_json::to_vec(&form))
            }
            Generation::August2026 => Some(serde_json::to_vec(&August2026::of(self.clone()))),
        };
        json.transpose()
    }

    /// Reads the JSON of a generation.
    ///
    /// # Errors
    ///
    /// If it is no message of that generation.
    pub fn from_json(generation: Generation, json: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(match generation {
            Generation::July2025 => serde_json::from_slice::<July2025>(json)?.into(),
            Generation::August2026 => serde_json::from_slice::<August2026>(json)?.into(),
        })
    }
}

#[derive(Serialize, Deserialize)]
enum July2025 {
    ClearedLogs(Result<(), String>),
    ConnectResult(Result<(), String>),
    DisconnectedGracefully,
    Hello,
    OnDisconnect {
        error_msg: String,
        is_authentication_error: bool,
    },
    OnUpdateResources(Vec<Resource>),
    TerminatingGracefully,
}

impl July2025 {
    fn of(message: ToGui) -> Option<Self> {
        Some(match message {
            ToGui::AdvancedSettingsApplied(_)
            | ToGui::AllGatewaysOffline(_)
            | ToGui::GatewayVersionMismatch(_) => return None,
            ToGui::ClearedLogs(result) => Self::ClearedLogs(result),
            ToGui::ConnectResult(result) => Self::ConnectResult(result),
            ToGui::DisconnectedGracefully => Self::DisconnectedGracefully,
            ToGui::Hello(_) => Self::Hello,
            ToGui::OnDisconnect {
                error_msg,
                requires_sign_in,
            } => Self::OnDisconnect {
                error_msg,
                is_authentication_error: requires_sign_in,
            },
            ToGui::OnUpdateResources(all) => Self::OnUpdateResources(all.resources),
            ToGui::TerminatingGracefully => Self::TerminatingGracefully,
        })
    }
}

impl From<July2025> for ToGui {
    fn from(form: July2025) -> Self {
        match form {
            July2025::ClearedLogs(result) => Self::ClearedLogs(result),
            July2025::ConnectResult(result) => Self::ConnectResult(result),
            July2025::DisconnectedGracefully => Self::DisconnectedGracefully,
            July2025::Hello => Self::Hello(None),
            July2025::OnDisconnect {
                error_msg,
                is_authentication_error,
            } => Self::OnDisconnect {
                error_msg,
                requires_sign_in: is_authentication_error,
            },
            July2025::OnUpdateResources(resources) => Self::OnUpdateResources(Resources {
                resources,
                connected_devices: vec![],
            }),
            July2025::TerminatingGracefully => Self::TerminatingGracefully,
        }
    }
}

#[derive(Serialize, Deserialize)]
enum August2026 {
    AdvancedSettingsApplied(Result<AdvancedSettings, String>),
    AllGatewaysOffline {
        resource_id: ResourceId,
    },
    ClearedLogs(Result<(), String>),
    ConnectResult(Result<(), String>),
    DisconnectedGracefully,
    GatewayVersionMismatch {
        resource_id: ResourceId,
    },
    Hello(Box<Hello>),
    OnDisconnect {
        error_msg: String,
        requires_sign_in: bool,
    },
    OnUpdateResources(Resources),
    TerminatingGracefully,
}

impl August2026 {
    fn of(message: ToGui) -> Self {
        match message {
            ToGui::AdvancedSettingsApplied(result) => Self::AdvancedSettingsApplied(result),
            ToGui::AllGatewaysOffline(resource_id) => Self::AllGatewaysOffline { resource_id },
            ToGui::ClearedLogs(result) => Self::ClearedLogs(result),
            ToGui::ConnectResult(result) => Self::ConnectResult(result),
            ToGui::DisconnectedGracefully => Self::DisconnectedGracefully,
            ToGui::GatewayVersionMismatch(resource_id) => {
                Self::GatewayVersionMismatch { resource_id }
            }
            ToGui::Hello(hello) => Self::Hello(hello.unwrap_or_default()),
            ToGui::OnDisconnect {
                error_msg,
                requires_sign_in,
            } => Self::OnDisconnect {
                error_msg,
                requires_sign_in,
            },
            ToGui::OnUpdateResources(all) => Self::OnUpdateResources(all),
            ToGui::TerminatingGracefully => Self::TerminatingGracefully,
        }
    }
}

impl From<August2026> for ToGui {
    fn from(form: August2026) -> Self {
        match form {
            August2026::AdvancedSettingsApplied(result) => Self::AdvancedSettingsApplied(result),
            August2026::AllGatewaysOffline { resource_id } => Self::AllGatewaysOffline(resource_id),
            August2026::ClearedLogs(result) => Self::ClearedLogs(result),
            August2026::ConnectResult(result) => Self::ConnectResult(result),
            August2026::DisconnectedGracefully => Self::DisconnectedGracefully,
            August2026::GatewayVersionMismatch { resource_id } => {
                Self::GatewayVersionMismatch(resource_id)
            }
            August2026::Hello(hello) => Self::Hello(Some(hello)),
            August2026::OnDisconnect {
                error_msg,
                requires_sign_in,
            } => Self::OnDisconnect {
                error_msg,
                requires_sign_in,
            },
            August2026::OnUpdateResources(all) => Self::OnUpdateResources(all),
            August2026::TerminatingGracefully => Self::TerminatingGracefully,
        }
    }
}

#[cfg(test)]
mod tests;
