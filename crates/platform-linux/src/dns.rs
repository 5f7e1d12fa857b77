//! Pointing the system's resolver at the client. spec: platform 4

mod choice;
mod config;
mod file;
mod resolved;

pub use config::{Nameserver, ResolvConf};
pub use file::ResolvConfPaths;

use crate::netlink::Netlink;
use model::DomainName;
use platform::{DnsMethod, InterfacePlan, PlatformFault, SystemResolver};
use resolved::Bus;
use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    path::Path,
};
use tokio::sync::oneshot;

/// Port of DNS.
const PORT: u16 = 53;

/// The file that `systemd-resolved` writes servers to for programs that bypass it.
const RESOLVED_FILE: &str = "/run/systemd/resolve/resolv.conf";

const RESTART: &str = "restart the client so that it chooses a DNS control method anew";

/// How the system's resolver is controlled. A method that is named is used or fails loudly; nothing
/// falls back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DnsControl {
    /// By what the system uses: one of the others, chosen once at the start.
    #[default]
    Auto,
    /// Not at all; resolvers are read from `resolv.conf`.
    Disabled,
    /// By rewriting `resolv.conf`.
    EtcResolvConf,
    /// By calls to `systemd-resolved` over D-Bus.
    SystemdResolved,
}

impl DnsMethod for DnsControl {
    const ALL: &'static [Self] = &[
        Self::Auto,
        Self::Disabled,
        Self::EtcResolvConf,
        Self::SystemdResolved,
    ];
    const DISABLED: Self = Self::Disabled;

    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Disabled => "disabled",
            Self::EtcResolvConf => "etc-resolv-conf",
            Self::SystemdResolved => "systemd-resolved",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Auto => "by the method that suits the system",
            Self::Disabled => "not at all",
            Self::EtcResolvConf => "by rewriting /etc/resolv.conf",
            Self::SystemdResolved => "by telling systemd-resolved",
        }
    }
}

impl std::fmt::Display for DnsControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The method at work on one interface.
#[derive(Debug)]
pub(crate) struct Dns {
    method: Method,
    paths: ResolvConfPaths,
    bus: Bus,
    wanted: Option<Wanted>,
    // Whether this run ever pointed the system at our resolvers.
    was_set: bool,
    has_warned: bool,
}

/// A method that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Disabled,
    EtcResolvConf,
    SystemdResolved,
}

/// What the system is to be pointed at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    servers: Vec<IpAddr>,
    search: Option<DomainName>,
}

/// The resolvers of the system, and whether ours are among them as they should be.
#[derive(Debug)]
pub(crate) struct ResolverState {
    /// The resolvers that the system would use without us.
    pub(crate) resolvers: Vec<SystemResolver>,
    /// Whether our resolvers should be in force and are not.
    pub(crate) is_overwritten: bool,
}

impl Dns {
    /// Takes the method that the options name, or chooses one.
    pub(crate) async fn start(options: &crate::LinuxOptions) -> Result<Self, PlatformFault> {
        let mut bus = Bus::default();
        let paths = options.resolv_conf.clone();
        let method = match options.dns_control {
            DnsControl::Auto => choice::choose(&paths, &mut bus).await?,
            DnsControl::Disabled => Method::Disabled,
            DnsControl::EtcResolvConf => Method::EtcResolvConf,
            DnsControl::SystemdResolved => Method::SystemdResolved,
        };
        Ok(Self {
            method,
            paths,
            bus,
            wanted: None,
            was_set: false,
            has_warned: false,
        })
    }

    /// Sets what the plan says; without resolvers the system gets its own back.
    pub(crate) async fn apply(
        &mut self,
        link: u32,
        plan: &InterfacePlan,
    ) -> Result<(), PlatformFault> {
        if plan.dns_servers.is_empty() {
            return self.revert(Some(link)).await;
        }
        let (servers, search) = (&plan.dns_servers, plan.search_domain.as_ref());
        match self.method {
            Method::Disabled => return Ok(()),
            Method::EtcResolvConf if self.was_set => self.paths.put_back(servers, search)?,
            Method::EtcResolvConf => self.paths.set(servers, search)?,
            Method::SystemdResolved => {
                let connection = self.bus.connection().await;
                let connection = connection.map_err(|error| resolved::no_bus(&error))?;
                resolved::set(&connection, link, servers, search).await?;
            }
        }
        self.was_set = true;
        self.wanted = Some(Wanted {
            servers: servers.clone(),
            search: search.cloned(),
        });
        Ok(())
    }

    /// Sets again what others took away.
    pub(crate) async fn put_back(&mut self, link: Option<u32>) -> Result<(), PlatformFault> {
        let (Some(wanted), Some(link)) = (&self.wanted, link) else {
            return Ok(());
        };
        let (servers, search) = (&wanted.servers, wanted.search.as_ref());
        match self.method {
            Method::Disabled => Ok(()),
            Method::EtcResolvConf => {
                let result = self.paths.put_back(servers, search);
                result.map_err(|fault| match fault {
                    PlatformFault::Dns { problem, .. } => PlatformFault::Dns {
                        problem,
                        remedy: RESTART,
                    },
                    fault => fault,
                })
            }
            Method::SystemdResolved => {
                let connection = self.bus.connection().await;
                let connection = connection.map_err(|error| resolved::no_bus(&error))?;
                resolved::set(&connection, link, servers, search).await
            }
        }
    }

