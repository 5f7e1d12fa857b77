//! Messages of generation `[2025-07]`: paths `/client/websocket`, `/gateway/websocket` and
//! `/relay/websocket`. spec: portal 6, 8, 9
//!
//! A module for another generation stands beside this one, with marker types of its own; the
//! channel does not know which generation it carries.

pub mod client;
pub mod gateway;
mod presence;
pub mod relay;

pub use presence::RelaysPresence;

use crate::Messages;

/// A client's channel.
#[derive(Debug, Clone, Copy)]
pub enum Client {}

impl Messages for Client {
    type Incoming = client::FromPortal;
    type Outgoing = client::ToPortal;
}

/// A gateway's channel.
#[derive(Debug, Clone, Copy)]
pub enum Gateway {}

impl Messages for Gateway {
    type Incoming = gateway::FromPortal;
    type Outgoing = gateway::ToPortal;
}

/// A relay's channel.
#[derive(Debug, Clone, Copy)]
pub enum Relay {}

impl Messages for Relay {
    type Incoming = relay::FromPortal;
    type Outgoing = relay::ToPortal;
}
