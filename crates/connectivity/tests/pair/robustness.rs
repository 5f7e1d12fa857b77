//! Whatever comes from the network or the portal: no panic, no endless work, no lost connection.

use crate::{
    cost::{self, Cost},
    lab::{Lab, Landed, Side},
};
use connectivity::{Output, Received};
use model::{Candidate, CandidateKind};
use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};
use std::{cell::RefCell, net::SocketAddr};

/// What is done to a datagram that was good once.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Truncate(Index),
    Extend(Vec<u8>),
    From(SocketAddr),
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
        Just(SocketAddr::from(([198, 51, 100, 1], 3478))),
        Just(SocketAddr::from(([198, 51, 100, 2], 3478))),
        Just(SocketAddr::from(([203, 0, 113, 2], 40_001))),
    ]
}

/// Bytes that look like something: the first one decides what is tried.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![
        Just(vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]),
        Just(vec![1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42]),
        Just(vec![1, 0, 0, 0]),
        Just(vec![2, 0, 0, 0]),
        Just(vec![3, 0, 0, 0]),
        Just(vec![4, 0, 0, 0]),
        Just(vec![0x40, 0, 0, 20]),
        Just(vec![]),
    ];
    (kinds, vec(any::<u8>(), 0..1400)).prop_map(|(kind, rest)| [kind, rest].concat())
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), 1..=255u8).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        any::<Index>().prop_map(Damage::Truncate),
        vec(any::<u8>(), 1..40).prop_map(Damage::Extend),
        any_address().prop_map(Damage::From),
    ]
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    let kinds = prop_oneof![
        Just(CandidateKind::Host),
        Just(CandidateKind::PeerReflexive),
        Just(CandidateKind::Relay),
        Just(CandidateKind::ServerReflexive),
    ];
    (
        any_address(),
        kinds,
        any::<u32>(),
        proptest::option::of(any_address()),
    )
        .prop_map(|(address, kind, priority, base)| Candidate {
            foundation: "1".to_owned(),
            priority,
            address,
            kind,
            base,
            ufrag: None,
        })
}

/// The sum of what datagrams cost, and the most that one of them did.
#[derive(Debug, Default)]
struct Bill {
    total: Cost,
    worst: Cost,
}

impl Bill {
    /// Hands a datagram to an end, and notes what it costs.
    fn hand_over(&mut self, lab: &mut Lab, side: Side, landed: &Landed) {
        let dropped = |lab: &mut Lab| lab.node(side).connectivity.counters().total();
        let before = dropped(lab);
        let (received, cost) = cost::of(lab, side, landed);
        let counted = dropped(lab) - before;
        let expected = u64::from(matches!(received, Received::Dropped(_)));
        assert_eq!(counted, expected, "counted once: {received:?}");
        self.total += cost;
        self.worst = self.worst.max(cost);
    }

    /// One datagram draws an answer and what it makes possible, takes a bounded amount of work, and all
    /// of them together leave no more behind than the tables hold.
    fn check(&self) {
        assert!(self.worst.datagrams <= 3, "{self:?}");
        assert!(self.worst.allocations <= 100, "{self:?}");
        assert!(self.total.kept <= 32 * 1024, "{self:?}");
    }
}

fn runner() -> TestRunner {
    let config = Config {
        cases: 3000,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
}

fn connected() -> RefCell<Lab> {
    let mut lab = Lab::direct();
    lab.connect();
    lab.deliver_all();
    RefCell::new(lab)
}

#[test]
fn arbitrary_datagrams_never_panic_and_leave_nothing_behind() {
    let (lab, bill) = (connected(), RefCell::new(Bill::default()));
    let case = (any_address(), any_address(), any_payload());
    let result = runner().run(&case, |(local, remote, payload)| {
        let landed = Landed {
            local,
            remote,
            payload,
        };
        for side in Side::BOTH {
            let mut bill = bill.borrow_mut();
            bill.hand_over(&mut lab.borrow_mut(), side, &landed);
        }
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    bill.borrow().check();
    lab.borrow_mut().ping();
}

#[test]
fn damaged_datagrams_never_panic_and_leave_nothing_behind() {
    let (lab, bill) = (connected(), RefCell::new(Bill::default()));
    let case = (any::<Index>(), vec(any_damage(), 1..4));
    let result = runner().run(&case, |(which, damages)| {
        for side in Side::BOTH {
            let mut lab = lab.borrow_mut();
            let arrived = &lab.node(side).arrived;
            let mut landed = arrived[which.index(arrived.len())].clone();
            for damage in &damages {
                let payload = &mut landed.payload;
                match damage {
                    Damage::Flip(at, mask) if !payload.is_empty() => {
                        let at = at.index(payload.len());
                        payload[at] ^= mask;
                    }
                    Damage::Flip(..) => {}
                    Damage::Truncate(at) => payload.truncate(at.index(payload.len() + 1)),
                    Damage::Extend(bytes) => payload.extend_from_slice(bytes),
                    Damage::From(address) => landed.remote = *address,
                }
            }
            bill.borrow_mut().hand_over(&mut lab, side, &landed);
        }
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    bill.borrow().check();
    lab.borrow_mut().ping();
}

#[test]
fn arbitrary_candidates_never_panic_and_cause_bounded_work() {
    let lab = connected();
    let result = runner().run(&(any_candidate(), any::<bool>()), |(candidate, add)| {
        for side in Side::BOTH {
            let mut lab = lab.borrow_mut();
            let now = lab.now;
            let node = &mut lab.node(side).connectivity;
            if add {
                node.add_remote_candidate(side.peer(), &candidate, now);
            } else {
                node.remove_remote_candidate(side.peer(), &candidate, now);
            }
            let mut outputs = 0;
            while !matches!(node.poll(), Output::Idle(_)) {
                outputs += 1;
                assert!(outputs < 1000, "no end of output");
            }
        }
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    for side in Side::BOTH {
        assert!(
            lab.borrow_mut()
                .node(side)
                .connectivity
                .has_peer(side.peer())
        );
    }
}
