//! Messages that wait for the channel. spec: portal 4.4, 11

use std::collections::VecDeque;

/// How many messages wait; a session's candidates fit many times over.
const CAPACITY: usize = 256;

/// A bounded queue without duplicates that gives up its oldest entries first.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    queue: VecDeque<T>,
}

impl<T: PartialEq> Outbox<T> {
    pub(crate) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a message, unless an equal one waits already.
    pub(crate) fn hold(&mut self, message: T) {
        if self.queue.contains(&message) {
            return;
        }
        if self.queue.len() == CAPACITY {
            self.queue.pop_front();
            tracing::debug!(
                limit = CAPACITY,
                "Dropped the oldest message that waits for the portal"
            );
        }
        self.queue.push_back(message);
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        self.queue.pop_front()
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_equal_ones_do_not_come_twice() {
        let mut outbox = Outbox::new();
        for number in 0..CAPACITY + 10 {
            outbox.hold(number);
            outbox.hold(number);
        }
        let kept: Vec<_> = std::iter::from_fn(|| outbox.take()).collect();
        assert_eq!(kept, (10..CAPACITY + 10).collect::<Vec<_>>());
        assert!(outbox.is_empty());
    }
}
