//! Linux: marks, and options without a wrapper.
#![expect(
    unsafe_code,
    reason = "some socket options have no safe wrapper anywhere"
)]

use crate::Family;
use socket2::Socket;
use std::{io, num::NonZeroU32, os::fd::AsFd};

/// spec: platform 7.1
pub(crate) const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;

pub(crate) fn set_mark(socket: &Socket, mark: u32) -> io::Result<()> {
    socket.set_mark(mark)
}

/// Only the routes of this interface are looked at. The index is in network byte order here.
pub(crate) fn set_unicast_interface(
    socket: &Socket,
    family: Family,
    interface: NonZeroU32,
) -> io::Result<()> {
    let value = interface.get().to_be().cast_signed();
    set_option(socket, unicast_option(family), value)
}

fn unicast_option(family: Family) -> (libc::c_int, libc::c_int) {
    match family {
        Family::V4 => (libc::IPPROTO_IP, libc::IP_UNICAST_IF),
        Family::V6 => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_IF),
    }
}

/// RFC 5014 section 5
pub(crate) fn prefer_public_source(socket: &Socket) -> io::Result<()> {
    let option = (libc::IPPROTO_IPV6, libc::IPV6_ADDR_PREFERENCES);
    set_option(socket, option, libc::IPV6_PREFER_SRC_PUBLIC)
}

/// Its buffer for control messages has room for either them or ECN next to GRO and packet info;
/// the kernel writes ECN last and drops it.
pub(crate) fn drop_timestamps(socket: &impl AsFd) -> io::Result<()> {
    set_option(socket, (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS), 0)
}

/// The kernel reports them to connected sockets only.
pub(crate) fn ignore_icmp_errors(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Every kernel that we run on has what is needed.
pub(crate) fn lacks_batches(_: &io::Error) -> bool {
    false
}

pub(crate) fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EHOSTDOWN | libc::EAFNOSUPPORT | libc::ENETUNREACH | libc::ENODEV)
    )
}

/// `ENOBUFS` comes from a full queue of the network card: trying again would not help it.
/// spec: platform 7.2
pub(crate) fn is_out_of_buffers(_: &io::Error) -> bool {
    false
}

pub(crate) fn is_port_unreachable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Sends without UDP checksums, with which GSO is impossible.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn forbid_checksums(socket: &impl AsFd) -> io::Result<()> {
    set_option(socket, (libc::SOL_SOCKET, libc::SO_NO_CHECK), 1)
}

/// The interface that [`set_unicast_interface`] set, 0 without.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn unicast_interface(socket: &impl AsFd, family: Family) -> io::Result<u32> {
    use std::os::fd::AsRawFd as _;

    let (level, name) = unicast_option(family);
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel writes at
    // most `length` bytes into the integer that `value` is.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(u32::from_be(value.cast_unsigned()))
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set_option(
    socket: &impl AsFd,
    (level, name): (libc::c_int, libc::c_int),
    value: libc::c_int,
) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel reads
    // exactly `length` bytes of the integer that `value` is.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::SendFault;

    #[test]
    fn send_faults_are_sorted_by_what_one_does_about_them() {
        let cases = [
            (libc::ENETUNREACH, SendFault::Unreachable),
            (libc::EHOSTUNREACH, SendFault::Unreachable),
            (libc::EHOSTDOWN, SendFault::Unreachable),
            (libc::EADDRNOTAVAIL, SendFault::Unreachable),
            (libc::EAFNOSUPPORT, SendFault::Unreachable),
            (libc::ENETDOWN, SendFault::Unreachable),
            (libc::EPERM, SendFault::Denied),
            (libc::EACCES, SendFault::Denied),
            (libc::EAGAIN, SendFault::WouldBlock),
            (libc::EMSGSIZE, SendFault::TooBig),
            (libc::ENOBUFS, SendFault::Other),
            (libc::EINVAL, SendFault::Other),
        ];
        for (number, fault) in cases {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(SendFault::of(&error), fault, "{error}");
        }
    }
}
