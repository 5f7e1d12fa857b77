//! Reads the tables of the system. spec: platform 11.1
#![expect(unsafe_code, reason = "the tables are the system's memory")]

use super::{
    Tunnel,
    choice::choose,
    table::{Address, Interface, Route, State, Table},
};
use ipnet::IpNet;
use socket_factory::EgressResolver;
use std::{
    ffi::c_void,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ptr, slice,
    sync::Arc,
};
use windows_sys::Win32::{
    Foundation::{
        ERROR_BUFFER_OVERFLOW, ERROR_NO_DATA, ERROR_NOT_FOUND, ERROR_NOT_SUPPORTED, NO_ERROR,
    },
    NetworkManagement::{
        IpHelper::{
            FreeMibTable, GAA_FLAG_SKIP_ANYCAST, GAA_FLAG_SKIP_DNS_SERVER,
            GAA_FLAG_SKIP_FRIENDLY_NAME, GAA_FLAG_SKIP_MULTICAST, GAA_FLAG_SKIP_UNICAST,
            GetAdaptersAddresses, GetIpForwardTable2, GetUnicastIpAddressTable,
            IF_TYPE_SOFTWARE_LOOPBACK, IP_ADAPTER_ADDRESSES_LH, MIB_IPFORWARD_ROW2,
            MIB_IPFORWARD_TABLE2, MIB_UNICASTIPADDRESS_ROW, MIB_UNICASTIPADDRESS_TABLE,
        },
        Ndis::{IfOperStatusUp, NET_LUID_LH},
    },
    Networking::WinSock::{
        ADDRESS_FAMILY, AF_INET, AF_INET6, IpDadStateDeprecated, IpDadStatePreferred,
        IpPrefixOriginRouterAdvertisement, IpSuffixOriginRandom, SOCKADDR_INET,
    },
};

/// Room for the adapters of most machines, in bytes. spec: platform 17
const ADAPTERS: u32 = 15_000;

/// How often a list of adapters may grow while it is read.
const ATTEMPTS: usize = 4;

/// A resolver for the sockets' factory: reads the tables for each question, around the tunnel.
pub fn resolver(tunnel: Tunnel) -> EgressResolver {
    Arc::new(move |destination| {
        let egress = choose(&read(destination)?, tunnel.luid(), destination)?;
        if let Some(egress) = egress {
            tracing::debug!(
                %destination,
                source = %egress.source,
                interface = egress.interface.map(std::num::NonZeroU32::get),
                "Way around the tunnel"
            );
        }
        Ok(egress)
    })
}

/// What the system knows now in the family of an address: three tables.
///
/// # Errors
///
/// Those of the system.
pub fn read(of: IpAddr) -> io::Result<Table> {
    let family = match of {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    };
    Ok(Table {
        routes: routes(family)?,
        interfaces: interfaces()?,
        addresses: addresses(family)?,
    })
}

fn routes(family: ADDRESS_FAMILY) -> io::Result<Vec<Route>> {
    let mut table: *mut MIB_IPFORWARD_TABLE2 = ptr::null_mut();
    // SAFETY: `table` is where the system writes the address of a table of its own.
    let result = unsafe { GetIpForwardTable2(family, &raw mut table) };
    let Some(table) = MibTable::new(result, table)? else {
        return Ok(Vec::new());
    };
    // SAFETY: the system returned a table; its number of rows is that of the rows behind it, all of
    // which it has written, and they live as long as `table`.
    let rows: &[MIB_IPFORWARD_ROW2] = unsafe {
        let length = usize::try_from((*table.0).NumEntries).unwrap_or(0);
        slice::from_raw_parts((&raw const (*table.0).Table).cast(), length)
    };
    Ok(rows.iter().filter_map(route).collect())
}

fn route(row: &MIB_IPFORWARD_ROW2) -> Option<Route> {
    let prefix = address(&row.DestinationPrefix.Prefix)?;
    Some(Route {
        prefix: IpNet::new(prefix, row.DestinationPrefix.PrefixLength).ok()?,
        interface: luid(row.InterfaceLuid),
        metric: row.Metric,
        next_hop: address(&row.NextHop).filter(|router| !router.is_unspecified()),
    })
}

