//! Candidates between their text form and the ICE agent's. spec: data-plane 2.6, 2.7

use is::{CandidateKind as Kind, Protocol};
use model::{Candidate, CandidateKind};
use std::net::{IpAddr, SocketAddr};

/// An address of this host.
pub(crate) fn host(address: SocketAddr) -> Option<is::Candidate> {
    is::Candidate::host(address, Protocol::Udp).ok()
}

/// An address that a relay opened for us; `local` is where we talk to the relay from.
pub(crate) fn relayed(address: SocketAddr, local: SocketAddr) -> Option<is::Candidate> {
    is::Candidate::relayed(address, local, Protocol::Udp).ok()
}

/// Our address as a relay sees it, ready to be signalled. The agent never gets to see it: it sends
/// from the base, which is a candidate already.
pub(crate) fn server_reflexive(address: SocketAddr, base: SocketAddr) -> Option<Candidate> {
    let candidate = is::Candidate::server_reflexive(address, base, Protocol::Udp).ok()?;
    candidate.to_sdp_string().parse().ok()
}

/// A candidate of the peer for the agent; `None` if nobody can be reached there.
pub(crate) fn remote(candidate: &Candidate) -> Option<is::Candidate> {
    if !is_reachable(candidate.address) {
        return None;
    }
    Some(is::Candidate::from_parts(
        candidate.foundation.clone(),
        1,
        Protocol::Udp,
        candidate.priority,
        candidate.address,
        kind(candidate.kind),
        candidate.base,
        None,
        candidate.ufrag.clone(),
    ))
}

/// Whether anybody can be reached at this address.
pub(crate) fn is_reachable(address: SocketAddr) -> bool {
    let is_unicast = match address.ip() {
        IpAddr::V4(ip) => {
            !ip.is_link_local() && !ip.is_broadcast() && !ip.is_multicast() && !ip.is_unspecified()
        }
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
    };
    is_unicast && address.port() != 0
}

fn kind(kind: CandidateKind) -> Kind {
    match kind {
        CandidateKind::Host => Kind::Host,
        CandidateKind::PeerReflexive => Kind::PeerReflexive,
        CandidateKind::Relay => Kind::Relayed,
        CandidateKind::ServerReflexive => Kind::ServerReflexive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authorization, Role, connection::Agent};
    use model::{IceCredentials, PresharedKey, PublicKey};

    fn agent() -> Agent {
        let ice = |username: &str| IceCredentials {
            username: username.to_owned(),
            password: "5w74fcbvvsg4jcmkcjxqhq".to_owned().into(),
        };
        let authorization = Authorization {
            public_key: PublicKey::from_bytes([1; 32]),
            preshared_key: PresharedKey::from_bytes([2; 32]),
            local_ice: ice("fzm2"),
            remote_ice: ice("o4ei"),
        };
        Agent::new(Role::Client, &authorization, 1)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn priorities_are_the_known_ones() {
        let v4 = address("203.0.113.20:52625");
        let v6 = address("[2001:db8::20]:52625");
        for (candidate, priority) in [
            (host(v4), 2_130_706_175),
            (host(v6), 2_130_706_431),
            (relayed(v4, v4), 37_748_479),
            (relayed(v4, v6), 37_492_479),
        ] {
            let signalled = agent().add_local(candidate.unwrap()).unwrap();
            assert_eq!(signalled.priority, priority);
            assert_eq!(signalled.ufrag.as_deref(), Some("fzm2"));
        }
        // The value the agent would compute; not what is signalled, but the formula is the same.
        for (reflexive, base, priority) in [(v4, v4, 1_686_109_951), (v6, v6, 1_686_110_207)] {
            let candidate = is::Candidate::server_reflexive(reflexive, base, Protocol::Udp);
            let computed = agent().add_local(candidate.unwrap()).unwrap();
            assert_eq!(computed.priority, priority);
        }
    }

    #[test]
    fn reflexive_candidates_are_signalled_without_the_agent() {
        for (text, priority, base) in [
            ("203.0.113.7:40000", 1_694_498_559, "0.0.0.0:0"),
            ("[2001:db8::7]:40000", 1_694_498_815, "[::]:0"),
        ] {
            let candidate = server_reflexive(address(text), address(text)).unwrap();
            assert_eq!(candidate.priority, priority);
            assert_eq!(candidate.address, address(text));
            assert_eq!(candidate.base, Some(address(base)), "the base is hidden");
            assert_eq!(candidate.ufrag, None);
        }
    }

    #[test]
    fn addresses_nobody_can_be_reached_at_are_no_candidates() {
        for text in [
            "0.0.0.0:1",
            "255.255.255.255:1",
            "224.0.0.1:1",
            "169.254.1.1:1",
            "192.0.2.1:0",
            "[::]:1",
            "[ff02::1]:1",
        ] {
            assert!(!is_reachable(address(text)), "{text}");
        }
        for text in ["127.0.0.1:1", "192.0.2.1:1", "[::1]:1", "[2001:db8::1]:1"] {
            assert!(is_reachable(address(text)), "{text}");
        }
    }

    #[test]
    fn remote_candidates_keep_what_identifies_them() {
        let text = "candidate:fffe3f021846e2025893a2a8 1 udp 37748479 203.0.113.21 60991 \
                    typ relay raddr 0.0.0.0 rport 0 ufrag aco7";
        let candidate: Candidate = text.parse().unwrap();
        let converted = remote(&candidate).unwrap();
        assert_eq!(converted.to_sdp_string(), text);
    }
}
