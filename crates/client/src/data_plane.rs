//! The thread that owns the TUN device, the UDP sockets and the tunnel.
//!
//! Nothing is handed to another thread per packet, nothing is allocated per packet, and nothing
//! is locked. Everything else talks to it by messages.

mod alarm;
mod sockets;

use crate::{entropy, reports::ReportSink};
use alarm::Alarm;
use model::{InterfacePlan, ResourceId, Seed};
use platform::{PacketBatch, Tun};
use socket_factory::RecvBatch;
use sockets::Sockets;
use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tunnel_core::{
    Datagram, DnsFailure, DnsQuery, DropCounters, DropReason, Ecn, Output, PeerStatus,
    PortalUpdate, QueryId, Received, ResourceStatus, Tunnel,
};

/// Packets that are read from or written to the TUN device at a time.
const BATCH: usize = 128;

/// Rounds over all sources before the thread looks who else wants its attention.
const ROUNDS: usize = 64;

/// Inputs that are handled in one round. So none waits for more than one batch of packets from each
/// source and this many others, and packets wait no longer than these take.
const INPUTS: usize = 32;

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Input {
    /// A DNS server outside the tunnel answered, or did not.
    DnsAnswer(QueryId, Result<Vec<u8>, DnsFailure>),
    /// The portal said something.
    Portal(PortalUpdate),
    /// The network changed: roam to it.
    Reset,
    /// These resources, and no others, are switched off.
    SetDisabledResources(BTreeSet<ResourceId>),
    /// Internet Resources are switched on or off.
    SetInternetResource(bool),
    /// The system's resolvers changed.
    SetResolvers(Vec<tunnel_core::DnsServer>),
    /// Somebody wants to know how things are.
    Snapshot(oneshot::Sender<Snapshot>),
}

/// How things are.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) connections: Vec<(model::GatewayId, PeerStatus)>,
    pub(crate) drops: DropCounters<DropReason>,
    pub(crate) resources: Vec<ResourceStatus>,
    pub(crate) plan: Option<InterfacePlan>,
    pub(crate) upstreams: Vec<(IpAddr, SocketAddr)>,
}

