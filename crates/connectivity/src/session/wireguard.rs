//! One WireGuard session as a state machine that takes the time as an argument. spec: data-plane 6

use super::{Identity, MAX_HANDSHAKE};
use crate::{CloseReason, DropReason};
use boringtun::{
    noise::{Tunn, TunnResult, errors::WireGuardError},
    x25519,
};
use model::{PresharedKey, PublicKey, limits::WIREGUARD_OVERHEAD};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use std::{
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long an initiation waits for its response, before jitter. spec: data-plane 6.3
const RETRY: Duration = Duration::from_secs(5);
/// Most jitter on top, in milliseconds.
const MAX_JITTER: u64 = 333;
/// How long handshakes may go unanswered.
const ATTEMPT_TIME: Duration = Duration::from_secs(15);
/// How exact WireGuard's own timers are while packets flow.
const TICK: Duration = Duration::from_secs(1);
/// The same when none do.
const QUIET_TICK: Duration = Duration::from_secs(10);
/// How many packets `boringtun` keeps for a session; it drops further ones.
const MAX_WAITING: usize = 256;
/// Wait before an overdue retry is asked for again.
const OVERDUE_RETRY: Duration = Duration::from_millis(50);

/// A message of WireGuard itself.
pub(crate) type HandshakeMessage = [u8; MAX_HANDSHAKE];

/// Outcome of [`Session::seal`].
#[derive(Debug)]
pub(crate) enum Sealed {
    /// The packet is encrypted in place; the message is as long as the packet plus [`WIREGUARD_OVERHEAD`].
    Data,
    /// There is no session.
    NoSession {
        /// Whether the packet waits inside; if not, too many do already.
        is_kept: bool,
        /// To be sent.
        initiation: Option<Box<HandshakeMessage>>,
    },
}

/// Outcome of [`Session::open`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// An IP packet, at the start of the buffer.
    Packet(usize),
    /// Something to send back, at the start of the buffer.
    Reply(usize),
    /// Nothing to do.
    Done,
    /// Nothing we can use.
    Dropped(DropReason),
}

/// Outcome of [`Session::tick`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    /// Something to send, at the start of the buffer.
    Send(usize),
    /// Nothing to do.
    Done,
    /// The session is beyond repair.
    Dead(CloseReason),
}

/// A handshake we started that is not done.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    started: Instant,
    retry_at: Instant,
}

/// The session with one peer.
pub(crate) struct Session {
    tunn: Tunn,
    attempt: Option<Attempt>,
    ticked: Instant,
    /// A session was confirmed at least once.
    established: bool,
    /// How many packets wait inside for a session.
    waiting: usize,
    last_handshake: Option<Instant>,
    jitter: ChaCha20Rng,
}

impl Session {
    pub(crate) fn new(
        identity: &Identity,
        peer: PublicKey,
        preshared_key: &PresharedKey,
        index: u32,
        jitter: ChaCha20Rng,
        now: Instant,
    ) -> Self {
        let tunn = Tunn::new(
            identity.private(),
            x25519::PublicKey::from(*peer.as_bytes()),
            Some(*preshared_key.expose()),
            None,
            index,
            Some(identity.limiter()),
        );
        Self {
            tunn,
            attempt: None,
            ticked: now,
            established: false,
            waiting: 0,
            last_handshake: None,
            jitter,
        }
    }

    /// Whether the first handshake is done.
    pub(crate) fn is_established(&self) -> bool {
        self.established
    }

    /// When the last handshake was done.
    pub(crate) fn last_handshake(&self) -> Option<Instant> {
        self.last_handshake
    }

    /// Encrypts `packet` into `buffer`, which is at least [`WIREGUARD_OVERHEAD`] bytes longer and has
    /// room for [`MAX_HANDSHAKE`] bytes.
    pub(crate) fn seal(&mut self, packet: &[u8], buffer: &mut [u8], now: Instant) -> Sealed {
        match self.tunn.encapsulate(packet, buffer) {
            TunnResult::WriteToNetwork(message) if is_initiation(message) => {
                let mut copy = Box::new([0; MAX_HANDSHAKE]);
                copy[..message.len()].copy_from_slice(message);
                self.note_initiation(now);
                Sealed::NoSession {
                    is_kept: self.note_waiting(),
                    initiation: Some(copy),
                }
            }
            TunnResult::WriteToNetwork(message)
                if message.len() == packet.len() + WIREGUARD_OVERHEAD =>
            {
                Sealed::Data
            }
            // Anything but this is a failure to start a handshake, which the buffer has room for.
            _ => Sealed::NoSession {
                is_kept: self.note_waiting(),
                initiation: None,
            },
        }
    }

