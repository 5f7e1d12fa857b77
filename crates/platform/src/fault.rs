//! What can go wrong between a client and the operating system, by who can mend it.

use std::io;

/// Why there is no TUN device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunFault {
    /// The process may not create one.
    #[error("not permitted to create a TUN device: {remedy}")]
    Permission {
        /// What the operator can do, in one line.
        remedy: &'static str,
    },
    /// The system lacks the driver or its device node.
    #[error("this system has no TUN driver: {remedy}")]
    DriverMissing {
        /// What the operator can do, in one line.
        remedy: &'static str,
    },
    /// Another process, or a device of ours that was not dropped, has the name.
    #[error("{name} exists already: stop the other client, or remove the interface")]
    Held {
        /// Name of the interface.
        name: String,
    },
    /// The configured name cannot be that of an interface.
    #[error("`{name}` cannot be the name of an interface")]
    BadName {
        /// The configured name.
        name: String,
    },
    /// The system refused for another reason.
    #[error("cannot {action}")]
    Os {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why the system does not look as planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformFault {
    /// The process may not do it.
    #[error("not permitted to {action}: {remedy}")]
    Permission {
        /// What was tried.
        action: &'static str,
        /// What the operator can do, in one line.
        remedy: &'static str,
    },
    /// Addresses or routes were asked for without a TUN device.
    #[error("there is no TUN device")]
    NoTun,
    /// The interface takes an address of neither family.
    #[error("the interface takes neither an IPv4 nor an IPv6 address")]
    NoAddress(#[source] io::Error),
    /// The resolver cannot be controlled by the configured method.
    #[error("cannot control DNS: {problem}; {remedy}")]
    Dns {
        /// What is wrong.
        problem: String,
        /// What the operator can do, in one line.
        remedy: &'static str,
    },
    /// The system refused for another reason.
    #[error("cannot {action}")]
    Os {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
