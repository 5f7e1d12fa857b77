//! Policy rules: packets without our mark look into the tunnel's tables first. spec: platform 3.1

use crate::{
    interface::Families,
    netlink::{FAMILIES, Netlink, family_name, is_any_of},
};
use rtnetlink::packet_route::{
    AddressFamily,
    route::RouteProtocol,
    rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage},
};
use std::io;

/// Mark of the sockets that must not see the tunnel. spec: platform 17
pub const FWMARK: u32 = 0xfd00_2021;

/// Routes of resources, looked at first.
pub(crate) const USER_TABLE: u32 = 0x2021_fd00;

/// Copies of the routes to directly connected networks.
pub(crate) const LINK_SCOPE_TABLE: u32 = 0x2021_fd01;

/// Default routes of the Internet Resource.
pub(crate) const INTERNET_TABLE: u32 = 0x2021_fd02;

/// All our tables.
pub(crate) const TABLES: [u32; 3] = [USER_TABLE, LINK_SCOPE_TABLE, INTERNET_TABLE];

/// Fixed priorities make the kernel notice duplicates. spec: platform 3.1 trap
const PRIORITIES: [(u32, u32); 3] = [
    (100, USER_TABLE),
    (200, LINK_SCOPE_TABLE),
    (300, INTERNET_TABLE),
];

/// Adds the rules of all usable families. A rule that cannot be added leaves that family without
/// tunnel, which is logged and not fatal.
pub(crate) async fn add(netlink: &Netlink, families: Families) {
    for family in FAMILIES {
        let usable = match family {
            AddressFamily::Inet => families.v4,
            _ => families.v6,
        };
        if !usable {
            continue;
        }
        for (priority, table) in PRIORITIES {
            match netlink.add_rule(rule(family, priority, table)).await {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                    tracing::warn!(
                        family = family_name(family),
                        "This kernel has no policy routing (CONFIG_IP_MULTIPLE_TABLES): nothing \
                         will be routed into the tunnel"
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, family = family_name(family), priority, "Cannot add a rule");
                }
            }
        }
    }
}

/// Removes every rule that leads into one of our tables, whoever added it and with whatever
/// priority: crashed runs leave them.
pub(crate) async fn remove(netlink: &Netlink) -> io::Result<()> {
    let mut result = Ok(());
    for family in FAMILIES {
        let rules = match netlink.rules(family).await {
            Ok(rules) => rules,
            // The kernel lacks the family or policy routing; then there are no rules either.
            Err(error) if is_any_of(&error, &[libc::EOPNOTSUPP, libc::EAFNOSUPPORT]) => continue,
            Err(error) => {
                result = result.and(Err(error));
                continue;
            }
        };
        for rule in rules.into_iter().filter(is_ours) {
            let deleted = netlink.delete_rule(rule).await;
            if let Err(error) = deleted
                && !is_any_of(&error, &[libc::ENOENT, libc::ESRCH])
            {
                result = result.and(Err(error));
            }
        }
    }
    result
}

fn rule(family: AddressFamily, priority: u32, table: u32) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = family;
    rule.header.action = RuleAction::ToTable;
    rule.header.flags = RuleFlags::Invert;
    rule.attributes = vec![
        RuleAttribute::Priority(priority),
        RuleAttribute::FwMark(FWMARK),
        RuleAttribute::Table(table),
        RuleAttribute::Protocol(RouteProtocol::Kernel),
    ];
    rule
}

fn is_ours(rule: &RuleMessage) -> bool {
    rule.attributes
        .iter()
        .any(|a| matches!(a, RuleAttribute::Table(table) if TABLES.contains(table)))
}
