//! Channels of one allocation: which number stands for which peer. spec: data-plane 4.6

use model::PeerId;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The first number handed out.
const FIRST: u16 = 0x4000;
/// The last number handed out; the next one is the first again.
const LAST: u16 = 0x4FFF;
/// How long the relay forwards after it confirmed.
const LIFETIME: Duration = Duration::from_secs(600);
/// From this age on a used channel is bound again.
const REFRESH_AFTER: Duration = Duration::from_secs(300);
/// How long number and peer stay tied to each other at the relay.
const RESERVED: Duration = Duration::from_secs(900);
/// How often a channel that is old enough is looked at for use.
const RECHECK: Duration = Duration::from_secs(30);
/// How many numbers one peer may take, those included that are not free yet after use. All numbers are
/// enough for 128 peers that take all they can.
const SHARE: usize = 32;

/// One number and its peer.
#[derive(Debug)]
struct Channel {
    peer: SocketAddr,
    /// In whose share the number is.
    owner: PeerId,
    /// When the relay last confirmed it; `None` until the first time.
    confirmed: Option<Instant>,
    /// A bind is on its way.
    in_flight: bool,
    /// Data came in since it was last bound.
    received: bool,
    /// The peers that may still be at the address; each withdraws it for itself alone.
    wanted_by: BTreeSet<PeerId>,
    /// When to look whether it needs a refresh.
    check_at: Option<Instant>,
}

impl Channel {
    fn is_live(&self, now: Instant) -> bool {
        self.confirmed.is_some_and(|at| now < at + LIFETIME)
    }

    fn is_wanted(&self) -> bool {
        !self.wanted_by.is_empty()
    }

    /// Whether the number may stand for another peer.
    fn is_free(&self, now: Instant) -> bool {
        match self.confirmed {
            Some(at) => {
                let is_kept = self.received && self.is_wanted();
                !self.in_flight && !is_kept && now >= at + RESERVED
            }
            None => !self.in_flight,
        }
    }
}

/// All channels of an allocation.
#[derive(Debug)]
pub(crate) struct Channels {
    by_number: BTreeMap<u16, Channel>,
    by_peer: BTreeMap<SocketAddr, u16>,
    /// The numbers in each peer's share.
    shares: BTreeMap<PeerId, Vec<u16>>,
    next: u16,
}

impl Channels {
    pub(crate) const fn new() -> Self {
        Self {
            by_number: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            shares: BTreeMap::new(),
            next: FIRST,
        }
    }

    /// The number to bind for the address `peer` now; `None` if that is under way or not needed, or if
    /// all numbers in the share of `owner` are taken, or all there are.
    pub(crate) fn bind(&mut self, peer: SocketAddr, owner: PeerId, now: Instant) -> Option<u16> {
        if let Some((number, channel)) = self.of_peer(peer) {
            channel.wanted_by.insert(owner);
            if channel.in_flight || channel.is_live(now) {
                return None;
            }
            channel.in_flight = true;
            return Some(number);
        }
        if self.used_by(owner, now) >= SHARE {
            return None;
        }
        let number = self.next_free(now)?;
        self.forget(number);
        self.by_peer.insert(peer, number);
        let channel = Channel {
            peer,
            owner,
            confirmed: None,
            in_flight: true,
            received: false,
            wanted_by: BTreeSet::from([owner]),
            check_at: None,
        };
        self.by_number.insert(number, channel);
        self.shares.entry(owner).or_default().push(number);
        self.next = if number == LAST { FIRST } else { number + 1 };
        Some(number)
    }

    /// `owner` is no longer at this address. If nobody else is, its number is not kept beyond the time
    /// that the relay reserves it.
    pub(crate) fn release(&mut self, peer: SocketAddr, owner: PeerId) {
        if let Some((_, channel)) = self.of_peer(peer) {
            channel.wanted_by.remove(&owner);
        }
    }

    /// `owner` is nowhere any more.
    pub(crate) fn release_all(&mut self, owner: PeerId) {
        for channel in self.by_number.values_mut() {
            channel.wanted_by.remove(&owner);
        }
    }

    /// In whose share the number for this address is.
    pub(crate) fn owner_of(&self, peer: SocketAddr) -> Option<PeerId> {
        let number = self.by_peer.get(&peer)?;
        Some(self.by_number.get(number)?.owner)
    }

