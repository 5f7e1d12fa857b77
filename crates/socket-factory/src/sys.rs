//! Socket options and error numbers that the crates we use do not know: one room for each system.
//!
//! | name | what it does |
//! | --- | --- |
//! | `RECEIVE_BUFFER` | receive buffer of UDP sockets to ask for |
//! | `set_mark` | the mark that policy routing rules look at |
//! | `set_unicast_interface` | the interface that unicast packets leave through |
//! | `prefer_public_source` | stable instead of temporary IPv6 source addresses |
//! | `drop_timestamps` | turns off what `quinn-udp` asks for and we do not read |
//! | `ignore_icmp_errors` | lets no stranger's ICMP message fail a receive |
//! | `lacks_batches` | whether `quinn-udp` refuses because the system is not complete |
//! | `is_unreachable` | unreachable for reasons that the standard library does not sort |
//! | `is_out_of_buffers` | a send that failed for a moment, for want of memory |
//! | `is_port_unreachable` | a receive that reports that nobody listens where we sent to |

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "sys/linux.rs"]
mod system;

#[cfg(target_os = "windows")]
#[path = "sys/windows.rs"]
mod system;

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "windows")))]
#[path = "sys/other.rs"]
mod system;

pub(crate) use system::{
    RECEIVE_BUFFER, drop_timestamps, ignore_icmp_errors, is_out_of_buffers, is_port_unreachable,
    is_unreachable, lacks_batches, prefer_public_source, set_mark, set_unicast_interface,
};
#[cfg(all(test, target_os = "linux"))]
pub(crate) use system::{forbid_checksums, unicast_interface};
