//! The two UDP sockets, and the datagrams that wait for room in their buffers.

use socket_factory::{Family, Outgoing, RecvBatch, SendFault, UdpSocket, bind_preferred};
use std::{collections::VecDeque, io};
use tunnel_core::{Transmit, Tunnel};

/// Both families.
pub(super) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Batches that wait at most; the TUN device is not read while any does, so only answers to the
/// network add to them.
const MAX_WAITING: usize = 256;

struct Waiting {
    transmit: Transmit,
    /// Bytes that are on their way already.
    sent: usize,
}

pub(super) struct Sockets {
    factory: platform::Sockets,
    preferred_port: u16,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    waiting: VecDeque<Waiting>,
    denied: bool,
}

impl Sockets {
    /// Binds one socket per family; one of them may fail. spec: data-plane 2.2
    pub(super) fn bind(factory: platform::Sockets, preferred_port: u16) -> io::Result<Self> {
        let (v4, v6, waiting) = (None, None, VecDeque::new());
        let mut this = Self {
            factory,
            preferred_port,
            v4,
            v6,
            waiting,
            denied: false,
        };
        this.rebind()?;
        Ok(this)
    }

    /// Binds anew; the old sockets live until then, so that the ports differ: relays know
    /// allocations by them. spec: data-plane 2.17
    pub(super) fn rebind(&mut self) -> io::Result<()> {
        self.waiting.clear();
        self.denied = false;
        self.factory.reset();
        let bind = |family| bind_preferred(self.factory.udp.as_ref(), family, self.preferred_port);
        let (v4, v6) = (bind(Family::V4), bind(Family::V6));
        match (v4, v6) {
            (Err(error), Err(_)) => return Err(error),
            (v4, v6) => {
                for error in [v4.as_ref().err(), v6.as_ref().err()].into_iter().flatten() {
                    tracing::info!(%error, "One address family is not available");
                }
                (self.v4, self.v6) = (v4.ok(), v6.ok());
            }
        }
        Ok(())
    }

    /// Whether nothing waits for room.
    pub(super) fn is_clear(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits until a datagram arrived, or until what waits may be sent.
    pub(super) async fn ready(&self) {
        let wanted = self
            .waiting
            .front()
            .map(|waiting| Family::of(waiting.transmit.destination.ip()));
        let room = async {
            match wanted.and_then(|family| self.get(family)) {
                Some(socket) => socket.writable().await,
                None => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            result = readable(self.v4.as_ref()) => result,
            result = readable(self.v6.as_ref()) => result,
            result = room => result,
        };
        if let Err(error) = result {
            tracing::debug!(%error, "Waiting for a socket failed");
        }
    }

    /// Takes what has arrived; says whether there was anything.
    pub(super) fn receive(&self, family: Family, batch: &mut RecvBatch) -> bool {
        let Some(socket) = self.get(family) else {
            return false;
        };
        match socket.try_recv(batch) {
            Ok(count) => count > 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                tracing::debug!(%error, "Receiving failed");
                false
            }
        }
    }

    /// Sends a batch, or keeps it until there is room.
    pub(super) fn send(&mut self, transmit: Transmit, tunnel: &mut Tunnel) {
        let mut waiting = Waiting { transmit, sent: 0 };
        if self.is_clear() && self.try_send(&mut waiting) {
            tunnel.recycle(waiting.transmit);
            return;
        }
        if self.waiting.len() >= MAX_WAITING
            && let Some(oldest) = self.waiting.pop_front()
        {
            tunnel.recycle(oldest.transmit);
        }
        self.waiting.push_back(waiting);
    }

    /// Sends what waited, as far as there is room.
    pub(super) fn flush(&mut self, tunnel: &mut Tunnel) {
        while let Some(mut waiting) = self.waiting.pop_front() {
            if !self.try_send(&mut waiting) {
                self.waiting.push_front(waiting);
                return;
            }
            tunnel.recycle(waiting.transmit);
        }
    }

    /// Whether the batch is done with, sent or lost.
    fn try_send(&mut self, waiting: &mut Waiting) -> bool {
        let transmit = &waiting.transmit;
        let Some(socket) = self.get(Family::of(transmit.destination.ip())) else {
            return true;
        };
        let outgoing = Outgoing {
            source: transmit.source.map(|source| source.ip()),
            destination: transmit.destination,
            ecn: transmit.ecn.bits(),
            segment_size: transmit.segment_size,
            payload: transmit.payload(),
        };
        let Err(error) = socket.try_send_from(&outgoing, &mut waiting.sent) else {
            return true;
        };
        match SendFault::of(&error) {
            SendFault::WouldBlock => return false,
            SendFault::Denied if !self.denied => {
                self.denied = true;
                tracing::info!(%error, "Sending is not permitted: is there a firewall rule?");
            }
            _ => tracing::debug!(%error, "Datagrams are lost"),
        }
        true
    }

    fn get(&self, family: Family) -> Option<&UdpSocket> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }
}

async fn readable(socket: Option<&UdpSocket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.readable().await,
        None => std::future::pending().await,
    }
}
