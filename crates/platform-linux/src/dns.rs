//! Pointing the system's resolver at the client. spec: platform 4

mod config;
mod file;
mod resolved;

pub use file::ResolvConfPaths;

use platform::{InterfacePlan, PlatformFault};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

/// How the system's resolver is controlled. Nothing is detected and nothing falls back: a method
/// that does not work fails loudly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DnsControl {
    /// Not at all; resolvers are read from `resolv.conf`.
    Disabled,
    /// By rewriting `resolv.conf`.
    EtcResolvConf,
    /// By commands to `systemd-resolved`.
    #[default]
    SystemdResolved,
}

impl DnsControl {
    /// All methods.
    pub const ALL: [Self; 3] = [Self::Disabled, Self::EtcResolvConf, Self::SystemdResolved];

    /// The name that options and variables use. spec: client-app 2
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::EtcResolvConf => "etc-resolv-conf",
            Self::SystemdResolved => "systemd-resolved",
        }
    }
}

impl std::fmt::Display for DnsControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for DnsControl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|method| method.name() == text);
        found.ok_or_else(|| format!("possible values: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// The method at work on one interface.
#[derive(Debug, Clone)]
pub(crate) struct Dns {
    pub(crate) control: DnsControl,
    pub(crate) interface: String,
    pub(crate) paths: ResolvConfPaths,
    /// The command line tool of `systemd-resolved`.
    pub(crate) resolvectl: PathBuf,
}

impl Dns {
    /// The method that the options name.
    pub(crate) fn of(options: &crate::LinuxOptions) -> Self {
        Self {
            control: options.dns_control,
            interface: options.interface.clone(),
            paths: options.resolv_conf.clone(),
            resolvectl: options.resolvectl.clone(),
        }
    }

    /// Sets what the plan says; without resolvers the system gets its own back.
    pub(crate) fn apply(&self, plan: &InterfacePlan) -> Result<(), PlatformFault> {
        if plan.dns_servers.is_empty() {
            return self.revert();
        }
        let (servers, search) = (&plan.dns_servers, plan.search_domain.as_ref());
        match self.control {
            DnsControl::Disabled => Ok(()),
            DnsControl::EtcResolvConf => self.paths.set(servers, search),
            DnsControl::SystemdResolved => {
                resolved::set(&self.resolvectl, &self.interface, servers, search)
            }
        }
    }

    /// Gives the system its resolvers back.
    pub(crate) fn revert(&self) -> Result<(), PlatformFault> {
        match self.control {
            DnsControl::Disabled => Ok(()),
            DnsControl::EtcResolvConf => self.paths.revert(),
            DnsControl::SystemdResolved => {
                resolved::revert(&self.resolvectl, &self.interface);
                Ok(())
            }
        }
    }

    /// The resolvers that the system would use without us.
    pub(crate) fn resolvers(&self) -> Result<Vec<IpAddr>, PlatformFault> {
        match self.control {
            DnsControl::Disabled | DnsControl::EtcResolvConf => self.paths.resolvers(),
            DnsControl::SystemdResolved => resolved::resolvers(&self.resolvectl),
        }
    }

    /// Forgets cached answers, where somebody caches.
    pub(crate) fn flush(&self) {
        if self.control == DnsControl::SystemdResolved {
            resolved::flush(&self.resolvectl);
        }
    }

    /// Whether the method works by rewriting a file.
    pub(crate) fn rewrites_file(&self) -> bool {
        self.control == DnsControl::EtcResolvConf
    }

    /// Whether our resolvers are in place, as far as a file tells.
    pub(crate) fn is_set(&self) -> bool {
        self.rewrites_file() && self.paths.is_set()
    }

    /// The file whose change means that resolvers may have changed.
    pub(crate) fn watched_file(&self) -> &Path {
        match self.control {
            DnsControl::Disabled | DnsControl::EtcResolvConf => &self.paths.file,
            // Resolved writes the resolvers that it uses here, for programs that bypass it.
            DnsControl::SystemdResolved => Path::new("/run/systemd/resolve/resolv.conf"),
        }
    }
}
