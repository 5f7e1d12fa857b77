//! Network address translation of one household, for both kinds that matter.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NatKind {
    /// One outside port for every inside socket; lets in whoever was sent to.
    Cone,
    /// Another outside port for every destination.
    Symmetric,
}

#[derive(Debug)]
pub(crate) struct Nat {
    kind: NatKind,
    outside: Ipv4Addr,
    next_port: u16,
    mappings: BTreeMap<(SocketAddr, Option<SocketAddr>), u16>,
    inside: BTreeMap<u16, SocketAddr>,
    sent: BTreeSet<(u16, SocketAddr)>,
}

impl Nat {
    pub(crate) fn new(kind: NatKind, outside: Ipv4Addr) -> Self {
        Self {
            kind,
            outside,
            next_port: 40_000,
            mappings: BTreeMap::new(),
            inside: BTreeMap::new(),
            sent: BTreeSet::new(),
        }
    }

    pub(crate) fn owns(&self, address: SocketAddr) -> bool {
        address.ip() == self.outside
    }

    /// Forgets every mapping, as when a router restarts; ports go on from where they were.
    pub(crate) fn forget(&mut self) {
        self.mappings.clear();
        self.inside.clear();
        self.sent.clear();
    }

    pub(crate) fn outbound(&mut self, from: SocketAddr, to: SocketAddr) -> SocketAddr {
        let key = (from, (self.kind == NatKind::Symmetric).then_some(to));
        let port = *self.mappings.entry(key).or_insert_with(|| {
            self.next_port += 1;
            self.next_port
        });
        self.inside.insert(port, from);
        self.sent.insert((port, to));
        SocketAddr::from((self.outside, port))
    }

    pub(crate) fn inbound(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let inside = self.inside.get(&to.port())?;
        self.sent.contains(&(to.port(), from)).then_some(*inside)
    }
}
