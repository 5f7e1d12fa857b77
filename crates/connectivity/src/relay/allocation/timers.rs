//! The timers of an allocation: one table says when each expires, and it arms and enforces them.

use super::{Allocation, KEEP_ALIVE, MIN_REFRESH};
use crate::{
    event::Wakeup,
    relay::{
        message::Request,
        request::{Due, Pending},
    },
};
use std::time::Instant;

/// What an allocation waits for. Of timers that expire at the same instant the first one here counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// A request is to be repeated or given up. spec: data-plane 4.5
    Request,
    /// The relay has dropped the allocation by now. RFC 8656 section 6
    Expiry,
    /// The allocation is to be refreshed. RFC 8656 section 8
    Refresh,
    /// The mapping of a NAT on the way to the relay is to be kept alive.
    KeepAlive,
    /// A channel may have to be bound again. RFC 8656 section 12
    ChannelRefresh,
}

impl Timer {
    const ALL: [Self; 5] = [
        Self::Request,
        Self::Expiry,
        Self::Refresh,
        Self::KeepAlive,
        Self::ChannelRefresh,
    ];

    /// What a wake-up for this timer is called in logs.
    const fn name(self) -> &'static str {
        match self {
            Self::Request => "relay request",
            Self::Expiry => "allocation expiry",
            Self::Refresh => "allocation refresh",
            Self::KeepAlive => "relay keep-alive",
            Self::ChannelRefresh => "channel refresh",
        }
    }
}

impl Allocation {
    /// When [`Self::handle_timeout`] is to be called, and why.
    pub(crate) fn deadline(&self) -> Option<Wakeup> {
        let wakeups = Timer::ALL.into_iter().filter_map(|timer| {
            let (at, why) = (self.expiry(timer)?, timer.name());
            Some(Wakeup { at, why })
        });
        wakeups.min_by_key(|wakeup| wakeup.at)
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(due) = self.outstanding.pop_due(now) {
            match due {
                Due::Retry(pending) => self.send(pending),
                Due::Expired(pending) => self.on_expired(&pending),
            }
        }
        let is_due = |timer| self.expiry(timer).is_some_and(|at| at <= now);
        let [is_expired, refresh, keep_alive] =
            [Timer::Expiry, Timer::Refresh, Timer::KeepAlive].map(is_due);
        let (Some(lease), Some(server)) = (self.lease.as_mut(), self.link.active) else {
            return;
        };
        if is_expired {
            self.restart(now);
            return;
        }
        if refresh {
            let rest = lease.expires_at.saturating_duration_since(now) / 2;
            lease.refresh_at = now + rest.max(MIN_REFRESH);
        }
        if keep_alive {
            lease.keep_alive_at = now + KEEP_ALIVE;
        }
        if refresh && !self.is_negotiating() {
            self.send(Pending::new(Request::Refresh, server, now));
        }
        if keep_alive && !self.is_binding(server) {
            self.send(Pending::new(Request::Binding, server, now));
        }
        while let Some((number, peer)) = self.channels.pop_refresh(now) {
            self.send_bind(number, peer, now);
        }
    }

    /// The table: when each timer expires; `None` while it does not run.
    fn expiry(&self, timer: Timer) -> Option<Instant> {
        match timer {
            Timer::Request => self.outstanding.deadline(),
            Timer::Expiry => Some(self.lease?.expires_at),
            Timer::Refresh => Some(self.lease?.refresh_at),
            Timer::KeepAlive => Some(self.lease?.keep_alive_at),
            Timer::ChannelRefresh => self.channels.deadline(),
        }
    }
}