    /// Takes a message of the peer apart; `buffer` holds the ciphertext of the longest message.
    pub(crate) fn open(
        &mut self,
        from: IpAddr,
        message: &[u8],
        buffer: &mut [u8],
        now: Instant,
    ) -> Opened {
        let kind = message.first().copied();
        let result = self.tunn.decapsulate(Some(from), message, buffer);
        let opened = match result {
            TunnResult::Done => Opened::Done,
            TunnResult::WriteToNetwork(reply) => Opened::Reply(reply.len()),
            TunnResult::WriteToTunnelV4(packet, _) => Opened::Packet(packet.len()),
            TunnResult::WriteToTunnelV6(packet, _) => Opened::Packet(packet.len()),
            TunnResult::Err(error) => return Opened::Dropped(reason(kind, &error)),
        };
        match kind {
            Some(1) => {
                // The peer's handshake takes the place of ours.
                self.attempt = None;
                self.last_handshake = Some(now);
            }
            Some(2) => {
                self.attempt = None;
                self.established = true;
                self.last_handshake = Some(now);
            }
            Some(4) => self.established = true,
            _ => {}
        }
        opened
    }

    /// How many packets wait inside for a session.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The next packet that waited inside for a session, encrypted; its length.
    pub(crate) fn poll_waiting(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if self.waiting == 0 || self.tunn.time_since_last_handshake().is_none() {
            return None;
        }
        match self.tunn.decapsulate(None, &[], buffer) {
            TunnResult::WriteToNetwork(message) => {
                self.waiting -= 1;
                Some(message.len())
            }
            _ => {
                self.waiting = 0;
                None
            }
        }
    }

    /// Starts a handshake, whatever else is under way; the length of the initiation.
    pub(crate) fn initiate(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        self.attempt = None;
        match self.tunn.format_handshake_initiation(buffer, true) {
            TunnResult::WriteToNetwork(message) => {
                let length = message.len();
                self.note_initiation(now);
                Some(length)
            }
            _ => None,
        }
    }

    /// Whether WireGuard's timers lag behind enough to be seen to before a packet is sent.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.ticked) >= TICK
    }

    /// Lets WireGuard's timers catch up with `now`.
    pub(crate) fn tick(&mut self, buffer: &mut [u8], now: Instant) -> Tick {
        self.ticked = now;
        if self
            .attempt
            .is_some_and(|attempt| now.saturating_duration_since(attempt.started) >= ATTEMPT_TIME)
        {
            return Tick::Dead(CloseReason::HandshakeTimeout);
        }
        match self.tunn.update_timers(buffer) {
            TunnResult::WriteToNetwork(message) => {
                let length = message.len();
                if is_initiation(message) {
                    self.note_initiation(now);
                }
                Tick::Send(length)
            }
            TunnResult::Err(WireGuardError::ConnectionExpired) => Tick::Dead(CloseReason::Expired),
            _ => {
                // The clock inside may be a little behind; ask again, but not in a busy loop.
                if let Some(attempt) = &mut self.attempt {
                    attempt.retry_at = attempt.retry_at.max(now + OVERDUE_RETRY);
                }
                Tick::Done
            }
        }
    }

    /// Whether an answer to a handshake is awaited.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.attempt.is_some()
    }

    /// When to call [`Self::tick`] for the handshake under way, if there is one.
    pub(crate) fn handshake_deadline(&self) -> Option<Instant> {
        let attempt = self.attempt?;
        Some(attempt.retry_at.min(attempt.started + ATTEMPT_TIME))
    }

    /// When to call [`Self::tick`] for WireGuard's other timers; more seldom when no packets flow.
    pub(crate) fn tick_deadline(&self, is_quiet: bool) -> Instant {
        self.ticked + if is_quiet { QUIET_TICK } else { TICK }
    }

    /// One more packet was given to `tunn` without a session; whether it had room for it.
    fn note_waiting(&mut self) -> bool {
        let is_kept = self.waiting < MAX_WAITING;
        self.waiting += usize::from(is_kept);
        is_kept
    }

    fn note_initiation(&mut self, now: Instant) {
        let jitter = Duration::from_millis(1 + self.jitter.next_u64() % MAX_JITTER);
        self.attempt = Some(Attempt {
            started: self.attempt.map_or(now, |attempt| attempt.started),
            retry_at: now + RETRY + jitter,
        });
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("attempt", &self.attempt)
            .field("established", &self.established)
            .finish_non_exhaustive()
    }
}

fn is_initiation(message: &[u8]) -> bool {
    message.len() == MAX_HANDSHAKE && message[0] == 1
}

/// Why a message was dropped, in our words.
fn reason(kind: Option<u8>, error: &WireGuardError) -> DropReason {
    match (kind, error) {
        (_, WireGuardError::DuplicateCounter | WireGuardError::InvalidCounter) => {
            DropReason::Replayed
        }
        (_, WireGuardError::NoCurrentSession | WireGuardError::WrongIndex) => {
            DropReason::UnknownSession
        }
        (Some(4), WireGuardError::InvalidPacket) => DropReason::MalformedInner,
        (Some(4), _) => DropReason::Undecryptable,
        _ => DropReason::BadHandshake,
    }
}

#[cfg(test)]
mod tests;
