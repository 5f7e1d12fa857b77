//! Why packets are dropped. A dropped packet is counted, not reported.

use ip_packet::PacketFault;
use std::collections::BTreeMap;

/// Why a packet went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropReason {
    /// The path or the session could not take it.
    Connectivity(connectivity::DropReason),
    /// The source is not an address of our interface.
    ForeignSource,
    /// A query to the stub resolver is not a DNS query.
    MalformedQuery,
    /// A control message from a gateway is unknown or malformed.
    MalformedControl,
    /// It is not an IP packet that the tunnel handles.
    Malformed(PacketFault),
    /// It goes to a multicast address.
    Multicast,
    /// It goes to no resource.
    NoResource,
    /// It goes to a sentinel, but to another port or protocol than DNS.
    NotDns,
    /// The portal has not told our addresses yet.
    NotReady,
    /// It is larger than the MTU.
    Oversize,
    /// It goes to ourselves.
    ToSelf,
    /// Too many resources wait for authorization.
    TooManyRequests,
    /// It came from a gateway that may not send from its source address.
    UnexpectedSource,
    /// It asks by LLMNR for a name that is none of ours.
    UnknownName,
    /// It goes to a tunnel address that no connected gateway has.
    UnknownPeer,
    /// It goes to a proxy address that stands for no name.
    UnknownProxy,
    /// It goes to a sentinel that stands for no server.
    UnknownSentinel,
}

/// How often each reason was met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DropCounters(BTreeMap<DropReason, u64>);

impl DropCounters {
    /// Counts one packet.
    pub(crate) fn count(&mut self, reason: DropReason) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// The reasons met so far with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        self.0.iter().map(|(&reason, &count)| (reason, count))
    }

    /// How often this reason was met.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0.get(&reason).copied().unwrap_or_default()
    }
}
