//! The ICE agent of one connection: our timing, our HMAC, our candidate types. spec: data-plane 2.4, 2.10

use super::transactions::CheckId;
use crate::{Authorization, Role};
use is::{
    Candidate, CandidateKind, IceAgent, IceAgentEvent, IceConnectionState, IceCreds, Protocol,
    Sha1HmacProvider, default_local_preference,
    stun::{StunMessage, StunPacket},
};
use ring::hmac;
use secrecy::ExposeSecret as _;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Most pairs that are checked. spec: data-plane 2.4
const MAX_PAIRS: usize = 100;
/// Bound on the work of one turn: every pair may send a check and, once nominated, another one.
const MAX_STEPS: usize = 4 * MAX_PAIRS;
/// How many candidates the agent may have heard of before it forgets those that are gone. It has to be
/// more than are there at a time: 18 of ours, 200 of the peer and 24 that only checks came from.
const MAX_REMEMBERED: usize = 512;
/// Bytes of a check: user fragments are 513 in all, and all else less than 100.
const MAX_CHECK: usize = 640;
/// Type preference of a peer-reflexive candidate. RFC 8445 section 5.1.2.2
const PEER_REFLEXIVE: u32 = 110;
/// Longest user fragment we put into a message; the portal's have four characters.
const MAX_UFRAG: usize = 256;

/// How often checks are repeated. spec: data-plane 2.4
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    retransmits: usize,
    first: Duration,
    most: Duration,
}

impl Pace {
    /// While packets flow.
    pub(crate) const DEFAULT: Self = Self {
        retransmits: 12,
        first: Duration::from_millis(250),
        most: Duration::from_millis(1500),
    };
    /// Once timers are coalesced: a check that went out at one multiple of 2.5 s is due by the next.
    pub(crate) const COALESCED: Self = Self {
        most: Duration::from_millis(2400),
        ..Self::DEFAULT
    };
    /// After 20 s without a packet.
    pub(crate) const IDLE: Self = Self {
        retransmits: 4,
        first: Duration::from_secs(25),
        most: Duration::from_secs(25),
    };
}

/// A change that the agent reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IceEvent {
    /// This pair is the one to send on.
    Nominated {
        source: SocketAddr,
        destination: SocketAddr,
    },
    /// No pair works, and there is none left to try.
    Disconnected,
    /// There are pairs to check, or one works.
    Checking,
}

/// HMAC-SHA1 by `ring`.
#[derive(Debug)]
struct RingHmac;

impl Sha1HmacProvider for RingHmac {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let mut context = hmac::Context::with_key(&key);
        for payload in payloads {
            context.update(payload);
        }
        let mut digest = [0; 20];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

/// A full ICE agent with one component over UDP.
#[derive(Debug)]
pub(crate) struct Agent {
    ice: IceAgent,
    pace: Pace,
    tie_breaker: u64,
    /// How many candidates the agent has in mind: it never forgets one by itself.
    remembered: usize,
}

impl Agent {
    pub(crate) fn new(role: Role, authorization: &Authorization, tie_breaker: u64) -> Self {
        let mut ice = IceAgent::with_hmac(credentials(&authorization.local_ice), &RingHmac);
        ice.set_remote_credentials(credentials(&authorization.remote_ice));
        ice.set_controlling(role == Role::Client);
        ice.set_control_tie_breaker(tie_breaker);
        ice.set_timing_advance(Duration::ZERO);
        ice.set_max_candidate_pairs(MAX_PAIRS);
        // The preference falls with every candidate of a kind that was ever added; it must not underflow.
        ice.set_local_preference(|candidate: &Candidate, same_kind: usize| {
            default_local_preference(candidate, same_kind.min(7000))
        });
        let mut agent = Self {
            ice,
            pace: Pace::IDLE,
            tie_breaker,
            remembered: 0,
        };
        agent.set_pace(Pace::DEFAULT);
        agent
    }

