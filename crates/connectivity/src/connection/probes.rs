//! Checks to addresses that we keep nothing about until they answer.
//!
//! The transaction id of such a check says for which connection, between which two ends and when it
//! was sent, and nobody else can make one. An answer with the peer's integrity brings it back, and so
//! proves that the peer is reached at the address. However many addresses somebody makes up, nothing
//! is kept for them.

use super::transactions::CheckId;
use ring::hmac;
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// An answer counts in the period in which it was asked for, and in the next one.
const PERIOD: Duration = Duration::from_secs(10);
/// How many bytes of the id say for which connection it is.
const SLOT_BYTES: usize = 3;

/// Makes transaction ids, and recognizes them.
#[derive(Debug)]
pub(crate) struct Probes {
    key: hmac::Key,
    epoch: Instant,
}

impl Probes {
    /// Periods are counted from `epoch`.
    pub(crate) fn new(mut randomness: impl rand_core::Rng, epoch: Instant) -> Self {
        let mut secret = [0; 32];
        randomness.fill_bytes(&mut secret);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            epoch,
        }
    }

    /// The id of a check that the connection in `slot` sends now.
    pub(crate) fn id(
        &self,
        slot: usize,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> CheckId {
        let mut id = self.pad(local, remote, self.period(now));
        for (byte, of_slot) in id.iter_mut().zip(slot.to_le_bytes()).take(SLOT_BYTES) {
            *byte ^= of_slot;
        }
        id
    }

    /// The slot of the connection that sent the check with this id lately, between these ends.
    pub(crate) fn owner(
        &self,
        id: &CheckId,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Option<usize> {
        let period = self.period(now);
        [Some(period), period.checked_sub(1)]
            .into_iter()
            .flatten()
            .find_map(|period| {
                let pad = self.pad(local, remote, period);
                let mut slot = [0; size_of::<usize>()];
                for (byte, (a, b)) in slot.iter_mut().zip(pad.iter().zip(id)).take(SLOT_BYTES) {
                    *byte = a ^ b;
                }
                (pad[SLOT_BYTES..] == id[SLOT_BYTES..]).then_some(usize::from_le_bytes(slot))
            })
    }

    fn period(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs() / PERIOD.as_secs()
    }

    fn pad(&self, local: SocketAddr, remote: SocketAddr, period: u64) -> CheckId {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&period.to_be_bytes());
        for end in [local, remote] {
            match end.ip() {
                IpAddr::V4(ip) => context.update(&ip.octets()),
                IpAddr::V6(ip) => context.update(&ip.octets()),
            }
            context.update(&end.port().to_be_bytes());
        }
        let tag = context.sign();
        let mut pad = [0; size_of::<CheckId>()];
        let length = pad.len();
        pad.copy_from_slice(&tag.as_ref()[..length]);
        pad
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Seed, SeedTree};

    fn end(n: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], n))
    }

    fn probes(seed: u8, epoch: Instant) -> Probes {
        let seeds = SeedTree::new(Seed::from_bytes([seed; 32]));
        Probes::new(seeds.stream("probes"), epoch)
    }

    #[test]
    fn an_id_leads_back_to_its_connection_between_the_same_ends() {
        let now = Instant::now();
        let (probes, others) = (probes(1, now), probes(2, now));
        for slot in [0, 1, 255, 256, 0x00ab_cdef] {
            let id = probes.id(slot, end(1), end(2), now);
            assert_eq!(probes.owner(&id, end(1), end(2), now), Some(slot));
            for (local, remote) in [(end(2), end(1)), (end(1), end(3)), (end(3), end(2))] {
                assert_eq!(probes.owner(&id, local, remote, now), None);
            }
            let v6 = "[2001:db8::1]:2".parse().unwrap();
            assert_eq!(probes.owner(&id, end(1), v6, now), None);
            assert_eq!(others.owner(&id, end(1), end(2), now), None);
            for at in SLOT_BYTES..id.len() {
                let mut forged = id;
                forged[at] ^= 1;
                assert_eq!(probes.owner(&forged, end(1), end(2), now), None, "{at}");
            }
        }
    }

    #[test]
    fn an_id_is_good_for_this_period_and_the_next_one() {
        let epoch = Instant::now();
        let probes = probes(1, epoch);
        let after = |ms| epoch + Duration::from_millis(ms);
        for sent in [0, 9_999, 10_000, 25_000] {
            let id = probes.id(7, end(1), end(2), after(sent));
            let last = (sent / 10_000 + 2) * 10_000;
            for (at, is_good) in [(sent, true), (last - 1, true), (last, false)] {
                let owner = probes.owner(&id, end(1), end(2), after(at));
                assert_eq!(owner, is_good.then_some(7), "{sent} {at}");
            }
        }
        let later = probes.id(7, end(1), end(2), after(50_000));
        assert_eq!(probes.owner(&later, end(1), end(2), epoch), None);
    }
}
