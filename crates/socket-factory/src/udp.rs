//! The UDP socket: batched, with source address and ECN per call.

use crate::{fault::blames_source, receive::RecvBatch, route_cache::RouteCache};
use quinn_udp::{EcnCodepoint, Transmit, UdpSockRef, UdpSocketState};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::io::Interest;

/// Largest payload of one GSO send: what the IP length field leaves. spec: platform 7.1
const MAX_PAYLOAD_V4: usize = 65_535 - 60 - 8;
const MAX_PAYLOAD_V6: usize = 65_535 - 40 - 8;

/// Equally sized datagrams to one destination; the last may be shorter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Our address to send from; `None` asks the factory's resolver or lets the system choose.
    pub source: Option<IpAddr>,
    /// Where to.
    pub destination: SocketAddr,
    /// The two ECN bits of the IP header.
    pub ecn: u8,
    /// Length of each datagram in `payload`, in bytes; 0 means that there is just one.
    pub segment_size: usize,
    /// The datagrams, back to back.
    pub payload: &'a [u8],
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("ecn", &self.ecn)
            .field("segment_size", &self.segment_size)
            .field("payload", &self.payload.len())
            .finish()
    }
}

impl Outgoing<'_> {
    fn segment(&self) -> usize {
        match self.segment_size {
            0 => self.payload.len().max(1),
            size => size,
        }
    }
}

/// A bound UDP socket. It must be used in the runtime that it was bound in.
pub struct UdpSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    routes: Option<Arc<RouteCache>>,
}

impl UdpSocket {
    pub(crate) fn new(
        socket: std::net::UdpSocket,
        routes: Option<Arc<RouteCache>>,
    ) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        crate::sys::drop_timestamps(&socket)?;
        let io = tokio::net::UdpSocket::from_std(socket)?;
        let local = io.local_addr()?;
        Ok(Self {
            io,
            state,
            local,
            routes,
        })
    }

    /// The port that the socket is bound to.
    pub fn local_port(&self) -> u16 {
        self.local.port()
    }

    /// The address that the socket is bound to; usually the unspecified one.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Largest number of datagrams that one system call sends at the moment.
    pub fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Waits until a datagram may have arrived. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Waits until the send buffer may have room. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Sends all datagrams with as few system calls as possible, usually one.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing was sent because the buffer is full. A batch that
    /// took several calls and met a full buffer on the way loses its rest instead; whoever minds
    /// uses [`Self::try_send_from`]. Other errors concern this call only, see [`crate::SendFault`].
    pub fn try_send(&self, outgoing: &Outgoing<'_>) -> io::Result<()> {
        let mut sent = 0;
        match self.try_send_from(outgoing, &mut sent) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && sent > 0 => {
                let lost = outgoing.payload.len() - sent;
                tracing::debug!(lost, "Send buffer full in the middle of a batch");
                Ok(())
            }
            result => result,
        }
    }

    /// Like [`Self::try_send`], but starts at `sent` bytes and counts them up, so that a call after
    /// [`io::ErrorKind::WouldBlock`] goes on where the last one stopped.
    ///
    /// # Errors
    ///
    /// As [`Self::try_send`].
    pub fn try_send_from(&self, outgoing: &Outgoing<'_>, sent: &mut usize) -> io::Result<()> {
        let (Some(routes), None) = (&self.routes, outgoing.source) else {
            return self.send_rest(outgoing, outgoing.source, sent);
        };
        let destination = outgoing.destination.ip();
        let source = routes.source(destination)?;
        match self.send_rest(outgoing, source, sent) {
            Err(error) if blames_source(&error) => {
                tracing::debug!(%error, "Source address is outdated");
                let source = routes.correct(destination, source)?;
                self.send_rest(outgoing, source, sent)
            }
            result => result,
        }
    }

    /// Receives what has arrived, up to the size of the batch; returns the number of messages,
    /// each of which holds one or more datagrams.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing has arrived. The batch is empty after any error.
    pub fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.fill(self.local_port(), |buffers, meta| {
            loop {
                let result = self.io.try_io(Interest::READABLE, || {
                    self.state.recv(UdpSockRef::from(&self.io), buffers, meta)
                });
                match result {
                    // Windows reports here that an earlier send met a closed port.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                    result => return result,
                }
            }
        })
    }

    /// Makes the kernel refuse GSO, as some drivers do.
    #[cfg(test)]
    pub(crate) fn forbid_checksums(&self) {
        crate::sys::forbid_checksums(&self.io).expect("the option exists on all kernels");
    }

    fn send_rest(
        &self,
        outgoing: &Outgoing<'_>,
        source: Option<IpAddr>,
        sent: &mut usize,
    ) -> io::Result<()> {
        let segment = outgoing.segment();
        while let Some(rest) = outgoing.payload.get(*sent..).filter(|r| !r.is_empty()) {
            let length = self.chunk(outgoing.destination, segment).min(rest.len());
            match self.send_chunk(outgoing, source, &rest[..length]) {
                Ok(()) => *sent += length,
                // GSO was refused and is off for this socket from here on: go on one by one.
                Err(error)
                    if error.kind() != io::ErrorKind::WouldBlock
                        && length > self.chunk(outgoing.destination, segment) =>
                {
                    tracing::debug!(%error, "Segmentation offload refused");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Bytes that may go into one system call, a multiple of the segment size.
    fn chunk(&self, destination: SocketAddr, segment: usize) -> usize {
        let limit = match destination {
            SocketAddr::V4(_) => MAX_PAYLOAD_V4,
            SocketAddr::V6(_) => MAX_PAYLOAD_V6,
        };
        let segments = (limit / segment).clamp(1, self.state.max_gso_segments().max(1));
        segments.saturating_mul(segment)
    }

    fn send_chunk(
        &self,
        outgoing: &Outgoing<'_>,
        source: Option<IpAddr>,
        contents: &[u8],
    ) -> io::Result<()> {
        let transmit = Transmit {
            destination: outgoing.destination,
            ecn: EcnCodepoint::from_bits(outgoing.ecn),
            contents,
            segment_size: Some(outgoing.segment()),
            src_ip: source,
        };
        let mut tried = false;
        let result = self.io.try_io(Interest::WRITABLE, || {
            tried = true;
            self.state.try_send(UdpSockRef::from(&self.io), &transmit)
        });
        if tried {
            return result;
        }
        // The runtime has not seen the socket writable, as for every fresh one. Nothing is lost by
        // asking the kernel: the event that it becomes writable is still to come.
        self.state.try_send(UdpSockRef::from(&self.io), &transmit)
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}
