//! Packets that the tunnel makes itself.

use crate::{checksum::Checksum, transport::protocol};
use std::net::{IpAddr, SocketAddr};

/// TTL and hop limit of generated packets. spec: data-plane 20
const TTL: u8 = 64;

/// Writes a UDP datagram and returns its length in bytes.
///
/// None if the families differ or the buffer is too small.
pub fn emit_udp(
    buffer: &mut [u8],
    from: SocketAddr,
    to: SocketAddr,
    payload: &[u8],
) -> Option<usize> {
    let udp_length = u16::try_from(payload.len() + 8).ok()?;
    let offset = emit_ip_header(
        buffer,
        (from.ip(), to.ip()),
        (protocol::UDP, TTL),
        udp_length,
    )?;
    let end = offset + usize::from(udp_length);
    let udp = buffer.get_mut(offset..end)?;
    udp[..2].copy_from_slice(&from.port().to_be_bytes());
    udp[2..4].copy_from_slice(&to.port().to_be_bytes());
    udp[4..6].copy_from_slice(&udp_length.to_be_bytes());
    udp[6..8].fill(0);
    udp[8..].copy_from_slice(payload);
    let sum = Checksum::new()
        .add_pseudo_header(from.ip(), to.ip(), protocol::UDP, u32::from(udp_length))
        .add_bytes(udp)
        .finish();
    // Zero means "no checksum"; its other representation says the same sum, RFC 768.
    let sum = if sum == 0 { 0xffff } else { sum };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    Some(end)
}

/// Writes an IP header without options and returns its length; families must be equal.
pub(crate) fn emit_ip_header(
    buffer: &mut [u8],
    (from, to): (IpAddr, IpAddr),
    (number, ttl): (u8, u8),
    payload_length: u16,
) -> Option<usize> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = buffer.get_mut(..20)?;
            header.fill(0);
            header[0] = 0x45;
            header[2..4].copy_from_slice(&payload_length.checked_add(20)?.to_be_bytes());
            header[8] = ttl;
            header[9] = number;
            header[12..16].copy_from_slice(&from.octets());
            header[16..20].copy_from_slice(&to.octets());
            let sum = Checksum::new().add_bytes(header).finish();
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            Some(20)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = buffer.get_mut(..40)?;
            header.fill(0);
            header[0] = 0x60;
            header[4..6].copy_from_slice(&payload_length.to_be_bytes());
            header[6] = number;
            header[7] = ttl;
            header[8..24].copy_from_slice(&from.octets());
            header[24..40].copy_from_slice(&to.octets());
            Some(40)
        }
        _ => None,
    }
}
