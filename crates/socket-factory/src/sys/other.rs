//! Systems that have neither marks nor interfaces of sockets.

use crate::Family;
use socket2::Socket;
use std::{io, num::NonZeroU32};

/// spec: platform 7.1
pub(crate) const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;

/// Marks exist on Linux only; asking for one elsewhere is a mistake that must not pass silently.
pub(crate) fn set_mark(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn set_unicast_interface(_: &Socket, _: Family, _: NonZeroU32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn prefer_public_source(_: &Socket) -> io::Result<()> {
    Ok(())
}

pub(crate) fn drop_timestamps<S>(_: &S) -> io::Result<()> {
    Ok(())
}

pub(crate) fn ignore_icmp_errors(_: &Socket) -> io::Result<()> {
    Ok(())
}

pub(crate) fn lacks_batches(_: &io::Error) -> bool {
    false
}

pub(crate) fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EHOSTDOWN | libc::EAFNOSUPPORT | libc::ENETUNREACH | libc::ENODEV)
    )
}

pub(crate) fn is_out_of_buffers(_: &io::Error) -> bool {
    false
}

pub(crate) fn is_port_unreachable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}