fn addresses(family: ADDRESS_FAMILY) -> io::Result<Vec<Address>> {
    let mut table: *mut MIB_UNICASTIPADDRESS_TABLE = ptr::null_mut();
    // SAFETY: `table` is where the system writes the address of a table of its own.
    let result = unsafe { GetUnicastIpAddressTable(family, &raw mut table) };
    let Some(table) = MibTable::new(result, table)? else {
        return Ok(Vec::new());
    };
    // SAFETY: as for routes.
    let rows: &[MIB_UNICASTIPADDRESS_ROW] = unsafe {
        let length = usize::try_from((*table.0).NumEntries).unwrap_or(0);
        slice::from_raw_parts((&raw const (*table.0).Table).cast(), length)
    };
    Ok(rows.iter().filter_map(own_address).collect())
}

fn own_address(row: &MIB_UNICASTIPADDRESS_ROW) -> Option<Address> {
    let state = match row.DadState {
        state if state == IpDadStatePreferred => State::Preferred,
        state if state == IpDadStateDeprecated => State::Deprecated,
        _ => State::Unusable,
    };
    Some(Address {
        address: address(&row.Address)?,
        interface: luid(row.InterfaceLuid),
        prefix_length: row.OnLinkPrefixLength,
        state,
        skip_as_source: row.SkipAsSource,
        is_temporary: row.PrefixOrigin == IpPrefixOriginRouterAdvertisement
            && row.SuffixOrigin == IpSuffixOriginRandom,
    })
}

fn interfaces() -> io::Result<Vec<Interface>> {
    let buffer = adapters()?;
    let mut interfaces = Vec::new();
    let mut next: *const IP_ADAPTER_ADDRESSES_LH = buffer.as_ptr().cast();
    // SAFETY: the system has written a list into `buffer`, aligned as its elements are, whose
    // elements point at each other within the buffer; it lives until the end of this function.
    while let Some(adapter) = unsafe { next.as_ref() } {
        interfaces.extend(interface(adapter));
        next = adapter.Next;
    }
    Ok(interfaces)
}

fn interface(adapter: &IP_ADAPTER_ADDRESSES_LH) -> Option<Interface> {
    // SAFETY: every bit pattern is an integer, and the system writes this member of the union.
    let v4 = unsafe { adapter.Anonymous1.Anonymous.IfIndex };
    let v6 = adapter.Ipv6IfIndex;
    // Both are the same, and 0 where the family is switched off.
    let index = [v4, v6].into_iter().find(|index| *index != 0)?;
    Some(Interface {
        luid: luid(adapter.Luid),
        index,
        is_up: adapter.OperStatus == IfOperStatusUp,
        is_loopback: adapter.IfType == IF_TYPE_SOFTWARE_LOOPBACK,
        metric_v4: (v4 != 0).then_some(adapter.Ipv4Metric),
        metric_v6: (v6 != 0).then_some(adapter.Ipv6Metric),
    })
}