    /// Changes how often checks are repeated.
    pub(crate) fn set_pace(&mut self, pace: Pace) {
        if self.pace != pace {
            self.pace = pace;
            self.ice.set_max_stun_retransmits(pace.retransmits);
            self.ice.set_initial_stun_rto(pace.first);
            self.ice.set_max_stun_rto(pace.most);
        }
    }

    /// Adds an address of ours; returns it as it is to be signalled if it is new.
    pub(crate) fn add_local(&mut self, candidate: Candidate) -> Option<model::Candidate> {
        self.remembered += 1;
        let added = self.ice.add_local_candidate(candidate)?;
        added.to_sdp_string().parse().ok()
    }

    /// Adds an address of the peer.
    pub(crate) fn add_remote(&mut self, candidate: Candidate) {
        self.remembered += 1;
        self.ice.add_remote_candidate(candidate);
    }

    /// Drops an address of either side, and all pairs with it.
    pub(crate) fn invalidate(&mut self, candidate: &Candidate) -> bool {
        self.ice.invalidate_candidate(candidate)
    }

    /// Whether a request is from the peer and came to an address of ours.
    pub(crate) fn accepts(&self, message: &StunMessage<'_>, destination: SocketAddr) -> bool {
        self.ice.accepts_message(message) && self.local(destination).is_some()
    }

    /// Whether an answer to a check that the agent knows nothing of is from the peer.
    pub(crate) fn is_answer(&self, message: &StunMessage<'_>) -> bool {
        let hmac = |key: &[u8], payloads: &[&[u8]]| RingHmac.sha1_hmac(key, payloads);
        message.is_successful_binding_response()
            && self
                .ice
                .remote_credentials()
                .is_some_and(|remote| message.verify(remote.pass.as_bytes(), hmac))
    }

    /// A check from this address of ours that the agent keeps no account of.
    pub(crate) fn probe(&self, id: &CheckId, source: SocketAddr) -> Option<Vec<u8>> {
        let header = [&[0, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], id].concat();
        let id = StunMessage::parse(&header).ok()?.trans_id();
        let (local, remote) = (self.ice.local_credentials(), self.ice.remote_credentials()?);
        let username = format!("{}:{}", remote.ufrag, local.ufrag);
        let priority = PEER_REFLEXIVE << 24 | self.local(source)?.prio() & 0x00ff_ffff;
        let is_controlling = self.ice.controlling();
        let check = StunMessage::binding_request(
            &username,
            id,
            is_controlling,
            self.tie_breaker,
            priority,
            false,
        );
        let mut buffer = vec![0; MAX_CHECK];
        let hmac = |key: &[u8], payloads: &[&[u8]]| RingHmac.sha1_hmac(key, payloads);
        let length = check
            .to_bytes(Some(remote.pass.as_bytes()), &mut buffer, hmac)
            .ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    /// The agent is about to learn of an address from a check.
    pub(crate) fn note_reflexive(&mut self) {
        self.remembered += 1;
    }

    /// Whether the agent has to forget what is gone.
    pub(crate) fn is_full(&self) -> bool {
        self.remembered >= MAX_REMEMBERED
    }

    /// Starts over with the candidates of ours, and those of the peer whose address `is_kept`.
    ///
    /// The peer sees new checks, and otherwise nothing: the ICE session is the same.
    pub(crate) fn renew(&mut self, is_kept: impl Fn(SocketAddr) -> bool) {
        let own: Vec<_> = self
            .ice
            .local_candidates()
            .filter(|own| own.kind() != CandidateKind::PeerReflexive)
            .collect();
        let remote: Vec<_> = self
            .ice
            .remote_candidates()
            .filter(|remote| is_kept(remote.addr()))
            .collect();
        let (local_credentials, remote_credentials) = (
            self.ice.local_credentials().clone(),
            self.ice.remote_credentials().cloned(),
        );
        self.ice.ice_restart(local_credentials, false);
        if let Some(credentials) = remote_credentials {
            self.ice.set_remote_credentials(credentials);
        }
        self.remembered = own.len() + remote.len();
        for candidate in own {
            self.ice.add_local_candidate(candidate);
        }
        for candidate in remote {
            self.ice.add_remote_candidate(candidate);
        }
    }

    /// Handles a connectivity check or the answer to one; whether it was for this agent.
    pub(crate) fn handle_check(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        message: StunMessage<'_>,
        now: Instant,
    ) -> bool {
        // The agent takes an address that the peer sees us at for another one of ours.
        let is_new = message.is_successful_binding_response()
            && message
                .mapped_address()
                .is_some_and(|mapped| !self.has_local(mapped));
        let packet = StunPacket {
            proto: Protocol::Udp,
            source,
            destination,
            message,
        };
        let is_accepted = self.ice.handle_packet(now, packet);
        self.remembered += usize::from(is_accepted && is_new);
        is_accepted
    }

    /// Does all that is due; `send` gets source, destination and message of every datagram.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        mut send: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) {
        for _ in 0..MAX_STEPS {
            self.ice.handle_timeout(now);
            while let Some(transmit) = self.ice.poll_transmit() {
                send(transmit.source, transmit.destination, &transmit.contents);
            }
            if self.ice.poll_timeout().is_none_or(|at| at > now) {
                break;
            }
        }
    }