/// Why the thread ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataPlaneFault {
    /// The TUN device is gone.
    #[error("the TUN device is gone")]
    Tun(#[source] io::Error),
    /// No socket could be bound.
    #[error("no UDP socket can be bound")]
    Bind(#[source] io::Error),
}

pub(crate) struct DataPlane<T> {
    tunnel: Tunnel,
    tun: T,
    alarm: Alarm,
    sockets: Sockets,
    inbox: mpsc::Receiver<Input>,
    reports: ReportSink,
    up: PacketBatch,
    down: PacketBatch,
    received: RecvBatch,
}

enum Woken {
    Input(Input),
    Io,
    Closed,
}

impl<T: Tun> DataPlane<T> {
    /// Binds the sockets. Must be called in the runtime of the thread; `origin` is when it was
    /// built, or a little earlier.
    pub(crate) fn new(
        origin: Instant,
        tunnel: Tunnel,
        tun: T,
        (factory, preferred_port): (platform::Sockets, u16),
        (inbox, reports): (mpsc::Receiver<Input>, ReportSink),
    ) -> Result<Self, DataPlaneFault> {
        let sockets = Sockets::bind(factory, preferred_port).map_err(DataPlaneFault::Bind)?;
        let (up, down) = (PacketBatch::new(BATCH), PacketBatch::new(BATCH));
        let received = RecvBatch::new();
        Ok(Self {
            tunnel,
            tun,
            alarm: Alarm { origin },
            sockets,
            inbox,
            reports,
            up,
            down,
            received,
        })
    }

    /// Works until the control task is gone, or nobody can ask for anything any more.
    pub(crate) async fn run(mut self) -> Result<(), DataPlaneFault> {
        let timer = tokio::time::sleep(Duration::ZERO);
        let mut timer = std::pin::pin!(timer);
        loop {
            let wakeup = self.drain().map_err(DataPlaneFault::Tun)?;
            // Each reset wakes the runtime's driver.
            if timer.deadline() != wakeup.into() {
                timer.as_mut().reset(wakeup.into());
            }
            let woken = tokio::select! {
                input = self.inbox.recv() => input.map_or(Woken::Closed, Woken::Input),
                result = self.tun.readable(), if self.sockets.is_clear() => {
                    result.map(|()| Woken::Io).map_err(DataPlaneFault::Tun)?
                }
                () = self.sockets.ready() => Woken::Io,
                () = &mut timer => Woken::Io,
                () = self.reports.closed() => Woken::Closed,
            };
            match woken {
                Woken::Closed => return Ok(()),
                Woken::Input(input) => self.handle(input)?,
                Woken::Io => {}
            }
            self.work()?;
        }
    }

    /// Serves every source in turn until none has anything, or until others should be looked at.
    fn work(&mut self) -> Result<(), DataPlaneFault> {
        for _ in 0..ROUNDS {
            let heard = self.read_inbox()?;
            let moved = self.move_packets().map_err(DataPlaneFault::Tun)?;
            if !heard && !moved {
                break;
            }
        }
        Ok(())
    }

    /// Some of what the control task says.
    fn read_inbox(&mut self) -> Result<bool, DataPlaneFault> {
        let mut heard = false;
        for _ in 0..INPUTS {
            let Ok(input) = self.inbox.try_recv() else {
                break;
            };
            heard = true;
            // The portal may say much at once, and what follows from it is done once.
            let has_more = matches!(input, Input::Portal(_));
            self.handle(input)?;
            if !has_more {
                self.drain().map_err(DataPlaneFault::Tun)?;
            }
        }
        Ok(heard)
    }

    /// One batch of packets from each source, and what is due.
    fn move_packets(&mut self) -> io::Result<bool> {
        let now = Instant::now();
        self.tunnel.handle_timeout(now);
        self.sockets.flush(&mut self.tunnel);
        let moved = self.read_tun(now)? | self.read_sockets(now)?;
        self.drain()?;
        Ok(moved)
    }

    /// One batch up. While datagrams wait for the network no more packets are read.
    fn read_tun(&mut self, now: Instant) -> io::Result<bool> {
        if !self.sockets.is_clear() {
            return Ok(false);
        }
        self.up.clear();
        match self.tun.try_read(&mut self.up) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        for packet in self.up.iter() {
            // Dropped packets are counted by the tunnel.
            let _verdict = self.tunnel.handle_tun(packet, now);
        }
        Ok(true)
    }

    /// One batch down from each socket.
    fn read_sockets(&mut self, now: Instant) -> io::Result<bool> {
        let mut moved = false;
        for family in sockets::FAMILIES {
            if !self.sockets.receive(family, &mut self.received) {
                continue;
            }
            moved = true;
            for datagram in self.received.datagrams() {
                if self.down.is_full() {
                    write(&mut self.tun, &mut self.down)?;
                }
                let datagram = Datagram {
                    local: datagram.local,
                    remote: datagram.remote,
                    ecn: Ecn::from_bits(datagram.ecn),
                    payload: datagram.payload,
                };
                match self.tunnel.handle_udp(datagram, self.down.spare(), now) {
                    Received::Deliver(length) => self.down.commit(length),
                    Received::Consumed | Received::Dropped(_) => {}
                }
            }
            write(&mut self.tun, &mut self.down)?;
        }
        Ok(moved)
    }

    /// Does what the tunnel wants done; returns when to call it again.
    fn drain(&mut self) -> io::Result<Instant> {
        loop {
            match self.tunnel.poll() {
                Output::Send(transmit) => self.sockets.send(transmit, &mut self.tunnel),
                Output::Deliver(packet) => {
                    if !self.down.push(&packet) {
                        write(&mut self.tun, &mut self.down)?;
                        self.down.push(&packet);
                    }
                }
                Output::Request(request) => self.reports.request(request),
                Output::Plan(plan) => self.reports.plan(plan),
                Output::Query(query) => self.forward(query),
                Output::Event(event) => self.reports.event(event),
                Output::Idle(wakeup) => {
                    write(&mut self.tun, &mut self.down)?;
                    let at = wakeup.map(|wakeup| wakeup.at);
                    return Ok(self.alarm.deadline(at, Instant::now()));
                }
            }
        }
    }

    /// Has a DNS server asked by the control task. While that cannot take more, programs get an
    /// error and may ask again.
    fn forward(&mut self, query: DnsQuery) {
        if let Some(query) = self.reports.query(query) {
            tracing::debug!(server = %query.server, "Too many DNS queries wait to be forwarded");
            let failed = Err(DnsFailure::Failed);
            self.tunnel
                .handle_dns_answer(query.id, failed, Instant::now());
        }
    }

    fn handle(&mut self, input: Input) -> Result<(), DataPlaneFault> {
        let now = Instant::now();
        match input {
            Input::DnsAnswer(id, answer) => {
                self.tunnel
                    .handle_dns_answer(id, answer.as_deref().map_err(|&fault| fault), now);
            }
            Input::Portal(update) => self.tunnel.handle_portal(update, now),
            Input::Reset => self.reset(entropy::seed().map_err(DataPlaneFault::Bind)?, now)?,
            Input::SetDisabledResources(disabled) => {
                self.tunnel.set_disabled_resources(disabled, now);
            }
            Input::SetInternetResource(enabled) => {
                self.tunnel.set_internet_resource(enabled, now);
            }
            Input::SetResolvers(servers) => self.tunnel.set_system_resolvers(servers),
            Input::Snapshot(reply) => {
                // Nobody waits any more: fine.
                let _unwanted = reply.send(Snapshot {
                    connections: self.tunnel.connections().collect(),
                    drops: self.tunnel.drops(),
                    resources: self.tunnel.resources(),
                    plan: self.tunnel.plan().cloned(),
                    upstreams: self.tunnel.upstreams().collect(),
                });
            }
        }
        Ok(())
    }

    /// Roams: fresh key, no connections, fresh sockets; the portal hears of the key.
    /// spec: client-app 11.2
    fn reset(&mut self, seed: Seed, now: Instant) -> Result<(), DataPlaneFault> {
        self.tunnel.reset(seed, now);
        self.sockets.rebind().map_err(DataPlaneFault::Bind)?;
        self.reports.reset(self.tunnel.public_key());
        Ok(())
    }
}

/// Hands the batch to the device; a full device loses packets like any network interface.
fn write<T: Tun>(tun: &mut T, batch: &mut PacketBatch) -> io::Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    match tun.try_write(batch) {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::debug!(%error, "Packets for the TUN device are lost");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