/// The system's list of adapters, empty if there is none.
fn adapters() -> io::Result<Vec<u64>> {
    const FLAGS: u32 = GAA_FLAG_SKIP_UNICAST
        | GAA_FLAG_SKIP_ANYCAST
        | GAA_FLAG_SKIP_MULTICAST
        | GAA_FLAG_SKIP_DNS_SERVER
        | GAA_FLAG_SKIP_FRIENDLY_NAME;

    let mut size = ADAPTERS;
    for _ in 0..ATTEMPTS {
        // Integers that are aligned as the list is; an end of it lies in what is left zero.
        let words = usize::try_from(size).map_err(io::Error::other)?.div_ceil(8);
        let mut buffer = vec![0_u64; words.max(size_of::<IP_ADAPTER_ADDRESSES_LH>().div_ceil(8))];
        // SAFETY: the buffer has room for at least `size` bytes, and the system writes no more.
        let result = unsafe {
            GetAdaptersAddresses(
                0,
                FLAGS,
                ptr::null(),
                buffer.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        match result {
            NO_ERROR | ERROR_NO_DATA => return Ok(buffer),
            ERROR_BUFFER_OVERFLOW => {}
            other => return Err(system_error(other)),
        }
    }
    Err(system_error(ERROR_BUFFER_OVERFLOW))
}

/// A table that the system has allocated.
struct MibTable<T>(*mut T);

impl<T> MibTable<T> {
    /// The table, unless the system says that there is nothing in it, or no such family.
    fn new(result: u32, table: *mut T) -> io::Result<Option<Self>> {
        match result {
            NO_ERROR if !table.is_null() => Ok(Some(Self(table))),
            NO_ERROR | ERROR_NOT_FOUND | ERROR_NOT_SUPPORTED => Ok(None),
            other => Err(system_error(other)),
        }
    }
}

impl<T> Drop for MibTable<T> {
    fn drop(&mut self) {
        // SAFETY: the system allocated the table, and nobody has freed it.
        unsafe { FreeMibTable(self.0.cast_const().cast::<c_void>()) };
    }
}

fn luid(luid: NET_LUID_LH) -> u64 {
    // SAFETY: every bit pattern is an integer, and all members of the union have its size.
    unsafe { luid.Value }
}

fn address(address: &SOCKADDR_INET) -> Option<IpAddr> {
    // SAFETY: the family stands first in all members of the union, and says which of them holds;
    // every bit pattern is a valid address of it.
    unsafe {
        match address.si_family {
            AF_INET => Some(Ipv4Addr::from(address.Ipv4.sin_addr.S_un.S_addr.to_ne_bytes()).into()),
            AF_INET6 => Some(Ipv6Addr::from(address.Ipv6.sin6_addr.u.Byte).into()),
            _ => None,
        }
    }
}

fn system_error(code: u32) -> io::Error {
    io::Error::from_raw_os_error(code.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn tables_of_this_machine_agree_with_each_other() {
        for any in [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Ipv6Addr::UNSPECIFIED.into(),
        ] {
            let table = read(any).unwrap();
            let known = |luid| table.interfaces.iter().any(|i| i.luid == luid);
            assert!(table.interfaces.iter().any(|i| i.is_up && i.is_loopback));
            assert!(!table.addresses.is_empty(), "{any}");
            for own in &table.addresses {
                assert!(known(own.interface), "{own:?}");
                assert_eq!(own.address.is_ipv4(), any.is_ipv4());
            }
            for route in &table.routes {
                assert!(known(route.interface), "{route:?}");
            }
        }
    }

    #[test]
    fn this_machine_delivers_to_itself_without_help() {
        for own in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let resolve = resolver(Tunnel::default());
            assert_eq!(resolve(own).unwrap(), None);
        }
    }

    /// Where there is no tunnel, the way around it is the one that the system takes.
    #[test]
    fn choice_is_that_of_the_system() {
        let destination = IpAddr::from([198, 51, 100, 1]);
        let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
        let egress = resolver(Tunnel::default())(destination);
        match probe.connect((destination, 9)) {
            Ok(()) => {
                let source = probe.local_addr().unwrap().ip();
                assert_eq!(egress.unwrap().unwrap().source, source);
            }
            Err(_) => assert_eq!(egress.unwrap_err().kind(), io::ErrorKind::HostUnreachable),
        }
    }

    #[test]
    fn tunnel_is_left_out_by_its_luid() {
        let destination = IpAddr::from([198, 51, 100, 1]);
        let table = read(destination).unwrap();
        let tunnel = Tunnel::default();
        let Ok(Some(egress)) = resolver(tunnel.clone())(destination) else {
            return; // This machine is not connected.
        };
        let index = egress.interface.unwrap().get();
        let way = table.interfaces.iter().find(|i| i.index == index).unwrap();
        tunnel.set(Some(way.luid));
        let around = resolver(tunnel)(destination);
        assert!(!around.is_ok_and(|other| other == Some(egress)));
    }
}