    /// The next change.
    pub(crate) fn poll(&mut self) -> Option<IceEvent> {
        loop {
            match self.ice.poll_event()? {
                IceAgentEvent::NominatedSend {
                    source,
                    destination,
                    ..
                } => {
                    return Some(IceEvent::Nominated {
                        source,
                        destination,
                    });
                }
                IceAgentEvent::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                    return Some(IceEvent::Disconnected);
                }
                IceAgentEvent::IceConnectionStateChange(_) => return Some(IceEvent::Checking),
                IceAgentEvent::IceRestart(_) | IceAgentEvent::DiscoveredRecv { .. } => {}
            }
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        self.ice.poll_timeout()
    }

    /// Whether an address is one of ours.
    pub(crate) fn has_local(&self, address: SocketAddr) -> bool {
        self.local(address).is_some()
    }

    /// Whether a relay's address of the peer is this one.
    pub(crate) fn is_remote_relay(&self, address: SocketAddr) -> bool {
        self.ice.remote_candidates().any(|candidate| {
            candidate.addr() == address && candidate.kind() == CandidateKind::Relayed
        })
    }

    /// The last round trip on the nominated pair.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.ice.nominated_pair_rtt()
    }

    fn local(&self, address: SocketAddr) -> Option<Candidate> {
        self.ice
            .local_candidates()
            .find(|candidate| candidate.addr() == address)
    }
}

fn credentials(of: &model::IceCredentials) -> IceCreds {
    let ufrag = of.username.chars().take(MAX_UFRAG).collect();
    IceCreds {
        ufrag,
        pass: of.password.expose_secret().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{IceCredentials, PresharedKey, PublicKey};

    fn credentials() -> IceCredentials {
        IceCredentials {
            username: "user".to_owned(),
            password: "5w74fcbvvsg4jcmkcjxqhq".to_owned().into(),
        }
    }

    #[test]
    fn an_agent_that_heard_of_many_addresses_is_full() {
        let authorization = Authorization {
            public_key: PublicKey::from_bytes([1; 32]),
            preshared_key: PresharedKey::from_bytes([2; 32]),
            local_ice: credentials(),
            remote_ice: credentials(),
        };
        let mut agent = Agent::new(Role::Client, &authorization, 1);
        for _ in 0..MAX_REMEMBERED {
            assert!(!agent.is_full());
            agent.note_reflexive();
        }
        assert!(agent.is_full());
    }
}
