//! What one datagram costs an end, in numbers that do not depend on the machine.

use crate::{
    lab::{Lab, Landed, Side},
    memory,
};
use connectivity::{Datagram, Ecn, Output, Received};
use std::{net::SocketAddr, ops::AddAssign};

/// What an end does about one datagram, at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cost {
    /// Datagrams sent, wherever to.
    pub(crate) datagrams: usize,
    /// Bytes in them.
    pub(crate) bytes: usize,
    /// Datagrams to where it came from.
    pub(crate) answers: usize,
    /// Bytes that are kept from now on.
    pub(crate) kept: i64,
    /// How often memory was taken: what work there is grows with it.
    pub(crate) allocations: u64,
}

impl Cost {
    /// The worse of both in each respect.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            datagrams: self.datagrams.max(other.datagrams),
            bytes: self.bytes.max(other.bytes),
            answers: self.answers.max(other.answers),
            kept: self.kept.max(other.kept),
            allocations: self.allocations.max(other.allocations),
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.datagrams += other.datagrams;
        self.bytes += other.bytes;
        self.answers += other.answers;
        self.kept += other.kept;
        self.allocations += other.allocations;
    }
}

/// Hands a datagram to one end and does all that is due. What it says reaches nobody.
pub(crate) fn of(lab: &mut Lab, side: Side, landed: &Landed) -> (Received, Cost) {
    let now = lab.now;
    let node = &mut lab.node(side).connectivity;
    let datagram = Datagram {
        local: landed.local,
        remote: landed.remote,
        ecn: Ecn::Ce,
        payload: &landed.payload,
    };
    let mut cost = Cost::default();
    let (kept, allocations) = (memory::kept(), memory::allocations());
    let received = node.handle_datagram(datagram, &mut [0; model::limits::MTU], now);
    node.handle_timeout(now);
    loop {
        match node.poll() {
            Output::Send(transmit) => {
                count(&mut cost, &transmit, landed.remote);
            }
            Output::Event(_) => {}
            Output::Idle(_) => break,
        }
    }
    cost.kept = memory::kept() - kept;
    cost.allocations = memory::allocations() - allocations;
    (received, cost)
}

fn count(cost: &mut Cost, transmit: &connectivity::Transmit, source: SocketAddr) {
    let datagrams = transmit.segments().count();
    cost.datagrams += datagrams;
    cost.bytes += transmit.payload().len();
    if transmit.destination == source {
        cost.answers += datagrams;
    }
}
