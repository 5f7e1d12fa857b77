//! Who we are: a key pair that lives in memory only. spec: data-plane 2.1

use super::MAX_HANDSHAKE;
use crate::DropReason;
use boringtun::{
    noise::{
        Packet, TunnResult, errors::WireGuardError, handshake::parse_handshake_anon,
        rate_limiter::RateLimiter,
    },
    x25519,
};
use model::{PublicKey, SeedTree};
use rand_core::Rng as _;
use std::{fmt, net::IpAddr, sync::Arc};
use zeroize::Zeroizing;

/// Handshakes a second before others have to prove their address. spec: data-plane 6.1
const HANDSHAKES_PER_SECOND: u64 = 100;

/// A handshake message with a valid first MAC.
pub(crate) enum Handshake {
    /// An initiation by the owner of this key.
    Initiation(PublicKey),
    /// A response for this session.
    Response(u32),
}

/// Our key pair, with the limiter that all sessions of it share.
pub(crate) struct Identity {
    private: x25519::StaticSecret,
    public: x25519::PublicKey,
    limiter: RateLimiter,
    /// What sessions get: messages are counted once, before we know whose they are.
    unlimited: Arc<RateLimiter>,
}

impl Identity {
    /// A fresh key from the seed.
    pub(crate) fn new(seeds: &SeedTree) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        seeds.stream("private key").fill_bytes(bytes.as_mut());
        let private = x25519::StaticSecret::from(*bytes);
        let public = x25519::PublicKey::from(&private);
        Self {
            limiter: RateLimiter::new(&public, HANDSHAKES_PER_SECOND),
            unlimited: Arc::new(RateLimiter::new(&public, u64::MAX)),
            private,
            public,
        }
    }

    /// The public key.
    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.public.to_bytes())
    }

    pub(super) fn private(&self) -> x25519::StaticSecret {
        self.private.clone()
    }

    pub(super) fn limiter(&self) -> Arc<RateLimiter> {
        Arc::clone(&self.unlimited)
    }

    /// Finds out whose handshake message this is.
    ///
    /// When there are too many, the error comes with a cookie for the sender.
    pub(crate) fn inspect(
        &self,
        from: IpAddr,
        message: &[u8],
    ) -> Result<Handshake, (DropReason, Option<Vec<u8>>)> {
        let mut cookie = [0; MAX_HANDSHAKE];
        self.limiter.reset_count();
        let packet = match self.limiter.verify_packet(Some(from), message, &mut cookie) {
            Ok(packet) => packet,
            Err(TunnResult::WriteToNetwork(cookie)) => {
                return Err((DropReason::RateLimited, Some(cookie.to_vec())));
            }
            Err(TunnResult::Err(WireGuardError::InvalidMac)) => {
                return Err((DropReason::BadMac, None));
            }
            Err(_) => return Err((DropReason::Unrecognized, None)),
        };
        match packet {
            Packet::HandshakeInit(initiation) => {
                let half = parse_handshake_anon(&self.private, &self.public, &initiation)
                    .map_err(|_| (DropReason::BadHandshake, None))?;
                let key = PublicKey::from_bytes(half.peer_static_public);
                Ok(Handshake::Initiation(key))
            }
            Packet::HandshakeResponse(response) => Ok(Handshake::Response(response.receiver_idx)),
            Packet::PacketCookieReply(_) | Packet::PacketData(_) => {
                Err((DropReason::Unrecognized, None))
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.public_key()).finish()
    }
}
