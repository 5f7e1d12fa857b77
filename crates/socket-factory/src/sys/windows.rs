//! Windows: no marks, but an interface for each socket. spec: platform 11.3, 11.4
#![expect(
    unsafe_code,
    reason = "some socket options have no safe wrapper anywhere"
)]

use crate::Family;
use socket2::Socket;
use std::{io, num::NonZeroU32, os::windows::io::AsRawSocket as _, ptr};
use windows_sys::Win32::Networking::WinSock::{
    IP_UNICAST_IF, IPPROTO_IP, IPPROTO_IPV6, IPV6_UNICAST_IF, SIO_UDP_CONNRESET, SIO_UDP_NETRESET,
    SOCKET, WSAEADDRNOTAVAIL, WSAEAFNOSUPPORT, WSAECONNREFUSED, WSAECONNRESET, WSAEHOSTDOWN,
    WSAEINVAL, WSAENETDOWN, WSAENETRESET, WSAENOBUFS, WSAENOPROTOOPT, WSAEOPNOTSUPP, WSAIoctl,
    setsockopt,
};

/// More than elsewhere: nothing is coalesced on its way in. spec: platform 11.3
pub(crate) const RECEIVE_BUFFER: usize = 32 * 1024 * 1024;

/// Marks exist on Linux only; asking for one elsewhere is a mistake that must not pass silently.
pub(crate) fn set_mark(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Only the routes of this interface are looked at. IPv4 wants the index in network byte order,
/// IPv6 in that of the host.
pub(crate) fn set_unicast_interface(
    socket: &Socket,
    family: Family,
    interface: NonZeroU32,
) -> io::Result<()> {
    let index = interface.get();
    match family {
        Family::V4 => set_option(socket, (IPPROTO_IP, IP_UNICAST_IF), index.to_be()),
        Family::V6 => match set_option(socket, (IPPROTO_IPV6, IPV6_UNICAST_IF), index) {
            // Wine has not got it. On Windows the index is wrong, and so is the source address that
            // came with it: binding fails.
            Err(error) if error.raw_os_error() == Some(WSAEINVAL) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, error))
            }
            result => result,
        },
    }
}

/// Windows has no such option: who resolves source addresses chooses.
pub(crate) fn prefer_public_source(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// None are asked for.
pub(crate) fn drop_timestamps<S>(_: &S) -> io::Result<()> {
    Ok(())
}

/// Otherwise a datagram to a port where nobody listens, or whose TTL ran out, makes a later receive
/// fail, whoever it would have been from.
pub(crate) fn ignore_icmp_errors(socket: &Socket) -> io::Result<()> {
    turn_off(socket, SIO_UDP_CONNRESET)?;
    match turn_off(socket, SIO_UDP_NETRESET) {
        // Wine has only the first.
        Err(error) if lacks_batches(&error) => Ok(()),
        result => result,
    }
}

/// Wine answers so to options that every Windows has.
pub(crate) fn lacks_batches(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || matches!(
            error.raw_os_error(),
            Some(WSAEOPNOTSUPP | WSAENOPROTOOPT | WSAEINVAL)
        )
}

pub(crate) fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(WSAEAFNOSUPPORT | WSAEHOSTDOWN | WSAENETDOWN | WSAEADDRNOTAVAIL)
    )
}

/// spec: platform 11.3
pub(crate) fn is_out_of_buffers(error: &io::Error) -> bool {
    error.raw_os_error() == Some(WSAENOBUFS)
}

pub(crate) fn is_port_unreachable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(WSAECONNRESET | WSAENETRESET | WSAECONNREFUSED)
    )
}

fn handle(socket: &Socket) -> io::Result<SOCKET> {
    SOCKET::try_from(socket.as_raw_socket()).map_err(io::Error::other)
}

fn set_option(socket: &Socket, (level, name): (i32, i32), value: u32) -> io::Result<()> {
    let length = i32::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // SAFETY: the socket is open for as long as it is borrowed, and the system reads exactly
    // `length` bytes of the integer that `value` is.
    let result = unsafe {
        setsockopt(
            handle(socket)?,
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

/// Turns off what a control code switches.
fn turn_off(socket: &Socket, code: u32) -> io::Result<()> {
    let off: u32 = 0;
    let length = u32::try_from(size_of_val(&off)).map_err(io::Error::other)?;
    let mut returned = 0;
    // SAFETY: the socket is open for as long as it is borrowed, the system reads exactly `length`
    // bytes of the integer that `off` is, writes nothing but `returned`, and is done when it
    // returns, because nothing overlapped is asked for.
    let result = unsafe {
        WSAIoctl(
            handle(socket)?,
            code,
            (&raw const off).cast(),
            length,
            ptr::null_mut(),
            0,
            &raw mut returned,
            ptr::null_mut(),
            None,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SendFault;
    use windows_sys::Win32::Networking::WinSock::{
        WSAEACCES, WSAEHOSTUNREACH, WSAEMSGSIZE, WSAENETUNREACH, WSAEWOULDBLOCK,
    };

    #[test]
    fn send_faults_are_sorted_by_what_one_does_about_them() {
        let cases = [
            (WSAENETUNREACH, SendFault::Unreachable),
            (WSAEHOSTUNREACH, SendFault::Unreachable),
            (WSAEHOSTDOWN, SendFault::Unreachable),
            (WSAEADDRNOTAVAIL, SendFault::Unreachable),
            (WSAEAFNOSUPPORT, SendFault::Unreachable),
            (WSAENETDOWN, SendFault::Unreachable),
            (WSAEACCES, SendFault::Denied),
            (WSAEWOULDBLOCK, SendFault::WouldBlock),
            (WSAEMSGSIZE, SendFault::TooBig),
            (WSAENOBUFS, SendFault::Other),
            (WSAEINVAL, SendFault::Other),
        ];
        for (number, fault) in cases {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(SendFault::of(&error), fault, "{error}");
        }
    }

    #[test]
    fn shortage_is_told_from_a_full_buffer() {
        let of = io::Error::from_raw_os_error;
        assert!(is_out_of_buffers(&of(WSAENOBUFS)));
        assert!(!is_out_of_buffers(&of(WSAEINVAL)));
    }

    #[test]
    fn options_of_a_socket_are_taken_or_known_to_be_missing() {
        let interface = NonZeroU32::new(1).unwrap();
        for (domain, family) in [
            (socket2::Domain::IPV4, Family::V4),
            (socket2::Domain::IPV6, Family::V6),
        ] {
            let socket = Socket::new(domain, socket2::Type::DGRAM, None).unwrap();
            ignore_icmp_errors(&socket).unwrap();
            match set_unicast_interface(&socket, family, interface) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(family, Family::V6, "{error}");
                    assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
                }
            }
        }
    }
}
