//! Socket options and error numbers that the crates we use do not know.
#![cfg_attr(
    any(target_os = "linux", target_os = "android"),
    expect(
        unsafe_code,
        reason = "some socket options have no safe wrapper anywhere"
    )
)]

use socket2::Socket;
use std::io;

/// Sets the mark that policy routing rules look at.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set_mark(socket: &Socket, mark: u32) -> io::Result<()> {
    socket.set_mark(mark)
}

/// Marks exist on Linux only; asking for one elsewhere is a mistake that must not pass silently.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set_mark(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Asks for stable instead of temporary IPv6 source addresses. RFC 5014 section 5
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn prefer_public_source(socket: &Socket) -> io::Result<()> {
    // Both numbers are of <linux/in6.h>; the libc crate has neither.
    const IPV6_ADDR_PREFERENCES: libc::c_int = 72;
    const IPV6_PREFER_SRC_PUBLIC: libc::c_int = 0x0002;
    let option = (libc::IPPROTO_IPV6, IPV6_ADDR_PREFERENCES);
    set_option(socket, option, IPV6_PREFER_SRC_PUBLIC)
}

/// Turns receive timestamps off again, which `quinn-udp` asks for.
///
/// Its buffer for control messages has room for either them or ECN next to GRO and packet info;
/// the kernel writes ECN last and drops it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn drop_timestamps(socket: &impl std::os::fd::AsFd) -> io::Result<()> {
    set_option(socket, (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS), 0)
}

/// Sends without UDP checksums, with which GSO is impossible.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn forbid_checksums(socket: &impl std::os::fd::AsFd) -> io::Result<()> {
    set_option(socket, (libc::SOL_SOCKET, libc::SO_NO_CHECK), 1)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_option(
    socket: &impl std::os::fd::AsFd,
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

/// No timestamps are asked for elsewhere.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn drop_timestamps<S>(_: &S) -> io::Result<()> {
    Ok(())
}

/// Other systems have no such option.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn prefer_public_source(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Unreachable for reasons that the standard library does not sort.
#[cfg(unix)]
pub(crate) fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EHOSTDOWN | libc::EAFNOSUPPORT | libc::ENETUNREACH | libc::ENODEV)
    )
}

/// Unreachable for reasons that the standard library does not sort.
#[cfg(not(unix))]
pub(crate) fn is_unreachable(error: &io::Error) -> bool {
    // WSAEAFNOSUPPORT and WSAEHOSTDOWN.
    matches!(error.raw_os_error(), Some(10047 | 10064))
}
