//! Why packets are dropped. A dropped packet is counted, not reported.

use ip_packet::PacketFault;
use model::Reason;

/// Makes the reasons that are ours, beside those of the crates below.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a packet went no further, or a query to the stub resolver was not answered by a server.
        ///
        /// Each is counted once, in [`Tunnel::drops`](crate::Tunnel::drops), whether the caller
        /// hears of it or not. It prints as its name for scripts and status pages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DropReason {
            /// Connectivity dropped it, and counted it.
            Connectivity(connectivity::DropReason),
            /// It is not an IP packet that the tunnel handles.
            Malformed(PacketFault),
            $($(#[$doc])* $variant,)*
        }

        /// The same without those of other crates, for their places.
        #[derive(Clone, Copy)]
        enum Own {
            $($variant,)*
        }

        const OWN: &[DropReason] = &[$(DropReason::$variant,)*];

        impl Reason for DropReason {
            const ALL: &'static [Self] = &ALL;

            fn index(self) -> usize {
                match self {
                    $(Self::$variant => Own::$variant as usize,)*
                    Self::Malformed(fault) => OWN.len() + fault_index(fault),
                    Self::Connectivity(reason) => OWN.len() + FAULTS.len() + reason.index(),
                }
            }
        }

        impl std::fmt::Display for DropReason {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($name),)*
                    Self::Malformed(fault) => write!(f, "malformed.{}", fault_name(*fault)),
                    Self::Connectivity(reason) => write!(f, "connectivity.{reason}"),
                }
            }
        }
    };
}

reasons! {
    /// It waited for an authorization, for a relay or for a name, as many packets as may wait did so
    /// already, and it was the oldest.
    BufferFull => "buffer-full",
    /// It waited for an authorization or for a name until the same packet came again and took its
    /// place.
    Duplicate => "duplicate",
    /// The source is not an address of our interface.
    ForeignSource => "foreign-source",
    /// It waited for a name at a gateway whose connection ended.
    GatewayClosed => "gateway-closed",
    /// A control message from a gateway is unknown or malformed.
    MalformedControl => "malformed-control",
    /// A query to the stub resolver is not a DNS query.
    MalformedQuery => "malformed-query",
    /// It goes to a multicast address.
    Multicast => "multicast",
    /// It waited for a name that its gateway refuses to translate.
    NameRefused => "name-refused",
    /// A query over UDP to which no server answered in time; whoever asked will ask another one.
    NoAnswer => "no-answer",
    /// It needed a resource that is granted, but no relay has come that its gateway could be
    /// connected to with.
    NoRelay => "no-relay",
    /// It goes to no resource.
    NoResource => "no-resource",
    /// It goes to a sentinel, but to another port or protocol than DNS.
    NotDns => "not-dns",
    /// The portal has not told our addresses yet.
    NotReady => "not-ready",
    /// It is larger than the MTU.
    Oversize => "oversize",
    /// It needed a resource that the portal refused, a moment ago or while it waited.
    Refused => "refused",
    /// A query over UDP that is under way already, and is answered once.
    RepeatedQuery => "repeated-query",
    /// It waited for an authorization, for a name or for a server when everything started over.
    Reset => "reset",
    /// It waited for an authorization or for a name of a resource that is gone, changed or
    /// switched off.
    Revoked => "revoked",
    /// It goes to ourselves.
    ToSelf => "to-self",
    /// A query while as many as may wait for servers do so already; its answer is a failure.
    TooManyQueries => "too-many-queries",
    /// It waited for an authorization until so many other resources were needed that its own was
    /// forgotten.
    TooManyRequests => "too-many-requests",
    /// It waited for an authorization or for a name, and nobody answered in time.
    Unanswered => "unanswered",
    /// It came from the server to the port of a query, but does not answer it.
    UnexpectedAnswer => "unexpected-answer",
    /// It came from a gateway that may not send from its source address.
    UnexpectedSource => "unexpected-source",
    /// It asks by LLMNR for a name that is none of ours.
    UnknownName => "unknown-name",
    /// It goes to a tunnel address that no connected gateway has.
    UnknownPeer => "unknown-peer",
    /// It goes to a proxy address that stands for no name.
    UnknownProxy => "unknown-proxy",
    /// It goes to a sentinel that stands for no server.
    UnknownSentinel => "unknown-sentinel",
    /// A query that cannot be sent to its server, such as one that fits no packet of the tunnel;
    /// its answer is a failure.
    UnsendableQuery => "unsendable-query",
}

