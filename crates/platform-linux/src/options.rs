//! What can be chosen.

use crate::dns::{DnsControl, ResolvConfPaths};

/// How the client sits in this system: all of it, where [`platform::Options`] has what programs let
/// users choose.
#[derive(Debug, Clone)]
pub struct LinuxOptions {
    /// Name of the TUN interface, at most 15 characters.
    pub interface: String,
    /// Whether the TUN device splits and merges packets, if the kernel can.
    pub offload: bool,
    /// How the system's resolver is controlled.
    pub dns_control: DnsControl,
    /// Where `resolv.conf` and its backup are.
    pub resolv_conf: ResolvConfPaths,
    /// Buffers of UDP sockets. The mark is set in any case.
    pub sockets: socket_factory::Options,
}

impl Default for LinuxOptions {
    /// Those of the original client, except that DNS control is chosen. spec: platform 17
    fn default() -> Self {
        Self {
            interface: "tun-firezone".into(),
            offload: true,
            dns_control: DnsControl::default(),
            resolv_conf: ResolvConfPaths::default(),
            sockets: socket_factory::Options::default(),
        }
    }
}

impl From<platform::Options<DnsControl>> for LinuxOptions {
    fn from(options: platform::Options<DnsControl>) -> Self {
        Self {
            dns_control: options.dns_control,
            sockets: options.sockets,
            ..Self::default()
        }
    }
}
