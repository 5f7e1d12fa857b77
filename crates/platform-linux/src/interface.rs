//! The TUN interface: attributes, addresses, state. spec: platform 2.5

use crate::netlink::{Netlink, family_name, family_of, is_any_of};
use model::limits::MTU;
use platform::{InterfacePlan, PlatformFault};
use rtnetlink::packet_route::{
    address::{AddressAttribute, AddressMessage},
    link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkMessage},
};
use std::{io, net::IpAddr};

/// Packets that may wait for us to read them. spec: platform 2.5
const QUEUE_LENGTH: u32 = 10_000;

/// Which families of the plan the interface took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Families {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

impl Families {
    /// Whether the family of the address works.
    pub(crate) fn has(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

/// Sets what a fresh device needs before it goes up. All of it is an optimisation or repeated
/// later, so failures are only logged.
pub(crate) async fn prepare(netlink: &Netlink, index: u32) {
    suppress_link_local(netlink, index).await;
    let queue = LinkAttribute::TxQueueLen(QUEUE_LENGTH);
    if let Err(error) = netlink.change_link(index, [queue]).await {
        tracing::warn!(%error, "Cannot lengthen the queue of the interface");
    }
    let segments = u32::try_from(platform::MAX_SPLIT).unwrap_or(u32::MAX);
    let segments = LinkAttribute::GsoMaxSegs(segments);
    if let Err(error) = netlink.change_link(index, [segments]).await {
        tracing::debug!(%error, "Cannot limit segments per packet");
    }
}

/// Gives the interface the addresses of the plan and no others, and brings it up.
pub(crate) async fn configure(
    netlink: &Netlink,
    index: u32,
    plan: &InterfacePlan,
) -> Result<Families, PlatformFault> {
    suppress_link_local(netlink, index).await;
    let wanted = [IpAddr::V4(plan.ipv4), IpAddr::V6(plan.ipv6)];
    remove_addresses(netlink, index, &wanted)
        .await
        .map_err(|source| crate::fault("remove old addresses", source))?;

    let mtu = u32::try_from(MTU).map_err(|e| crate::fault("set the MTU", io::Error::other(e)))?;
    netlink
        .change_link(index, [LinkAttribute::Mtu(mtu)])
        .await
        .map_err(|source| crate::fault("set the MTU", source))?;

    let v4 = add_address(netlink, index, wanted[0]).await;
    let v6 = add_address(netlink, index, wanted[1]).await;
    set_up(netlink, index)
        .await
        .map_err(|source| crate::fault("bring the interface up", source))?;
    match (v4, v6) {
        (Err(error), Err(_)) => Err(PlatformFault::NoAddress(error)),
        (v4, v6) => Ok(Families {
            v4: v4.is_ok(),
            v6: v6.is_ok(),
        }),
    }
}

/// Removes all addresses except those in `keep`.
pub(crate) async fn remove_addresses(
    netlink: &Netlink,
    index: u32,
    keep: &[IpAddr],
) -> io::Result<()> {
    for message in netlink.addresses(Some(index)).await? {
        let address = address_of(&message);
        if address.is_some_and(|a| keep.contains(&a)) {
            continue;
        }
        match netlink.delete_address(message).await {
            // A link-local address that is still tentative is busy, and harmless.
            Err(error) if is_any_of(&error, &[libc::EADDRNOTAVAIL, libc::EBUSY]) => {
                tracing::debug!(%error, "An old address stays");
            }
            result => result?,
        }
    }
    Ok(())
}

/// The address of a message; IPv4 has it as *local* and the peer as *address*.
pub(crate) fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|a| match a {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

/// Keeps the kernel from adding an IPv6 link-local address, which nobody needs and which cannot
/// be removed while it is tentative.
async fn suppress_link_local(netlink: &Netlink, index: u32) {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    let attribute = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]);
    if let Err(error) = netlink.change_link(index, [attribute]).await {
        tracing::debug!(%error, "Cannot suppress the IPv6 link-local address");
    }
}

async fn add_address(netlink: &Netlink, index: u32, address: IpAddr) -> io::Result<()> {
    match netlink.add_address(index, address).await {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        Err(error) => {
            tracing::debug!(%error, family = family_name(family_of(address)), "An address family cannot be used");
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

async fn set_up(netlink: &Netlink, index: u32) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    netlink.submit_link(link).await
}
