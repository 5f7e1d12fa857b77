//! A development portal: hands out addresses, resources and relays, and introduces clients to
//! gateways. It speaks generation `[2025-07]`. spec: portal 10
//!
//! What it is not: safe to put on the internet. Tokens stand in clear in its one configuration
//! file, and it serves plain websockets; TLS is for a reverse proxy.
//!
//! The portal proper is [`Core`], a state machine without sockets, files or clock. [`Portal`]
//! drives it: one task per connection, one for timers, one that writes files, one for the
//! control socket. [`Settings`] documents the configuration file, [`Command`] what [`control()`]
//! can say to a running portal.
//!
//! Decisions:
//!
//! * Ids and tunnel addresses follow from identities, so they survive a lost state file. The
//!   state file keeps addresses that collided, and authorizations: without them a restart of the
//!   portal would cut tunnels.
//! * Paths of the newer generation do not exist here: 404.
//! * Candidates are passed on as they came, whatever they say.
//! * Versions are not compared; the newest gateway of a site is preferred.

mod command;
mod config;
mod connections;
mod control;
mod core;
mod files;
mod hub;
mod identity;
mod local;
mod options;
mod server;
mod status;
mod upgrade;

pub use self::{
    command::{Command, Manner},
    config::{
        Account, Directory, FilterEntry, PortSpec, Protocol, ResourceEntry, ResourceKind, Settings,
        SettingsFault, SiteEntry, TokenEntry, TokenKind,
    },
    connections::ConnectionId,
    control::control,
    core::{Core, Moment, Output},
    identity::{SavedDevice, SavedFlow, SavedState},
    local::LocalPortal,
    options::Options,
    server::{Portal, PortalFault, run},
    upgrade::{Refusal, Upgrade},
};

#[cfg(test)]
mod tests;
