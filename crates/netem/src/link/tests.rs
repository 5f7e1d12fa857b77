//! Each model is measured against what it promises.

use super::*;
use model::{Seed, SeedTree};

const COUNT: usize = 100_000;

fn link(config: LinkConfig) -> Link {
    let seeds = SeedTree::new(Seed::from_bytes([5; 32]));
    Link::new(config, seeds.stream("link"))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Sends datagrams at intervals; what became of each.
fn send_all(
    config: LinkConfig,
    count: usize,
    interval: Duration,
) -> Vec<Result<(Duration, usize), DropReason>> {
    let (mut link, start) = (link(config), Instant::now());
    let mut now = start;
    let sent = (0..count).map(|_| {
        let sent = link.send(100, now);
        let result = sent.map(|delivery| (delivery.at - now, delivery.copies));
        now += interval;
        result
    });
    sent.collect()
}

fn lost(config: LinkConfig) -> Vec<bool> {
    let sent = send_all(config, COUNT, ms(1));
    let lost = sent.into_iter().map(|sent| match sent {
        Ok(_) => false,
        Err(reason) => {
            assert_eq!(reason, DropReason::Lost);
            true
        }
    });
    lost.collect()
}

fn count(lost: &[bool]) -> usize {
    lost.iter().filter(|&&lost| lost).count()
}

/// How many losses in a row there were, each time there were any.
fn bursts(lost: &[bool]) -> Vec<usize> {
    let runs = lost.split(|&lost| !lost).map(<[bool]>::len);
    runs.filter(|&length| length > 0).collect()
}

#[test]
fn an_ideal_link_changes_nothing() {
    for sent in send_all(LinkConfig::default(), 100, Duration::ZERO) {
        assert_eq!(sent, Ok((Duration::ZERO, 1)));
    }
    assert!(
        link(LinkConfig::IDEAL)
            .send(1 << 20, Instant::now())
            .is_ok()
    );
}

#[test]
fn uniform_losses_have_their_share_and_come_alone() {
    for percent in [1, 10, 50] {
        let loss = Loss::Uniform(Share::percent(percent));
        let lost = lost(LinkConfig {
            loss,
            ..LinkConfig::IDEAL
        });
        let expected = COUNT * percent as usize / 100;
        let tolerance = COUNT / 200;
        let counted = count(&lost);
        assert!(counted.abs_diff(expected) < tolerance, "{counted}");
        // A burst goes on with the chance of a loss: its mean length is 1 / (1 - share).
        let bursts = bursts(&lost);
        let mean = counted as f64 / bursts.len() as f64;
        let expected = 1.0 / (1.0 - f64::from(percent) / 100.0);
        assert!((mean - expected).abs() < 0.05, "{mean}");
    }
}

#[test]
fn bursts_have_their_share_and_their_length() {
    for (enter, leave) in [(1, 25), (5, 50), (2, 10)] {
        let loss = Loss::Bursts {
            enter: Share::percent(enter),
            leave: Share::percent(leave),
            in_good: Share::NONE,
            in_bad: Share::ALL,
        };
        let lost = lost(LinkConfig {
            loss,
            ..LinkConfig::IDEAL
        });
        let share = count(&lost) as f64 / COUNT as f64;
        let expected = f64::from(enter) / f64::from(enter + leave);
        assert!((share - expected).abs() < 0.01, "{share} {expected}");
        let mean = count(&lost) as f64 / bursts(&lost).len() as f64;
        let expected = 100.0 / f64::from(leave);
        assert!((mean / expected - 1.0).abs() < 0.05, "{mean} {expected}");
    }
}

#[test]
fn both_states_of_the_burst_model_have_a_loss_of_their_own() {
    let loss = Loss::Bursts {
        enter: Share::percent(10),
        leave: Share::percent(10),
        in_good: Share::percent(5),
        in_bad: Share::percent(45),
    };
    let lost = lost(LinkConfig {
        loss,
        ..LinkConfig::IDEAL
    });
    let share = count(&lost) as f64 / COUNT as f64;
    assert!((share - 0.25).abs() < 0.01, "{share}");
}

#[test]
fn a_link_that_loses_all_loses_all_until_it_is_mended() {
    let mut link = link(LinkConfig {
        loss: Loss::All,
        ..LinkConfig::IDEAL
    });
    let now = Instant::now();
    for _ in 0..1000 {
        assert_eq!(link.send(1, now), Err(DropReason::Lost));
    }
    link.configure(LinkConfig::IDEAL);
    assert_eq!(link.send(1, now), Ok(Delivery { at: now, copies: 1 }));
}

#[test]
fn a_rate_spaces_datagrams_and_a_queue_delays_them() {
    // 100 bytes at 800,000 bits a second take 1 ms.
    let config = LinkConfig {
        rate: Some(800_000),
        delay: ms(10),
        ..LinkConfig::IDEAL
    };
    let at_once = send_all(config, 50, Duration::ZERO);
    for (n, sent) in (1..).zip(at_once) {
        assert_eq!(sent, Ok((ms(n + 10), 1)), "one after the other");
    }
    for sent in send_all(config, 50, ms(1)) {
        assert_eq!(sent, Ok((ms(1 + 10), 1)), "nothing waits at the exact rate");
    }
    let twice_as_fast = send_all(config, 50, Duration::from_micros(500));
    let last = twice_as_fast.last().copied();
    // The 50th leaves after 50 ms and came after 24.5 ms.
    let expected = Duration::from_micros(25_500) + ms(10);
    assert_eq!(last, Some(Ok((expected, 1))));
}

#[test]
fn a_rate_of_zero_is_none() {
    let config = LinkConfig {
        rate: Some(0),
        ..LinkConfig::IDEAL
    };
    assert_eq!(send_all(config, 1, ms(1)), [Ok((Duration::ZERO, 1))]);
}

#[test]
fn a_full_queue_drops_what_comes_and_empties_at_the_rate() {
    for bound in [Bound::Packets(5), Bound::Bytes(599)] {
        let mut link = link(LinkConfig {
            rate: Some(800_000),
            queue: bound,
            ..LinkConfig::IDEAL
        });
        let start = Instant::now();
        let mut accepted = |at: Duration, offered: usize| {
            let sent = (0..offered).map(|_| link.send(100, start + at));
            let results: Vec<_> = sent.collect();
            for result in &results {
                assert!(!matches!(result, Err(reason) if *reason != DropReason::QueueFull));
            }
            results.iter().filter(|result| result.is_ok()).count()
        };
        assert_eq!(accepted(ms(0), 20), 6, "one on its turn, five wait");
        assert_eq!(accepted(Duration::from_micros(999), 20), 0, "{bound:?}");
        assert_eq!(accepted(ms(1), 20), 1, "{bound:?}");
        assert_eq!(accepted(ms(3), 20), 2, "{bound:?}");
        assert_eq!(accepted(ms(100), 20), 6, "{bound:?}");
    }
}

#[test]
fn jitter_is_even_and_keeps_the_order() {
    let config = LinkConfig {
        delay: ms(20),
        jitter: ms(10),
        ..LinkConfig::IDEAL
    };
    // Far enough apart that none has to wait for the one before.
    let delays: Vec<f64> = send_all(config, 20_000, ms(11))
        .into_iter()
        .map(|sent| sent.unwrap().0.as_secs_f64() * 1000.0)
        .collect();
    assert!(delays.iter().all(|delay| (20.0..=30.0).contains(delay)));
    for tenth in 0..10 {
        let from = 20.0 + f64::from(tenth);
        let within = delays.iter().filter(|&&d| (from..from + 1.0).contains(&d));
        let share = within.count() as f64 / delays.len() as f64;
        assert!((share - 0.1).abs() < 0.01, "{tenth}: {share}");
    }

    let close = send_all(config, 20_000, Duration::from_micros(100));
    let arrivals: Vec<_> = (0..)
        .zip(close)
        .map(|(n, sent)| n * Duration::from_micros(100) + sent.unwrap().0)
        .collect();
    assert!(arrivals.is_sorted());
}

#[test]
fn reordered_datagrams_are_overtaken_and_the_others_keep_their_order() {
    let config = LinkConfig {
        delay: ms(10),
        reorder: Reorder {
            share: Share::percent(5),
            by: ms(7),
        },
        ..LinkConfig::IDEAL
    };
    let sent = send_all(config, COUNT, ms(1));
    let (late, in_time): (Vec<_>, Vec<_>) = sent
        .into_iter()
        .map(|sent| sent.unwrap().0)
        .partition(|&delay| delay != ms(10));
    assert!(late.iter().all(|&delay| delay == ms(17)));
    assert!(
        late.len().abs_diff(COUNT / 20) < COUNT / 200,
        "{}",
        late.len()
    );
    assert_eq!(late.len() + in_time.len(), COUNT);
}

#[test]
fn duplicates_have_their_share_and_come_together() {
    let config = LinkConfig {
        duplicate: Share::percent(20),
        ..LinkConfig::IDEAL
    };
    let sent = send_all(config, COUNT, ms(1));
    let twice = sent.into_iter().filter(|sent| match sent {
        Ok((delay, copies)) => {
            assert_eq!(*delay, Duration::ZERO);
            assert!((1..=2).contains(copies));
            *copies == 2
        }
        Err(reason) => panic!("{reason}"),
    });
    let twice = twice.count();
    assert!(twice.abs_diff(COUNT / 5) < COUNT / 200, "{twice}");
}

#[test]
fn larger_packets_than_the_mtu_do_not_pass() {
    let mut link = link(LinkConfig {
        mtu: 1400,
        rate: Some(8),
        ..LinkConfig::IDEAL
    });
    let now = Instant::now();
    assert_eq!(link.send(1401, now), Err(DropReason::TooLarge));
    let sent = link.send(1400, now).unwrap();
    assert_eq!(sent.at - now, Duration::from_secs(1400), "it took no turn");
}

#[test]
fn the_same_seed_gives_the_same_chance() {
    let config = LinkConfig {
        jitter: ms(5),
        loss: Loss::Uniform(Share::percent(10)),
        duplicate: Share::percent(10),
        ..LinkConfig::IDEAL
    };
    let sent = || send_all(config, 1000, ms(1));
    assert_eq!(sent(), sent());
}
