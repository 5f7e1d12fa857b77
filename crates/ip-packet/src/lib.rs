//! IP packets as checked views.
//!
//! [`IpPacket::parse`] looks at a buffer once; what it returns answers every question without
//! failing: addresses, ports, echo ids, ECN. Rewrites keep all checksums right by adjusting them
//! incrementally (RFC 1624). Beside the view stand the packets that the tunnel makes itself: UDP
//! datagrams ([`emit_udp`]), ICMP errors ([`IcmpError`]) and the control messages that travel
//! inside the tunnel ([`Control`]). Congestion marks pass from an outer header to the packet inside
//! on bytes, without a view ([`propagate_congestion`]).
//!
//! What it is not: no reassembly (fragments are refused), no options, no state, no I/O. Checksums
//! of received packets are not verified. spec: data-plane 17.1
//!
//! ```
//! use ip_packet::{IpPacket, Transport};
//!
//! let mut buffer = [0; 64];
//! let from = "192.0.2.1:4000".parse()?;
//! let to = "192.0.2.2:53".parse()?;
//! let length = ip_packet::emit_udp(&mut buffer, from, to, b"hi").expect("64 bytes are enough");
//!
//! let packet = IpPacket::parse(&buffer[..length])?;
//! assert_eq!(packet.transport(), Transport::Udp { source: 4000, destination: 53 });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Departures from the RFCs: the TTL is never decremented, because a tunnel is one hop to the
//! packets in it, and a packet longer than its IP header says is refused instead of trimmed.

mod checksum;
mod control;
mod ecn;
mod emit;
mod icmp_error;
mod packet;
mod rewrite;
mod transport;

pub use checksum::{Checksum, adjust};
pub use control::{Control, ControlFault, DomainStatus, MAX_CONTROL};
pub use ecn::{Ecn, propagate_congestion};
pub use emit::emit_udp;
pub use icmp_error::{IcmpError, QuotedPacket, Unreachable, emit_unreachable};
pub use packet::{IpPacket, PacketFault};
pub use transport::{Flow, Transport, protocol};
