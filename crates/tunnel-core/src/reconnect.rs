//! How often the portal is to be connected anew for want of relays. spec: portal 4.6

use std::time::{Duration, Instant};

/// Shortest time between two reconnects; it doubles with each until relays come.
const FIRST_DELAY: Duration = Duration::from_secs(2);

/// Longest time between two reconnects that are wanted.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// When the portal may be connected anew again.
#[derive(Debug, Default)]
pub(crate) struct Reconnects {
    /// The time of the next one, and how long the one after has to wait.
    next: Option<(Instant, Duration)>,
}

impl Reconnects {
    /// A reconnect is wanted; says whether it may be now.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let delay = match self.next {
            Some((at, _)) if now < at => return false,
            Some((_, delay)) => delay,
            None => FIRST_DELAY,
        };
        self.next = Some((now + delay, (delay * 2).min(MAX_DELAY)));
        true
    }

    /// There are relays: the next time that none is usable is another matter.
    pub(crate) fn reset(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_reconnects_grows_until_relays_come() {
        let start = Instant::now();
        let mut reconnects = Reconnects::default();
        let mut begun = vec![];
        for second in 0..300 {
            if reconnects.begin(start + Duration::from_secs(second)) {
                begun.push(second);
            }
        }
        assert_eq!(begun, [0, 2, 6, 14, 30, 62, 122, 182, 242]);
        reconnects.reset();
        let later = start + Duration::from_secs(300);
        assert!(reconnects.begin(later) && !reconnects.begin(later));
    }
}
