//! How a session is doing.

use model::{GatewayId, InterfacePlan};
use std::net::{IpAddr, SocketAddr};
use tunnel_core::{DropCounters, DropReason, PeerStatus, ResourceStatus};

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
    pub drops: DropCounters<DropReason>,
    /// What the interface is to look like; none before the portal said it.
    pub plan: Option<InterfacePlan>,
    /// The addresses of the stub resolver, each with the server behind it.
    pub upstreams: Vec<(IpAddr, SocketAddr)>,
}
