//! What a user would try. Everything here runs on the calling thread, so call it in
//! [`Host::run`](super::Host::run).

mod http;
mod probe;

pub use self::{
    http::{Transfer, download, exchange, stream_down, stream_up, upload},
    probe::{ping, resolve, udp_echo},
};

use super::layout;
use std::{io, net::IpAddr};

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What the resource host is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// By an address.
    Address(IpAddr),
    /// By a name, which is looked up at the resolvers of `/etc/resolv.conf`.
    Name(String, Family),
}

impl Target {
    /// The resource host by its address.
    pub fn resource(family: Family) -> Self {
        let text = match family {
            Family::V4 => layout::RESOURCE,
            Family::V6 => layout::RESOURCE6,
        };
        // The layout has nothing but addresses; its test proves it.
        Self::Address(
            text.parse()
                .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
        )
    }

    /// The resource host by its name.
    pub fn resource_name(family: Family) -> Self {
        Self::Name(layout::RESOURCE_NAME.to_owned(), family)
    }

    /// Its address.
    ///
    /// # Errors
    ///
    /// When the name cannot be looked up.
    pub fn address(&self) -> io::Result<IpAddr> {
        match self {
            Self::Address(address) => Ok(*address),
            Self::Name(name, family) => resolve(name, *family),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name, _) => name.fmt(f),
        }
    }
}
