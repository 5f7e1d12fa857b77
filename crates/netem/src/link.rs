//! One direction of a link: what it does to each datagram, and when that arrives.

use crate::{DropReason, Share};
use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How a link behaves. A datagram passes, in this order: MTU, queue, rate, loss, delay and jitter,
/// reordering, duplication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// Time from one end to the other, for each datagram.
    pub delay: Duration,
    /// Most time on top of that, drawn evenly for each datagram. It keeps the order: nothing arrives
    /// before what was sent earlier.
    pub jitter: Duration,
    /// Bits per second; `None` and zero mean any number of them.
    pub rate: Option<u64>,
    /// What may wait for its turn, beside the datagram whose turn it is. Nothing waits without a
    /// rate. What comes when the queue is full is dropped.
    pub queue: Bound,
    /// What is lost on the way, after its turn.
    pub loss: Loss,
    /// What arrives later than its turn.
    pub reorder: Reorder,
    /// How many arrive twice; the second copy follows at once.
    pub duplicate: Share,
    /// Largest IP packet in bytes.
    pub mtu: usize,
}

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Everything.
    None,
    /// This many datagrams.
    Packets(usize),
    /// IP packets of this many bytes together.
    Bytes(usize),
}

/// Which datagrams a link loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// None.
    None,
    /// Each with the same chance, whatever happened to others.
    Uniform(Share),
    /// The model of Gilbert and Elliott: the link is in a good or a bad state, and may change it with
    /// each datagram. With `in_good` of none and `in_bad` of all, a burst of losses has the mean
    /// length 1 / `leave`, and the share of losses is `enter` / (`enter` + `leave`).
    Bursts {
        /// How many datagrams in the good state are followed by the bad one.
        enter: Share,
        /// How many datagrams in the bad state are followed by the good one.
        leave: Share,
        /// How many are lost in the good state.
        in_good: Share,
        /// How many are lost in the bad state.
        in_bad: Share,
    },
    /// All of them.
    All,
}

/// Datagrams that others overtake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reorder {
    /// How many.
    pub share: Share,
    /// How much later each of them arrives.
    pub by: Duration,
}

impl Reorder {
    /// No datagram is overtaken.
    pub const NONE: Self = Self {
        share: Share::NONE,
        by: Duration::ZERO,
    };
}

impl LinkConfig {
    /// No limit, no delay, no loss.
    pub const IDEAL: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        rate: None,
        queue: Bound::None,
        loss: Loss::None,
        reorder: Reorder::NONE,
        duplicate: Share::NONE,
        mtu: usize::MAX,
    };

    /// Nothing but a delay.
    pub const fn delay(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::IDEAL
        }
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self::IDEAL
    }
}

/// When a datagram arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The instant.
    pub at: Instant,
    /// How many copies arrive then: one or two.
    pub copies: usize,
}

/// One direction of a link, with what waits for it.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    rng: ChaCha20Rng,
    /// What has not left yet: the instant at which it will have, and its size. The first one is on
    /// its turn, the others wait.
    leaving: VecDeque<(Instant, usize)>,
    /// When the last datagram arrives that was not overtaken.
    last_arrival: Option<Instant>,
    /// The state of [`Loss::Bursts`].
    is_bad: bool,
}

impl Link {
    /// An empty link.
    pub const fn new(config: LinkConfig, rng: ChaCha20Rng) -> Self {
        Self {
            config,
            rng,
            leaving: VecDeque::new(),
            last_arrival: None,
            is_bad: false,
        }
    }

    /// Replaces the behaviour, for what is sent from then on. What waits keeps its turn.
    pub fn configure(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// Sends an IP packet of this many bytes. Time must not go backwards.
    ///
    /// # Errors
    ///
    /// The packet does not arrive, and why.
    pub fn send(&mut self, bytes: usize, now: Instant) -> Result<Delivery, DropReason> {
        if bytes > self.config.mtu {
            return Err(DropReason::TooLarge);
        }
        let left = self.enqueue(bytes, now)?;
        if self.loses() {
            return Err(DropReason::Lost);
        }
        let LinkConfig {
            delay,
            jitter,
            reorder,
            duplicate,
            ..
        } = self.config;
        let exact = left + delay + self.even(jitter);
        let in_order = self.last_arrival.map_or(exact, |last| last.max(exact));
        let at = if reorder.share.draw(&mut self.rng) {
            in_order + reorder.by
        } else {
            self.last_arrival = Some(in_order);
            in_order
        };
        let copies = 1 + usize::from(duplicate.draw(&mut self.rng));
        Ok(Delivery { at, copies })
    }

    /// When the last bit of a packet has left, if there is room for the packet.
    fn enqueue(&mut self, bytes: usize, now: Instant) -> Result<Instant, DropReason> {
        while self.leaving.front().is_some_and(|&(at, _)| at <= now) {
            self.leaving.pop_front();
        }
        let Some(rate) = self.config.rate.filter(|&rate| rate > 0) else {
            return Ok(self.leaving.back().map_or(now, |&(at, _)| at));
        };
        let mut waiting = self.leaving.iter().skip(1).map(|&(_, bytes)| bytes);
        let is_busy = !self.leaving.is_empty();
        let is_full = match self.config.queue {
            Bound::None => false,
            Bound::Packets(most) => waiting.len() >= most,
            Bound::Bytes(most) => waiting.by_ref().sum::<usize>() + bytes > most,
        };
        if is_busy && is_full {
            return Err(DropReason::QueueFull);
        }
        let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
        let nanos = u128::from(bits) * 1_000_000_000 / u128::from(rate);
        let turn = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let start = self.leaving.back().map_or(now, |&(at, _)| at);
        let left = start + turn;
        self.leaving.push_back((left, bytes));
        Ok(left)
    }

    fn loses(&mut self) -> bool {
        match self.config.loss {
            Loss::None => false,
            Loss::All => true,
            Loss::Uniform(share) => share.draw(&mut self.rng),
            Loss::Bursts {
                enter,
                leave,
                in_good,
                in_bad,
            } => {
                let (lost, change) = if self.is_bad {
                    (in_bad, leave)
                } else {
                    (in_good, enter)
                };
                let is_lost = lost.draw(&mut self.rng);
                self.is_bad ^= change.draw(&mut self.rng);
                is_lost
            }
        }
    }

    /// A time between zero and `most`.
    fn even(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.rng.next_u64() % (nanos + 1))
    }
}

#[cfg(test)]
mod tests;
