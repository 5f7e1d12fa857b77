//! Control messages between client and gateway that travel as IPv6 packets inside the tunnel.
//! spec: data-plane 13

use crate::{packet::IpPacket, transport::protocol};
use model::{DomainName, ResourceId};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

/// Bytes in front of a message's payload: the IPv6 header, event type and reserved bytes.
const HEADER: usize = 48;

/// Longest control packet that is made, in bytes: a name of 253 characters and eight addresses.
pub const MAX_CONTROL: usize = HEADER + 560;

/// Whether a gateway forwards traffic for a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum DomainStatus {
    /// Translation is set up.
    Active,
    /// The gateway refused, or failed to resolve the name.
    Inactive,
}

impl<'de> Deserialize<'de> for DomainStatus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Any other text reads as inactive. spec: data-plane 13.2
        let text = String::deserialize(deserializer)?;
        Ok(if text == "Active" {
            Self::Active
        } else {
            Self::Inactive
        })
    }
}

/// Why a control message cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlFault {
    /// A domain has four proxy addresses of one family or four of each.
    #[error("proxy addresses come in fours")]
    AddressCount,
    /// The buffer has less than [`MAX_CONTROL`] bytes.
    #[error("the buffer is too small")]
    Buffer,
}

/// One control message. spec: data-plane 13.2
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Client to gateway: these addresses stand for this domain.
    AssignedIps {
        /// The DNS resource whose pattern the domain matches.
        resource: ResourceId,
        /// The name.
        domain: DomainName,
        /// Four addresses of one family, or four of each.
        proxy_ips: BTreeSet<IpAddr>,
    },
    /// Gateway to client: whether the domain is translated.
    DomainStatus {
        /// The resource of the message that is answered.
        resource: ResourceId,
        /// The name.
        domain: DomainName,
        /// The answer.
        status: DomainStatus,
    },
    /// Both ways: the sender drops the connection.
    Goodbye,
}

#[derive(Serialize, Deserialize)]
struct AssignedIps<'a> {
    resource: ResourceId,
    domain: std::borrow::Cow<'a, DomainName>,
    proxy_ips: std::borrow::Cow<'a, BTreeSet<IpAddr>>,
}

#[derive(Serialize, Deserialize)]
struct Status<'a> {
    resource: ResourceId,
    domain: std::borrow::Cow<'a, DomainName>,
    status: DomainStatus,
}

impl Control {
    /// Whether the packet is a control message, known or not. spec: data-plane 13.1
    pub fn recognize<B: AsRef<[u8]>>(packet: &IpPacket<B>) -> bool {
        let unspecified = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        packet.protocol() == protocol::CONTROL
            && packet.source() == unspecified
            && packet.destination() == unspecified
            && packet.payload().len() >= 8
    }

    /// Reads a packet that [`Control::recognize`] accepted; none if the message is unknown or
    /// malformed.
    pub fn parse<B: AsRef<[u8]>>(packet: &IpPacket<B>) -> Option<Self> {
        let (header, json) = packet.payload().split_at_checked(8)?;
        match header[0] {
            0 => {
                let event: AssignedIps<'_> = serde_json::from_slice(json).ok()?;
                let (domain, proxy_ips) = (event.domain.into_owned(), event.proxy_ips.into_owned());
                Some(Self::AssignedIps {
                    resource: event.resource,
                    domain,
                    proxy_ips,
                })
            }
            1 => {
                let event: Status<'_> = serde_json::from_slice(json).ok()?;
                let (domain, status) = (event.domain.into_owned(), event.status);
                Some(Self::DomainStatus {
                    resource: event.resource,
                    domain,
                    status,
                })
            }
            2 => Some(Self::Goodbye),
            _ => None,
        }
    }

    /// Writes the whole packet and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// A wrong number of proxy addresses, or a buffer that is too small.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, ControlFault> {
        use std::borrow::Cow::Borrowed;

        let room = buffer.get_mut(HEADER..).ok_or(ControlFault::Buffer)?;
        let capacity = room.len();
        let mut writer = room;
        let kind = match self {
            Self::AssignedIps {
                resource,
                domain,
                proxy_ips,
            } => {
                if !matches!(proxy_ips.len(), 4 | 8) {
                    return Err(ControlFault::AddressCount);
                }
                let (domain, proxy_ips) = (Borrowed(domain), Borrowed(proxy_ips));
                let event = AssignedIps {
                    resource: *resource,
                    domain,
                    proxy_ips,
                };
                serde_json::to_writer(&mut writer, &event).map_err(|_| ControlFault::Buffer)?;
                0
            }
            Self::DomainStatus {
                resource,
                domain,
                status,
            } => {
                let domain = Borrowed(domain);
                let event = Status {
                    resource: *resource,
                    domain,
                    status: *status,
                };
                serde_json::to_writer(&mut writer, &event).map_err(|_| ControlFault::Buffer)?;
                1
            }
            Self::Goodbye => 2,
        };
        let written = capacity - writer.len();
        let payload = u16::try_from(written + 8).map_err(|_| ControlFault::Buffer)?;
        buffer[..HEADER].fill(0);
        buffer[0] = 0x60;
        buffer[4..6].copy_from_slice(&payload.to_be_bytes());
        buffer[6] = protocol::CONTROL;
        buffer[40] = kind;
        Ok(HEADER + written)
    }
}