    /// Gives the system its resolvers back, also those that a crashed run took away by another
    /// method than this one.
    pub(crate) async fn revert(&mut self, link: Option<u32>) -> Result<(), PlatformFault> {
        self.wanted = None;
        match self.method {
            Method::EtcResolvConf if self.was_set => return self.paths.revert_own(),
            Method::EtcResolvConf => return self.paths.revert(),
            Method::SystemdResolved => {
                if let (Some(link), Ok(connection)) = (link, self.bus.connection().await) {
                    resolved::revert(&connection, link).await;
                }
            }
            Method::Disabled => {}
        }
        if self.paths.is_set() {
            self.paths.revert()?;
        }
        Ok(())
    }

    /// What the resolvers look like, the system's and ours.
    pub(crate) async fn snapshot(
        &mut self,
        netlink: &Netlink,
        link: Option<u32>,
    ) -> Result<ResolverState, PlatformFault> {
        match self.method {
            Method::Disabled | Method::EtcResolvConf => {
                let nameservers = self.paths.resolvers(self.was_set)?;
                let is_set = || self.paths.is_set();
                let is_overwritten = self.wanted.is_some() && !is_set();
                Ok(ResolverState {
                    resolvers: located(netlink, nameservers).await,
                    is_overwritten,
                })
            }
            Method::SystemdResolved => self.snapshot_of_resolved(link).await,
        }
    }

    async fn snapshot_of_resolved(
        &mut self,
        link: Option<u32>,
    ) -> Result<ResolverState, PlatformFault> {
        let connection = self.bus.connection().await;
        let connection = connection.map_err(|error| resolved::no_bus(&error))?;
        let view = resolved::view(&connection, link).await?;
        if view.left_out > 0 && !self.has_warned {
            self.has_warned = true;
            tracing::warn!(
                servers = view.left_out,
                "Global servers of systemd-resolved are for DNS over TLS only and cannot be asked \
                 beside the tunnel: give them to a link, or set DNSOverTLS=opportunistic"
            );
        }
        let (servers, catches_all) = view.own;
        let differs = |wanted: &Wanted| wanted.servers != servers || !catches_all;
        Ok(ResolverState {
            resolvers: view.upstreams,
            is_overwritten: self.wanted.as_ref().is_some_and(differs),
        })
    }

    /// Forgets cached answers, where somebody caches.
    pub(crate) async fn flush(&mut self) {
        if self.method == Method::SystemdResolved
            && let Ok(connection) = self.bus.connection().await
        {
            resolved::flush(&connection).await;
        }
    }

    /// Has the system ask; the answer comes when it is there.
    pub(crate) fn ask(
        &self,
        link: u32,
        query: Vec<u8>,
        reply: oneshot::Sender<io::Result<Vec<u8>>>,
    ) {
        let connection = match self.method {
            // Whoever looks at resolvers connects; questions never wait for that.
            Method::SystemdResolved => self.bus.current().ok_or(io::ErrorKind::NotConnected),
            Method::Disabled | Method::EtcResolvConf => Err(io::ErrorKind::Unsupported),
        };
        tokio::spawn(async move {
            let answer = match connection {
                Ok(connection) => resolved::ask(&connection, link, &query).await,
                Err(kind) => Err(kind.into()),
            };
            // Whoever asked may have given up.
            reply.send(answer).ok();
        });
    }

    /// Whether changes are told over the bus.
    pub(crate) fn has_bus(&self) -> bool {
        self.method == Method::SystemdResolved
    }

    /// Whether our settings may be overwritten without a message about it.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.has_bus() && self.wanted.is_some() && self.bus.current().is_none()
    }

    /// Waits until `systemd-resolved` says that something changed. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        self.bus.changed().await
    }

    /// The file whose change means that resolvers may have changed.
    pub(crate) fn watched_file(&self) -> &Path {
        match self.method {
            Method::Disabled | Method::EtcResolvConf => &self.paths.file,
            Method::SystemdResolved => Path::new(RESOLVED_FILE),
        }
    }
}

/// Gives names of interfaces their index; a server of an interface that is not there is left out.
async fn located(netlink: &Netlink, nameservers: Vec<Nameserver>) -> Vec<SystemResolver> {
    let mut resolvers = Vec::with_capacity(nameservers.len());
    for Nameserver { address, zone } in nameservers {
        let address = match (address, zone) {
            (IpAddr::V6(v6), Some(zone)) => match index_of(netlink, &zone).await {
                Some(scope) => SocketAddrV6::new(v6, PORT, 0, scope).into(),
                None => {
                    tracing::debug!(zone, "The interface of a resolver does not exist");
                    continue;
                }
            },
            (address, _) => SocketAddr::new(address, PORT),
        };
        resolvers.push(SystemResolver::do53(address));
    }
    resolvers
}

async fn index_of(netlink: &Netlink, zone: &str) -> Option<u32> {
    match zone.parse() {
        Ok(index) => Some(index),
        Err(_) => netlink.index_of(zone).await.ok().flatten(),
    }
}
