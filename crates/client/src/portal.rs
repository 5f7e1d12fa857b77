//! Joins the portal's messages and the tunnel's: neither knows the other.

use portal_client::v1::client::{CandidatesForGateways, FailureReason, FromPortal, ToPortal};
use tunnel_core::{Authorized, PortalRequest, PortalUpdate, Refusal};

/// What a message of the portal means to the tunnel.
pub(crate) fn update(message: FromPortal) -> PortalUpdate {
    match message {
        FromPortal::ConfigChanged(interface) => PortalUpdate::Interface(interface),
        FromPortal::FlowCreated(flow) => PortalUpdate::Authorized(Box::new(Authorized {
            resource: flow.resource_id,
            gateway: flow.gateway_id,
            site: flow.site_id,
            public_key: flow.gateway_public_key,
            ipv4: flow.gateway_ipv4,
            ipv6: flow.gateway_ipv6,
            preshared_key: flow.preshared_key,
            client_ice: flow.client_ice_credentials,
            gateway_ice: flow.gateway_ice_credentials,
        })),
        FromPortal::FlowCreationFailed(failure) => {
            let conditions = failure.violated_properties.join(", ");
            tracing::debug!(
                resource = %failure.resource_id,
                reason = %failure.reason,
                conditions,
                "The portal refuses"
            );
            PortalUpdate::Refused {
                resource: failure.resource_id,
                reason: refusal(failure.reason),
            }
        }
        FromPortal::IceCandidates(of) => PortalUpdate::CandidatesAdded {
            gateway: of.gateway_id,
            candidates: of.candidates,
        },
        FromPortal::InvalidateIceCandidates(of) => PortalUpdate::CandidatesRemoved {
            gateway: of.gateway_id,
            candidates: of.candidates,
        },
        FromPortal::Init(init) => PortalUpdate::Init {
            interface: init.interface,
            resources: init.resources,
            relays: init.relays,
        },
        FromPortal::RelaysPresence(presence) => PortalUpdate::Relays {
            disconnected: presence.disconnected_ids,
            connected: presence.connected,
        },
        FromPortal::ResourceCreatedOrUpdated(resource) => PortalUpdate::Resource(resource),
        FromPortal::ResourceDeleted(id) => PortalUpdate::ResourceRemoved(id),
    }
}

const fn refusal(reason: FailureReason) -> Refusal {
    match reason {
        FailureReason::Offline => Refusal::Offline,
        FailureReason::VersionMismatch => Refusal::Incompatible,
        FailureReason::Forbidden | FailureReason::NotFound | FailureReason::Unknown => {
            Refusal::Denied
        }
    }
}

/// The message that makes a request; none if it is made by connecting anew.
pub(crate) fn message(request: PortalRequest) -> Option<ToPortal> {
    Some(match request {
        PortalRequest::CreateFlow {
            resource,
            connected_gateways,
        } => ToPortal::CreateFlow {
            resource_id: resource,
            connected_gateway_ids: connected_gateways,
        },
        PortalRequest::AddCandidates {
            gateway,
            candidates,
        } => {
            let gateway_ids = vec![gateway];
            ToPortal::BroadcastIceCandidates(CandidatesForGateways {
                gateway_ids,
                candidates,
            })
        }
        PortalRequest::RemoveCandidates {
            gateway,
            candidates,
        } => {
            let of = CandidatesForGateways {
                gateway_ids: vec![gateway],
                candidates,
            };
            ToPortal::BroadcastInvalidatedIceCandidates(of)
        }
        PortalRequest::Reconnect => return None,
    })
}
