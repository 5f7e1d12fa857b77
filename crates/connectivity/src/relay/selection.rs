//! Which relay a connection gets: one of the near ones, at random. spec: data-plane 2.18

use model::RelayId;
use rand_core::Rng;
use std::time::Duration;

/// The least spread that is assumed between round trips.
const MIN_DEVIATION: Duration = Duration::from_millis(2);

/// One of the relays whose round trip is not much longer than the others'.
pub(crate) fn choose(measured: &[(RelayId, Duration)], rng: &mut impl Rng) -> Option<RelayId> {
    let limit = threshold(measured.iter().map(|&(_, rtt)| rtt).collect())?;
    let near: Vec<RelayId> = measured
        .iter()
        .filter(|&&(_, rtt)| rtt <= limit)
        .map(|&(id, _)| id)
        .collect();
    let count = u64::try_from(near.len()).ok().filter(|&count| count > 0)?;
    let index = usize::try_from(rng.next_u64() % count).ok()?;
    near.get(index).copied()
}

/// The longest round trip that still counts as near.
fn threshold(mut rtts: Vec<Duration>) -> Option<Duration> {
    rtts.sort_unstable();
    let nearest = *rtts.first()?;
    if rtts.len() <= 2 {
        return Some(nearest.mul_f64(1.5));
    }
    let middle = median(&rtts);
    let mut deviations: Vec<Duration> = rtts.iter().map(|rtt| rtt.abs_diff(middle)).collect();
    deviations.sort_unstable();
    Some(middle + 3 * median(&deviations).max(MIN_DEVIATION))
}

/// The middle of a sorted list that is not empty.
fn median(sorted: &[Duration]) -> Duration {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        (sorted[half - 1] + sorted[half]) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Seed, SeedTree};
    use std::collections::BTreeSet;

    fn millis(values: &[u64]) -> Vec<Duration> {
        values.iter().map(|&ms| Duration::from_millis(ms)).collect()
    }

    #[test]
    fn threshold_follows_the_spread() {
        for (rtts, limit) in [
            (&[][..], None),
            (&[20], Some(30)),
            (&[20, 25], Some(30)),
            (&[20, 500], Some(30)),
            (&[20, 21, 22], Some(21 + 6)),
            (&[10, 20, 30, 400], Some(25 + 30)),
            (&[10, 100, 110], Some(100 + 30)),
        ] {
            let limit = limit.map(Duration::from_millis);
            assert_eq!(threshold(millis(rtts)), limit, "{rtts:?}");
        }
    }

    #[test]
    fn every_near_relay_is_chosen_sometimes_and_no_far_one_ever() {
        let mut rng = SeedTree::new(Seed::from_bytes([1; 32])).stream("test");
        let relays: Vec<_> = millis(&[20, 22, 21, 300])
            .into_iter()
            .enumerate()
            .map(|(n, rtt)| (RelayId::from_bytes([u8::try_from(n).unwrap(); 16]), rtt))
            .collect();
        let chosen: BTreeSet<_> = (0..200).filter_map(|_| choose(&relays, &mut rng)).collect();
        let near: BTreeSet<_> = relays[..3].iter().map(|&(id, _)| id).collect();
        assert_eq!(chosen, near);
        assert_eq!(choose(&[], &mut rng), None);
    }
}
