//! How a session is doing.

use model::GatewayId;
use tunnel_core::{DropCounters, PeerStatus, ResourceStatus};

/// The connection to the portal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PortalState {
    /// It is being made.
    #[default]
    Connecting,
    /// It is up.
    Connected,
    /// It is over.
    Disconnected,
}

/// A snapshot of a session.
#[derive(Debug, Clone)]
pub struct Status {
    /// The connection to the portal.
    pub portal: PortalState,
    /// All resources.
    pub resources: Vec<ResourceStatus>,
    /// The connections to gateways.
    pub connections: Vec<(GatewayId, PeerStatus)>,
    /// Dropped packets by reason.
    pub drops: DropCounters,
}
