//! Routes into the tunnel, in tables of their own. spec: platform 3.2

use crate::{
    interface::Families,
    netlink::{FAMILIES, Netlink, destination_of, interface_of, is_any_of, route},
    rules::{INTERNET_TABLE, TABLES, USER_TABLE},
};
use ipnet::IpNet;
use platform::PlatformFault;
use std::{collections::BTreeSet, io};

/// Removes routes that are not wanted and adds those that are missing.
///
/// What is there is asked each time: systems drop routes on their own. A single route that cannot be
/// added is logged and not fatal.
pub(crate) async fn replace(
    netlink: &Netlink,
    index: u32,
    wanted: &BTreeSet<IpNet>,
    families: Families,
) -> Result<(), PlatformFault> {
    let mut present = BTreeSet::new();
    for table in [USER_TABLE, INTERNET_TABLE] {
        let kept = remove_except(netlink, table, index, wanted).await;
        present.extend(kept.map_err(|source| crate::fault("remove old routes", source))?);
    }
    let missing = wanted.difference(&present);
    for network in missing.filter(|n| families.has(n.addr())) {
        let message = route(*network, index, table_for(network));
        match netlink.add_route(message).await {
            Ok(()) => {}
            Err(error) if is_any_of(&error, &[libc::EEXIST, libc::EOPNOTSUPP]) => {}
            Err(error) => tracing::warn!(%error, "Cannot add a route"),
        }
    }
    Ok(())
}

/// Removes everything in our tables.
pub(crate) async fn flush(netlink: &Netlink) -> io::Result<()> {
    let mut result = Ok(());
    for table in TABLES {
        let flushed = remove_except(netlink, table, 0, &BTreeSet::new()).await;
        result = result.and(flushed.map(drop));
    }
    result
}

/// Removes what is not wanted from a table; the networks whose routes stay.
async fn remove_except(
    netlink: &Netlink,
    table: u32,
    index: u32,
    wanted: &BTreeSet<IpNet>,
) -> io::Result<Vec<IpNet>> {
    let mut kept = vec![];
    for family in FAMILIES {
        let routes = match netlink.routes(family, table).await {
            Err(error) if is_any_of(&error, &[libc::EOPNOTSUPP, libc::EAFNOSUPPORT]) => continue,
            result => result?,
        };
        for route in routes {
            let network = destination_of(&route)
                .filter(|n| wanted.contains(n) && table_for(n) == table)
                .filter(|_| interface_of(&route) == Some(index));
            if let Some(network) = network {
                kept.push(network);
                continue;
            }
            match netlink.delete_route(route).await {
                Err(error) if is_any_of(&error, &[libc::ENOENT, libc::ESRCH]) => {}
                result => result?,
            }
        }
    }
    Ok(kept)
}

/// Default routes rank behind directly connected networks, all others before.
fn table_for(network: &IpNet) -> u32 {
    match network.prefix_len() {
        0 => INTERNET_TABLE,
        _ => USER_TABLE,
    }
}
