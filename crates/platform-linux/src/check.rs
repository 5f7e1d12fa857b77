//! What a client will need, looked at without changing anything.

use crate::{CAPABILITY, LinuxOptions, tun};
use platform::PlatformFault;
use rustix::thread::{CapabilitySet, capabilities};
use std::path::Path;

/// Looks at rights, TUN device, interface and resolver; returns what was found, a line each.
pub(crate) fn check(options: &LinuxOptions) -> Result<Vec<String>, PlatformFault> {
    let rights = capabilities(None).map(|rights| rights.effective);
    if !rights.is_ok_and(|rights| rights.contains(CapabilitySet::NET_ADMIN)) {
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
