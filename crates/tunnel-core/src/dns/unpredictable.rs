//! IDs and ports of queries, which nobody can guess who sees others. RFC 5452 section 9.2

use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;

/// Lowest of the ports that queries come from.
const FIRST_PORT: u16 = 49152;

/// An ID.
pub(crate) fn random_id(rng: &mut ChaCha20Rng) -> u16 {
    let [.., high, low] = rng.next_u32().to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// A port that is not taken; none if bad luck persists.
pub(crate) fn random_port(rng: &mut ChaCha20Rng, is_taken: impl Fn(u16) -> bool) -> Option<u16> {
    // Far fewer ports are taken than there are, so that a few draws are enough.
    (0..64).find_map(|_| {
        let port = FIRST_PORT | random_id(rng);
        (!is_taken(port)).then_some(port)
    })
}
