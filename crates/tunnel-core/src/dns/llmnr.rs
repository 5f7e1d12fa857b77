//! Link-local multicast name resolution, RFC 4795. spec: data-plane 12.7

use super::stub::{Decision, LocalAnswer};
use dns_message::rcode;
use ip_packet::{IpPacket, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Port of LLMNR.
const PORT: u16 = 5355;

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 252);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 3);

/// Who asks which group; none if the packet is no LLMNR query.
pub(crate) fn recognize(packet: &IpPacket<&[u8]>) -> Option<(SocketAddr, SocketAddr)> {
    let group = packet.destination();
    let is_group = match group {
        IpAddr::V4(group) => group == GROUP_V4,
        IpAddr::V6(group) => group == GROUP_V6,
    };
    match packet.transport() {
        Transport::Udp {
            source,
            destination: PORT,
        } if is_group => {
            let from = SocketAddr::new(packet.source(), source);
            Some((from, SocketAddr::new(group, PORT)))
        }
        _ => None,
    }
}

/// What a group is told: nothing about names that are not ours, RFC 4795 section 2.3.
///
/// "No such name" would also be wrong, because the name may be another link's, and requestors have to
/// ignore it anyway (section 2.1.1). What only a server in a site knows is not told either.
pub(crate) fn answer(decision: Decision) -> Option<LocalAnswer> {
    match decision {
        Decision::Answer(answer) if answer.rcode == rcode::NOERROR => Some(answer),
        Decision::Answer(_) | Decision::Site(_) | Decision::Forward => None,
    }
}