    /// The relay accepted a bind. Returns the peer the channel is for.
    pub(crate) fn confirm(&mut self, number: u16, now: Instant) -> Option<SocketAddr> {
        let channel = self.by_number.get_mut(&number)?;
        channel.confirmed = Some(now);
        channel.in_flight = false;
        channel.received = false;
        channel.check_at = Some(now + REFRESH_AFTER);
        Some(channel.peer)
    }

    /// The relay refused a bind, or never answered.
    pub(crate) fn forget(&mut self, number: u16) {
        if let Some(channel) = self.by_number.remove(&number) {
            self.by_peer.remove(&channel.peer);
            if let Some(share) = self.shares.get_mut(&channel.owner) {
                share.retain(|taken| *taken != number);
            }
        }
    }

    /// The number to send to `peer` on: one that is bound, or about to be.
    ///
    /// The relay handles our messages in order, so what follows a bind finds it done.
    pub(crate) fn number_for(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let number = *self.by_peer.get(&peer)?;
        let channel = self.by_number.get(&number)?;
        (channel.in_flight || channel.is_live(now)).then_some(number)
    }

    /// The peer whose data arrives on `number`; only on a confirmed channel.
    pub(crate) fn receive_on(&mut self, number: u16, now: Instant) -> Option<SocketAddr> {
        let channel = self.by_number.get_mut(&number)?;
        if !channel.is_live(now) {
            return None;
        }
        channel.received = true;
        Some(channel.peer)
    }

    /// Takes one channel that is due for a refresh, as number and peer.
    pub(crate) fn pop_refresh(&mut self, now: Instant) -> Option<(u16, SocketAddr)> {
        for (&number, channel) in &mut self.by_number {
            if channel.check_at.is_none_or(|at| at > now) {
                continue;
            }
            let is_live = channel.is_live(now);
            channel.check_at = is_live.then_some(now + RECHECK);
            if is_live && channel.received && channel.is_wanted() && !channel.in_flight {
                channel.in_flight = true;
                return Some((number, channel.peer));
            }
        }
        None
    }

