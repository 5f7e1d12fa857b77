//! Why packets go no further, and how often: one design for every machine that drops some.
//!
//! Dropping is ordinary. A reason is a value with a name that scripts may rely on; it is counted
//! where the packet is dropped, once, and never reported as an error.

use std::{fmt, marker::PhantomData};

/// A closed set of reasons for which packets are dropped. [`drop_reasons!`](crate::drop_reasons)
/// makes one.
///
/// A reason prints as its name for scripts and status pages: lower case with hyphens. Names may be
/// added; one that was published stays.
pub trait Reason: Copy + fmt::Display + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The place in [`Self::ALL`].
    fn index(self) -> usize;
}

/// How many packets were dropped, for each reason of a set.
#[derive(Clone, PartialEq, Eq)]
pub struct DropCounters<R> {
    /// One for each of `R::ALL`, in that order.
    counts: Box<[u64]>,
    reasons: PhantomData<R>,
}

impl<R: Reason> DropCounters<R> {
    /// Counts one packet. Does not allocate.
    pub fn count(&mut self, reason: R) {
        self.add(reason, 1);
    }

    /// Counts as many packets. Does not allocate.
    pub fn add(&mut self, reason: R, packets: usize) {
        let packets = u64::try_from(packets).unwrap_or(u64::MAX);
        let count = &mut self.counts[reason.index()];
        *count = count.saturating_add(packets);
    }

    /// How many were dropped for this reason.
    pub fn get(&self, reason: R) -> u64 {
        self.counts[reason.index()]
    }

    /// How many were dropped altogether.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Every reason that occurred, with its count, in the order of [`Reason::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (R, u64)> + '_ {
        let counted = R::ALL.iter().map(|&reason| (reason, self.get(reason)));
        counted.filter(|&(_, count)| count > 0)
    }
}

impl<R: Reason> Default for DropCounters<R> {
    fn default() -> Self {
        Self {
            counts: vec![0; R::ALL.len()].into(),
            reasons: PhantomData,
        }
    }
}

impl<R: Reason> fmt::Debug for DropCounters<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self
            .iter()
            .map(|(reason, count)| (reason.to_string(), count));
        f.debug_map().entries(named).finish()
    }
}

/// Makes an enum of reasons and implements [`Reason`] and `Display` (the name) for it.
///
/// ```
/// use model::DropCounters;
///
/// model::drop_reasons! {
///     /// Why a letter was not delivered.
///     pub enum LetterReason {
///         /// Nobody lives there.
///         NoAddressee => "no-addressee",
///         /// It weighs too much.
///         TooHeavy => "too-heavy",
///     }
/// }
///
/// let mut counters = DropCounters::default();
/// counters.count(LetterReason::TooHeavy);
/// assert_eq!(counters.iter().collect::<Vec<_>>(), [(LetterReason::TooHeavy, 1)]);
/// assert_eq!(LetterReason::TooHeavy.name(), "too-heavy");
/// ```
#[macro_export]
macro_rules! drop_reasons {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $set:ident {
            $($(#[$doc:meta])* $variant:ident => $name:literal,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        $visibility enum $set {
            $($(#[$doc])* $variant,)*
        }

        impl $crate::Reason for $set {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn index(self) -> usize {
                self as usize
            }
        }

        impl $set {
            /// The name for scripts and status pages.
            $visibility const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl ::std::fmt::Display for $set {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    drop_reasons! {
        /// For these tests.
        enum Example {
            /// One.
            First => "first",
            /// Another.
            Second => "second",
        }
    }

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let mut counters = DropCounters::default();
        assert_eq!((counters.total(), counters.iter().count()), (0, 0));
        for (index, &reason) in Example::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            counters.add(reason, index + 1);
        }
        let counted: Vec<_> = counters.iter().collect();
        assert_eq!(counted, [(Example::First, 1), (Example::Second, 2)]);
        assert_eq!(counters.total(), 3);
    }

    #[test]
    fn reasons_print_as_their_names() {
        let mut counters = DropCounters::default();
        counters.count(Example::Second);
        assert_eq!(Example::First.to_string(), "first");
        assert_eq!(format!("{counters:?}"), r#"{"second": 1}"#);
    }

    #[test]
    fn counters_stay_at_their_end() {
        let mut counters = DropCounters::default();
        counters.add(Example::First, usize::MAX);
        counters.add(Example::First, usize::MAX);
        assert_eq!(counters.get(Example::First), u64::MAX);
    }
}
