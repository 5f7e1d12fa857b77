//! The platform contract on Linux.
//!
//! [`LinuxPlatform`] makes the TUN device (with virtio offload where the kernel has it), sets
//! addresses, policy rules and routes by netlink, controls the resolver by one of three methods or by
//! the one that suits, watches routes, addresses, `resolv.conf` and `systemd-resolved`, and marks its sockets so that they stay outside of
//! the tunnel.
//!
//! What it is not: it starts no services, changes no firewall and no sysctl, and runs no other
//! program. `systemd-resolved` is spoken to over D-Bus.
//!
//! # Contract
//!
//! That of [`platform::Platform`]. In addition:
//!
//! * `CAP_NET_ADMIN` is enough, except for rewriting `resolv.conf` and for making a missing device
//!   node. [`platform::Platform::CAPABILITY`] says how to grant it.
//! * Clean exit leaves neither rules nor routes nor resolvers; after a crash the next
//!   [`platform::Platform::revert`] removes them. While another client holds the interface, nothing of
//!   it is touched.
//!
//! ```no_run
//! use platform::Platform as _;
//! use platform_linux::{LinuxOptions, LinuxPlatform};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let mut platform = LinuxPlatform::new(LinuxOptions::default())?;
//! platform.revert()?;
//! let tun = platform.create_tun()?;
//! # drop(tun);
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Decisions
//!
//! * **Rules have fixed priorities** (100, 200, 300), because without them the kernel does not notice
//!   duplicates, and they are removed at the end.
//! * **Connected networks** get copies of their routes between resources and the Internet Resource;
//!   copies of networks that are gone are removed, and IPv6 is covered.
//! * **Changes are found by comparing**, not by trusting messages: netlink reports far more than
//!   matters. Hosts without NetworkManager roam, too.
//! * **`resolv.conf` is restored only if it is still ours**, so an administrator's edit survives.
//! * **Others may replace DNS settings**: theirs become the upstream and ours come back in front, ever
//!   more slowly if they insist.

#![cfg(target_os = "linux")]

mod check;
mod control;
mod dns;
mod file_watch;
mod hosts;
mod interface;
mod link_scope;
mod netlink;
mod network_state;
mod options;
mod routes;
mod rules;
mod system;
mod tun;

pub use dns::{DnsControl, Nameserver, ResolvConf, ResolvConfPaths};
pub use options::LinuxOptions;
pub use rules::FWMARK;
pub use system::LinuxPlatform;
pub use tun::LinuxTun;

use platform::PlatformFault;
use std::io;

/// How to let a program change the network, in one line.
const CAPABILITY: &str = "run as root, or grant CAP_NET_ADMIN with `setcap cap_net_admin+eip \
                              PROGRAM` or AmbientCapabilities=CAP_NET_ADMIN in the systemd unit";

/// Sorts an error of the system by who can mend it.
fn fault(action: &'static str, source: io::Error) -> PlatformFault {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => PlatformFault::Permission {
            action,
            remedy: CAPABILITY,
        },
        _ => PlatformFault::Os { action, source },
    }
}