    /// When to look at the next channel.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.by_number
            .values()
            .filter_map(|channel| channel.check_at)
            .min()
    }

    /// Forgets all channels; numbers go on from where they were.
    pub(crate) fn clear(&mut self) {
        self.by_number.clear();
        self.by_peer.clear();
        self.shares.clear();
    }

    fn of_peer(&mut self, peer: SocketAddr) -> Option<(u16, &mut Channel)> {
        let number = *self.by_peer.get(&peer)?;
        Some((number, self.by_number.get_mut(&number)?))
    }

    /// How many numbers in the share of `owner` are taken; the others are given back.
    fn used_by(&mut self, owner: PeerId, now: Instant) -> usize {
        let Some(share) = self.shares.get(&owner) else {
            return 0;
        };
        let is_free = |number: &u16| {
            let channel = self.by_number.get(number);
            channel.is_none_or(|channel| channel.is_free(now))
        };
        let free: Vec<u16> = share.iter().copied().filter(is_free).collect();
        let used = share.len() - free.len();
        for number in free {
            self.forget(number);
        }
        if used == 0 {
            self.shares.remove(&owner);
        }
        used
    }

    fn next_free(&self, now: Instant) -> Option<u16> {
        (self.next..=LAST).chain(FIRST..self.next).find(|number| {
            self.by_number
                .get(number)
                .is_none_or(|channel| channel.is_free(now))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const OWNER: PeerId = PeerId::from_bytes([255; 16]);

    fn owner(n: usize) -> PeerId {
        PeerId::from_bytes([u8::try_from(n).unwrap(); 16])
    }

    /// Every number is bound, in shares as large as they can be.
    fn full(now: Instant) -> Channels {
        let mut channels = Channels::new();
        for (offset, number) in (FIRST..=LAST).enumerate() {
            let port = u16::try_from(offset).unwrap() + 1;
            let bound = channels.bind(peer(port), owner(offset / SHARE), now);
            assert_eq!(bound, Some(number));
            channels.confirm(number, now);
        }
        channels
    }

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn numbers_are_sequential_and_wrap() {
        let now = Instant::now();
        let mut channels = full(now);
        assert_eq!(
            channels.bind(peer(60_000), owner(200), now),
            None,
            "all are taken"
        );
        let later = now + RESERVED;
        assert_eq!(channels.bind(peer(60_000), owner(200), later), Some(FIRST));
        assert_eq!(channels.number_for(peer(1), later), None);
        assert_eq!(
            channels.bind(peer(60_001), owner(200), later),
            Some(FIRST + 1)
        );
    }

    #[test]
    fn a_share_is_32_numbers_so_that_all_do_for_128_peers() {
        let now = Instant::now();
        let channels = full(now);
        assert_eq!(channels.shares.len(), 128);
        assert_eq!(channels.by_number.len(), 4096);
    }

    #[test]
    fn a_peer_gets_its_share_back_when_the_relay_reserves_it_no_longer() {
        let start = Instant::now();
        let mut channels = Channels::new();
        for port in 1..=32 {
            assert!(channels.bind(peer(port), OWNER, start).is_some(), "{port}");
        }
        assert_eq!(channels.bind(peer(33), OWNER, start), None);
        assert!(
            channels.bind(peer(34), owner(7), start).is_some(),
            "another"
        );
        assert_eq!(channels.bind(peer(1), OWNER, start), None, "under way");
        // The relay refuses one of them: it counts no more.
        channels.forget(FIRST);
        assert!(channels.bind(peer(33), OWNER, start).is_some());
        assert_eq!(channels.bind(peer(1), OWNER, start), None);

        for number in FIRST..=LAST {
            channels.confirm(number, start);
        }
        for port in 2..=33 {
            channels.release(peer(port), OWNER);
        }
        let almost = start + RESERVED - SECOND;
        assert_eq!(channels.bind(peer(50), OWNER, almost), None);
        for port in 50..82 {
            let number = channels.bind(peer(port), OWNER, start + RESERVED);
            assert!(number.is_some(), "{port}");
        }
        assert_eq!(channels.bind(peer(82), OWNER, start + RESERVED), None);
        assert_eq!(channels.number_for(peer(2), start), None);
        channels.clear();
        assert!(channels.shares.is_empty());
    }

    #[test]
    fn a_peer_withdraws_an_address_for_itself_alone() {
        for (withdraws, is_kept) in [
            (&[7][..], true),
            (&[8], true),
            (&[9], true),
            (&[7, 8], false),
        ] {
            let now = Instant::now();
            let mut channels = Channels::new();
            assert_eq!(channels.bind(peer(1), owner(7), now), Some(FIRST));
            assert_eq!(channels.bind(peer(1), owner(8), now), None);
            channels.confirm(FIRST, now);
            channels.receive_on(FIRST, now);
            for n in withdraws {
                channels.release(peer(1), owner(*n));
            }
            let refresh = channels.pop_refresh(now + REFRESH_AFTER);
            assert_eq!(refresh.is_some(), is_kept, "{withdraws:?}");
            channels.release_all(owner(7));
            channels.release_all(owner(8));
            assert!(channels.by_number[&FIRST].wanted_by.is_empty());
        }
    }

    #[test]
    fn a_released_channel_is_not_kept_however_much_comes_in() {
        for (released, bound_again) in [(false, false), (true, false), (true, true)] {
            let now = Instant::now();
            let mut channels = Channels::new();
            channels.bind(peer(1), OWNER, now);
            channels.confirm(FIRST, now);
            channels.receive_on(FIRST, now);
            if released {
                channels.release(peer(1), OWNER);
            }
            if bound_again {
                assert_eq!(channels.bind(peer(1), OWNER, now), None, "it is there");
            }
            let is_kept = !released || bound_again;
            let refresh = channels.pop_refresh(now + REFRESH_AFTER);
            assert_eq!(refresh.is_some(), is_kept, "{released} {bound_again}");
            let later = now + RESERVED;
            channels.next = FIRST;
            let number = channels.bind(peer(2), OWNER, later);
            let expected = if is_kept { FIRST + 1 } else { FIRST };
            assert_eq!(number, Some(expected), "{released} {bound_again}");
        }
    }

    #[test]
    fn a_peer_has_one_channel_and_one_bind_at_a_time() {
        let now = Instant::now();
        let mut channels = Channels::new();
        assert_eq!(channels.bind(peer(1), OWNER, now), Some(0x4000));
        assert_eq!(channels.bind(peer(1), OWNER, now), None, "in flight");
        channels.confirm(0x4000, now);
        assert_eq!(channels.bind(peer(1), OWNER, now), None, "bound");
        assert_eq!(channels.bind(peer(2), OWNER, now), Some(0x4001));
    }

    #[test]
    fn a_channel_is_used_while_its_bind_is_in_flight_but_only_for_sending() {
        let now = Instant::now();
        let mut channels = Channels::new();
        channels.bind(peer(1), OWNER, now);
        assert_eq!(channels.number_for(peer(1), now), Some(0x4000));
        assert_eq!(channels.receive_on(0x4000, now), None);
        channels.confirm(0x4000, now);
        assert_eq!(channels.receive_on(0x4000, now), Some(peer(1)));
        assert_eq!(channels.receive_on(0x4001, now), None);
    }

    #[test]
    fn a_channel_dies_after_ten_minutes_and_comes_back_with_its_number() {
        let now = Instant::now();
        let mut channels = Channels::new();
        channels.bind(peer(1), OWNER, now);
        channels.confirm(0x4000, now);
        let alive = now + LIFETIME - SECOND;
        assert_eq!(channels.number_for(peer(1), alive), Some(0x4000));
        let dead = now + LIFETIME;
        assert_eq!(channels.number_for(peer(1), dead), None);
        assert_eq!(channels.receive_on(0x4000, dead), None);
        assert_eq!(channels.bind(peer(1), OWNER, dead), Some(0x4000));
    }

    #[test]
    fn numbers_pass_to_another_peer_only_after_the_cooldown_and_unused() {
        for (age, used, passes) in [
            (LIFETIME, false, false),
            (RESERVED - SECOND, false, false),
            (RESERVED, true, false),
            (RESERVED, false, true),
        ] {
            let now = Instant::now();
            let mut channels = Channels::new();
            channels.bind(peer(1), OWNER, now);
            channels.confirm(0x4000, now);
            if used {
                channels.receive_on(0x4000, now);
            }
            channels.next = FIRST;
            let number = channels.bind(peer(2), OWNER, now + age);
            let expected = if passes { 0x4000 } else { 0x4001 };
            assert_eq!(number, Some(expected), "{age:?} {used}");
        }
    }

    #[test]
    fn only_used_channels_are_refreshed_after_five_minutes() {
        for used in [false, true] {
            let now = Instant::now();
            let mut channels = Channels::new();
            channels.bind(peer(1), OWNER, now);
            channels.confirm(0x4000, now);
            if used {
                channels.receive_on(0x4000, now);
            }
            assert_eq!(channels.pop_refresh(now + REFRESH_AFTER - SECOND), None);
            let due = channels.deadline().unwrap();
            assert_eq!(due, now + REFRESH_AFTER);
            let expected = used.then_some((0x4000, peer(1)));
            assert_eq!(channels.pop_refresh(due), expected);
            assert_eq!(channels.pop_refresh(due), None);

            channels.confirm(0x4000, due);
            assert!(
                channels
                    .number_for(peer(1), due + LIFETIME - SECOND)
                    .is_some()
            );
        }
    }

    #[test]
    fn a_channel_first_used_late_is_refreshed_late() {
        let now = Instant::now();
        let mut channels = Channels::new();
        channels.bind(peer(1), OWNER, now);
        channels.confirm(0x4000, now);
        assert_eq!(channels.pop_refresh(now + REFRESH_AFTER), None);
        let next = channels.deadline().unwrap();
        channels.receive_on(0x4000, next);
        assert_eq!(channels.pop_refresh(next), Some((0x4000, peer(1))));
    }

    #[test]
    fn refused_channels_are_forgotten() {
        let now = Instant::now();
        let mut channels = Channels::new();
        channels.bind(peer(1), OWNER, now);
        channels.forget(0x4000);
        assert_eq!(channels.number_for(peer(1), now), None);
        assert_eq!(channels.bind(peer(1), OWNER, now), Some(0x4001));
        channels.clear();
        assert_eq!(channels.number_for(peer(1), now), None);
        assert_eq!(channels.deadline(), None);
    }
}
