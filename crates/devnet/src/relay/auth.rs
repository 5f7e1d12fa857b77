//! Who may use the relay. spec: data-plane 5.1, 5.3

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use ring::digest;
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use uuid::Uuid;
use zeroize::Zeroizing;

/// What clients and servers of this network call themselves.
pub(super) const REALM: &str = "firezone";

/// Requests that one nonce is good for.
const NONCE_USES: u32 = 100;

/// Nonces that are remembered; older ones are stale.
const MAX_NONCES: usize = 4096;

/// The password that belongs to a username, spec: data-plane 5.1.
pub fn password(expiry: &str, secret: &SecretString, salt: &str) -> Zeroizing<String> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [expiry, ":", secret.expose_secret(), ":", salt] {
        context.update(part.as_bytes());
    }
    Zeroizing::new(STANDARD_NO_PAD.encode(context.finish()))
}

/// Passwords and nonces.
pub(super) struct Authority {
    secret: SecretString,
    /// Uses left, by nonce.
    nonces: BTreeMap<Uuid, u32>,
    /// Nonces by age.
    order: VecDeque<Uuid>,
    rng: ChaCha20Rng,
}

impl Authority {
    pub(super) fn new(secret: SecretString, rng: ChaCha20Rng) -> Self {
        Self {
            secret,
            nonces: BTreeMap::new(),
            order: VecDeque::new(),
            rng,
        }
    }

    /// The password of `<expiry>:<salt>`; none if the username has another form.
    pub(super) fn password(&self, username: &str) -> Option<Zeroizing<String>> {
        let (expiry, salt) = username.split_once(':')?;
        (!salt.contains(':')).then(|| password(expiry, &self.secret, salt))
    }

    /// Whether the username is good for longer than `unix_now`.
    pub(super) fn is_current(username: &str, unix_now: Duration) -> bool {
        let expiry = username
            .split_once(':')
            .and_then(|(expiry, _)| expiry.parse::<u64>().ok());
        expiry.is_some_and(|expiry| expiry > unix_now.as_secs())
    }

    /// A nonce that nobody has used.
    pub(super) fn new_nonce(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        let nonce = uuid::Builder::from_random_bytes(bytes).into_uuid();
        if self.order.len() >= MAX_NONCES
            && let Some(oldest) = self.order.pop_front()
        {
            self.nonces.remove(&oldest);
        }
        self.nonces.insert(nonce, NONCE_USES);
        self.order.push_back(nonce);
        nonce
    }

    /// Uses a nonce once; says whether that was possible.
    pub(super) fn use_nonce(&mut self, nonce: Uuid) -> bool {
        match self.nonces.get_mut(&nonce) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}
