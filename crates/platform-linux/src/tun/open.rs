//! Opening the device, and saying why it cannot be opened.

use super::{LinuxTun, node};
use platform::TunFault;
use std::{io, path::Path};
use tun_rs::{AsyncDevice, DeviceBuilder};

/// Longest interface name, without the final zero.
const MAX_NAME: usize = 15;

const NO_NODE: &str = "load it with `modprobe tun`, and make its node with `mkdir -p /dev/net && \
                       mknod /dev/net/tun c 10 200`, or start the container with --device \
                       /dev/net/tun";

/// Opens the device with one queue, without addresses and without bringing it up.
pub(crate) fn open(name: &str, want_offload: bool) -> Result<LinuxTun, TunFault> {
    if !is_name(name) {
        return Err(TunFault::BadName { name: name.into() });
    }
    if let Err(error) = node::ensure(Path::new(node::NODE)) {
        tracing::debug!(%error, "Cannot make the device node");
    }
    let (device, has_offload) = match want_offload.then(|| build(name, true)) {
        Some(Ok(device)) => (device, true),
        Some(Err(error)) if is_final(&error) => return Err(explain(name, error)),
        Some(Err(error)) => {
            let device = build(name, false).map_err(|error| explain(name, error))?;
            tracing::info!(%error, "The kernel does not offload segmentation to TUN devices");
            (device, false)
        }
        None => (
            build(name, false).map_err(|error| explain(name, error))?,
            false,
        ),
    };
    tracing::debug!(
        offload = has_offload,
        udp = device.udp_gso(),
        "Opened the TUN device"
    );
    Ok(LinuxTun::new(device, name.to_owned(), has_offload))
}

fn build(name: &str, offload: bool) -> io::Result<AsyncDevice> {
    DeviceBuilder::new()
        .name(name)
        .offload(offload)
        // Going up comes last, after the IPv6 settings of the interface.
        .inherit_enable_state()
        .build_async()
}

/// Whether trying without offload is pointless.
fn is_final(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    matches!(
        number,
        Some(libc::EBUSY | libc::EPERM | libc::EACCES | libc::ENOENT | libc::ENODEV | libc::ENXIO)
    )
}

fn explain(name: &str, error: io::Error) -> TunFault {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => TunFault::Permission {
            remedy: crate::CAPABILITY,
        },
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            TunFault::DriverMissing { remedy: NO_NODE }
        }
        // A device of several queues answers EINVAL to one who asks for a single one.
        Some(libc::EBUSY | libc::EINVAL) => TunFault::Held { name: name.into() },
        _ => TunFault::Os {
            action: "open the TUN device",
            source: error,
        },
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_graphic() && !"/:%".contains(c);
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_would_refuse_or_change_are_refused() {
        for name in ["tun-firezone", "t", "tun0", "a.b"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "sixteen-letters!", "a/b", "a b", "tun%d", "..", "tün"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn errors_are_explained_by_what_one_does_about_them() {
        let text = |number| explain("tun9", io::Error::from_raw_os_error(number)).to_string();
        assert!(text(libc::EPERM).contains("cap_net_admin"));
        assert!(text(libc::ENOENT).contains("modprobe tun"));
        assert!(text(libc::EBUSY).contains("tun9 exists already"));
        assert!(text(libc::EINVAL).contains("tun9 exists already"));
        assert!(text(libc::EMFILE).contains("open the TUN device"));
    }
}
