//! The platform itself: hands work to the control thread.

use crate::{
    CAPABILITY, DnsControl, LinuxOptions, check,
    control::Control,
    hosts,
    rules::FWMARK,
    tun::{self, LinuxTun},
};
use platform::{
    HostTable, InterfacePlan, NetworkWatch, Options, Platform, PlatformFault, Sockets,
    SystemExchange, SystemResolver, TunFault,
};
use socket_factory::SystemSockets;
use std::{fmt, sync::Arc};

/// This Linux system, in the network namespace of the thread that made the value.
///
/// It owns a thread. Dropping it reverts everything and ends the thread.
pub struct LinuxPlatform {
    options: LinuxOptions,
    control: Control,
    sockets: Sockets,
}

impl LinuxPlatform {
    /// Opens the means to change the system, and changes nothing. Blocks for a few system calls, and
    /// for a few seconds if `systemd-resolved` is to be used and does not answer.
    ///
    /// # Errors
    ///
    /// If there is no netlink socket or no thread to be had, or if [`crate::DnsControl::Auto`] finds
    /// no method.
    pub fn new(options: LinuxOptions) -> Result<Self, PlatformFault> {
        let control = Control::start(&options)?;
        let sockets = Arc::new(SystemSockets::new(socket_factory::Options {
            mark: Some(FWMARK),
            ..options.sockets.clone()
        }));
        Ok(Self {
            options,
            control,
            sockets: Sockets {
                udp: sockets.clone(),
                tcp: sockets,
            },
        })
    }
}

impl Platform for LinuxPlatform {
    type Tun = LinuxTun;
    type DnsControl = DnsControl;

    const CAPABILITY: &'static str = CAPABILITY;

    fn open(options: Options<DnsControl>) -> Result<Self, PlatformFault> {
        Self::new(options.into())
    }

    fn check(options: &Options<DnsControl>) -> Result<Vec<String>, PlatformFault> {
        check::check(&options.clone().into())
    }

    fn create_tun(&mut self) -> Result<LinuxTun, TunFault> {
        let tun = tun::open(&self.options.interface, self.options.offload)?;
        match self.control.prepare() {
            Ok(()) => Ok(tun),
            Err(PlatformFault::Permission { remedy, .. }) => Err(TunFault::Permission { remedy }),
            Err(fault) => Err(TunFault::Os {
                action: "prepare the TUN interface",
                source: std::io::Error::other(fault),
            }),
        }
    }

    async fn apply(&mut self, plan: &InterfacePlan) -> Result<(), PlatformFault> {
        self.control.apply(plan.clone()).await
    }

    fn revert(&mut self) -> Result<(), PlatformFault> {
        self.control.revert()
    }

    fn watch(&mut self) -> NetworkWatch {
        let (sender, watch) = NetworkWatch::channel();
        self.control.watch(sender);
        watch
    }

    fn system_resolvers(&self) -> Result<Vec<SystemResolver>, PlatformFault> {
        self.control.resolvers()
    }

    fn system_exchange(&self) -> SystemExchange {
        self.control.exchange()
    }

    fn sockets(&self) -> Sockets {
        self.sockets.clone()
    }

    fn host_table(&self) -> HostTable {
        Arc::new(|name| hosts::look_up(std::path::Path::new("/etc/hosts"), name))
    }

    fn flush_dns_cache(&mut self) {
        self.control.flush_dns();
    }
}

impl fmt::Debug for LinuxPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinuxPlatform")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