/// In the order of [`fault_index`].
const FAULTS: [PacketFault; 4] = [
    PacketFault::Fragment,
    PacketFault::Length,
    PacketFault::Malformed,
    PacketFault::Version,
];

const COUNT: usize = OWN.len() + FAULTS.len() + connectivity::DropReason::ALL.len();

/// All reasons, those of other crates last.
static ALL: [DropReason; COUNT] = {
    let mut all = [DropReason::NotReady; COUNT];
    let mut at = 0;
    while at < COUNT {
        all[at] = if at < OWN.len() {
            OWN[at]
        } else if at < OWN.len() + FAULTS.len() {
            DropReason::Malformed(FAULTS[at - OWN.len()])
        } else {
            let inner = connectivity::DropReason::ALL[at - OWN.len() - FAULTS.len()];
            DropReason::Connectivity(inner)
        };
        at += 1;
    }
    all
};

fn fault_index(fault: PacketFault) -> usize {
    match fault {
        PacketFault::Fragment => 0,
        PacketFault::Length => 1,
        PacketFault::Malformed => 2,
        PacketFault::Version => 3,
    }
}

fn fault_name(fault: PacketFault) -> &'static str {
    match fault {
        PacketFault::Fragment => "fragment",
        PacketFault::Length => "length",
        PacketFault::Malformed => "malformed",
        PacketFault::Version => "version",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::DropCounters;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_those_that_scripts_know() {
        let names: Vec<String> = DropReason::ALL.iter().map(ToString::to_string).collect();
        let known = [
            "buffer-full",
            "duplicate",
            "foreign-source",
            "gateway-closed",
            "malformed-control",
            "malformed-query",
            "multicast",
            "name-refused",
            "no-answer",
            "no-relay",
            "no-resource",
            "not-dns",
            "not-ready",
            "oversize",
            "refused",
            "repeated-query",
            "reset",
            "revoked",
            "to-self",
            "too-many-queries",
            "too-many-requests",
            "unanswered",
            "unexpected-answer",
            "unexpected-source",
            "unknown-name",
            "unknown-peer",
            "unknown-proxy",
            "unknown-sentinel",
            "unsendable-query",
            "malformed.fragment",
            "malformed.length",
            "malformed.malformed",
            "malformed.version",
            "connectivity.bad-mac",
            "connectivity.bad-handshake",
            "connectivity.buffer-full",
            "connectivity.connection-closed",
            "connectivity.malformed-inner",
            "connectivity.no-channel",
            "connectivity.no-session",
            "connectivity.not-connected",
            "connectivity.rate-limited",
            "connectivity.replayed",
            "connectivity.reset",
            "connectivity.too-large",
            "connectivity.unbound-channel",
            "connectivity.undecryptable",
            "connectivity.unknown-check",
            "connectivity.unknown-peer",
            "connectivity.unknown-relay",
            "connectivity.unknown-session",
            "connectivity.unproven-source",
            "connectivity.unrecognized",
            "connectivity.unsolicited-answer",
        ];
        assert_eq!(names, known);
    }

    #[test]
    fn every_reason_has_a_name_and_a_counter_of_its_own() {
        let names: BTreeSet<String> = DropReason::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), DropReason::ALL.len());
        let mut counters = DropCounters::default();
        for (index, &reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index, "{reason}");
            counters.count(reason);
        }
        assert!(counters.iter().all(|(_, count)| count == 1));
    }
}
