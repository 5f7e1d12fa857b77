//! The text of a `resolv.conf` that others may have written.

use model::DomainName;
use platform_linux::ResolvConf;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

/// Points the file at our resolvers: they are all that is found in it then, and doing it again
/// changes nothing.
pub(crate) fn run(input: &[u8]) {
    let servers = [
        IpAddr::V4(Ipv4Addr::new(100, 100, 111, 1)),
        IpAddr::V6(Ipv6Addr::new(
            0xfd00, 0x2021, 0x1111, 0x8000, 0x100, 0x100, 0x111, 0,
        )),
    ];
    let search: Option<DomainName> = "corp.test".parse().ok();
    let backup = Path::new("/etc/resolv.conf.before");
    let original = ResolvConf::parse(input);
    assert!(original.nameservers.len() <= input.len());
    let ours = original.with_tunnel(&servers, search.as_ref());
    let text = ours.render(backup);
    assert!(ResolvConf::is_ours(&text));
    let read = ResolvConf::parse(&text);
    let found: Vec<IpAddr> = read
        .nameservers
        .iter()
        .map(|server| server.address)
        .collect();
    assert_eq!(found, servers);
    let again = read.with_tunnel(&servers, search.as_ref()).render(backup);
    assert_eq!(again, text);
}
