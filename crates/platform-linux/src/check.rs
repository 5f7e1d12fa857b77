//! What a client will need, looked at without changing anything.

use crate::{CAPABILITY, LinuxOptions, tun};
use platform::PlatformFault;
use std::{fs, path::Path};

/// Bit of the capability to change the network, see capabilities(7).
const CAP_NET_ADMIN: u32 = 12;

/// Looks at rights, TUN device, interface and resolver; returns what was found, a line each.
///
/// # Errors
///
/// The first thing without which a client would not start.
pub fn check(options: &LinuxOptions) -> Result<Vec<String>, PlatformFault> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !has_capability(&status, CAP_NET_ADMIN) {
        return Err(PlatformFault::Permission {
            action: "change the network",
            remedy: CAPABILITY,
        });
    }
    let mut found = vec!["Rights: CAP_NET_ADMIN".to_owned()];
    found.push(tun::check()?);
    let link = Path::new("/sys/class/net").join(&options.interface);
    found.push(format!(
        "Interface: {}, {}",
        options.interface,
        if link.exists() {
            "which another client has now"
        } else {
            "which does not exist yet"
        }
    ));
    found.push(format!("DNS control: {}", options.dns_control));
    Ok(found)
}

/// Whether the effective set in `/proc/PID/status` has a capability.
fn has_capability(status: &str, bit: u32) -> bool {
    let set = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << bit) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_bits() {
        let status = "Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t0000000000001000\n";
        assert!(has_capability(status, CAP_NET_ADMIN));
        assert!(!has_capability(status, 11));
        assert!(!has_capability("", CAP_NET_ADMIN));
    }
}
