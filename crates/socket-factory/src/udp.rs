//! The UDP socket: batched, with source address and ECN per call.

use crate::{
    egress_cache::{Egress, EgressCache},
    fault::blames_source,
    plain::Plain,
    receive::RecvBatch,
    sys,
};
use quinn_udp::{EcnCodepoint, Transmit, UdpSockRef, UdpSocketState};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Once},
};
use tokio::io::Interest;

/// Largest payload of one GSO send: what the IP length field leaves. spec: platform 7.1
const MAX_PAYLOAD_V4: usize = 65_535 - 60 - 8;
const MAX_PAYLOAD_V6: usize = 65_535 - 40 - 8;

/// How often a send is tried again that found no memory. spec: platform 11.3
const RETRIES: u32 = 24;

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
    calls: Calls,
    local: SocketAddr,
    cache: Option<Arc<EgressCache>>,
}

/// Which system calls carry datagrams.
enum Calls {
    /// Whole batches, with addresses and ECN of each datagram.
    Batched(UdpSocketState),
    /// One datagram each, without.
    Plain(Plain),
}

impl UdpSocket {
    pub(crate) fn new(
        socket: std::net::UdpSocket,
        cache: Option<Arc<EgressCache>>,
    ) -> io::Result<Self> {
        static SAID: Once = Once::new();
        let calls = match UdpSocketState::new(UdpSockRef::from(&socket)) {
            Ok(state) => {
                sys::drop_timestamps(&socket)?;
                Calls::Batched(state)
            }
            Err(error) if sys::lacks_batches(&error) => {
                SAID.call_once(|| {
                    tracing::warn!(%error, "No batches of datagrams on this system: the tunnel is slow, and source addresses are the system's");
                });
                Calls::Plain(Plain::default())
            }
            Err(error) => return Err(error),
        };
        Self::with(calls, socket, cache)
    }

    /// A socket as on a system that refuses batches.
    #[cfg(test)]
    pub(crate) fn plain(socket: std::net::UdpSocket) -> io::Result<Self> {
        Self::with(Calls::Plain(Plain::default()), socket, None)
    }

    fn with(
        calls: Calls,
        socket: std::net::UdpSocket,
        cache: Option<Arc<EgressCache>>,
    ) -> io::Result<Self> {
        let io = tokio::net::UdpSocket::from_std(socket)?;
        let local = io.local_addr()?;
        Ok(Self {
            io,
            calls,
            local,
            cache,
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
        match &self.calls {
            Calls::Batched(state) => state.max_gso_segments(),
            Calls::Plain(_) => 1,
        }
    }

    /// Whether datagrams carry the source address that is asked for, and ECN.
    #[cfg(test)]
    pub(crate) fn is_batched(&self) -> bool {
        matches!(self.calls, Calls::Batched(_))
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
        let (Some(cache), None) = (&self.cache, outgoing.source) else {
            return self.send_rest(outgoing, outgoing.source, sent);
        };
        let source = |egress: Option<Egress>| egress.map(|egress| egress.source);
        let egress = cache.egress(outgoing.destination)?;
        match self.send_rest(outgoing, source(egress), sent) {
            Err(error) if blames_source(&error) => {
                tracing::debug!(%error, "Source address is outdated");
                let egress = cache.correct(outgoing.destination, egress)?;
                self.send_rest(outgoing, source(egress), sent)
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
                let result = match &self.calls {
                    Calls::Batched(state) => self.io.try_io(Interest::READABLE, || {
                        state.recv(UdpSockRef::from(&self.io), buffers, meta)
                    }),
                    Calls::Plain(plain) => plain.receive(&self.io, self.local, buffers, meta),
                };
                match result {
                    // An earlier send met a closed port: nothing that this socket could mind.
                    Err(error) if sys::is_port_unreachable(&error) => {}
                    result => return result,
                }
            }
        })
    }

    /// Makes the kernel refuse GSO, as some drivers do.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn forbid_checksums(&self) {
        sys::forbid_checksums(&self.io).expect("the option exists on all kernels");
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
        let segments = (limit / segment).clamp(1, self.max_segments().max(1));
        segments.saturating_mul(segment)
    }

    fn send_chunk(
        &self,
        outgoing: &Outgoing<'_>,
        source: Option<IpAddr>,
        contents: &[u8],
    ) -> io::Result<()> {
        let state = match &self.calls {
            Calls::Batched(state) => state,
            Calls::Plain(_) => return Plain::send(&self.io, contents, outgoing.destination),
        };
        let transmit = Transmit {
            destination: outgoing.destination,
            ecn: EcnCodepoint::from_bits(outgoing.ecn),
            contents,
            segment_size: Some(outgoing.segment()),
            src_ip: source,
        };
        let send = || {
            persist(sys::is_out_of_buffers, || {
                state.try_send(UdpSockRef::from(&self.io), &transmit)
            })
        };
        let mut tried = false;
        let result = self.io.try_io(Interest::WRITABLE, || {
            tried = true;
            send()
        });
        if tried {
            return result;
        }
        // The runtime has not seen the socket writable, as for every fresh one. Nothing is lost by
        // asking the kernel: the event that it becomes writable is still to come.
        send()
    }
}

/// Tries again at once, for as long as a shortage can be expected to be over in a moment.
fn persist(
    is_short: impl Fn(&io::Error) -> bool,
    mut send: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    for retry in 0..RETRIES {
        match send() {
            Err(error) if is_short(&error) => (0..=retry).for_each(|_| std::hint::spin_loop()),
            result => return result,
        }
    }
    send()
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortage_is_waited_out_but_not_for_ever() {
        let is_short = |error: &io::Error| error.kind() == io::ErrorKind::OutOfMemory;
        // Failures before a success; calls made; whether it succeeds.
        for (failures, calls, succeeds) in
            [(0, 1, true), (3, 4, true), (24, 25, true), (25, 25, false)]
        {
            let mut made = 0;
            let result = persist(is_short, || {
                made += 1;
                match made <= failures {
                    true => Err(io::ErrorKind::OutOfMemory.into()),
                    false => Ok(()),
                }
            });
            assert_eq!((made, result.is_ok()), (calls, succeeds), "{failures}");
        }
    }

    #[test]
    fn other_failures_are_not_repeated() {
        let mut made = 0;
        let result = persist(
            |_| false,
            || {
                made += 1;
                Err(io::ErrorKind::WouldBlock.into())
            },
        );
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(made, 1);
    }
}
