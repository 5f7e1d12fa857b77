//! Receiving in batches into buffers that several sockets share.

use quinn_udp::RecvMeta;
use std::{fmt, io::IoSliceMut, net::SocketAddr};

/// Messages per system call. Each may hold up to 64 datagrams of one sender (GRO).
const MESSAGES: usize = 16;

/// Room per message: the kernel merges datagrams up to the largest UDP payload.
const MESSAGE: usize = 64 * 1024;

/// Buffers for one receive call, about 1 MiB of which only the touched part is resident.
///
/// One batch serves any number of sockets in turn.
pub struct RecvBatch {
    buffer: Vec<u8>,
    meta: [RecvMeta; MESSAGES],
    filled: usize,
    local_port: u16,
}

/// A received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// Our address that it was sent to, with our port.
    pub local: SocketAddr,
    /// The sender.
    pub remote: SocketAddr,
    /// The two ECN bits of the IP header.
    pub ecn: u8,
    /// The UDP payload.
    pub payload: &'a [u8],
}

impl RecvBatch {
    /// Allocates the buffers.
    pub fn new() -> Self {
        Self {
            buffer: vec![0; MESSAGES * MESSAGE],
            meta: [RecvMeta::default(); MESSAGES],
            filled: 0,
            local_port: 0,
        }
    }

    /// The datagrams of the last receive call, one by one and in order.
    pub fn datagrams(&self) -> Datagrams<'_> {
        Datagrams {
            batch: self,
            message: 0,
            offset: 0,
        }
    }

    /// Lends the buffers to one receive call.
    pub(crate) fn fill<E>(
        &mut self,
        local_port: u16,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.filled = 0;
        self.local_port = local_port;
        let mut chunks = self.buffer.chunks_exact_mut(MESSAGE);
        let mut slices: [IoSliceMut<'_>; MESSAGES] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.filled = receive(&mut slices, &mut self.meta)?;
        Ok(self.filled)
    }
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBatch")
            .field("messages", &self.filled)
            .finish_non_exhaustive()
    }
}

/// Iterates over the datagrams of a [`RecvBatch`].
#[derive(Debug, Clone)]
pub struct Datagrams<'a> {
    batch: &'a RecvBatch,
    message: usize,
    offset: usize,
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = Incoming<'a>;

    fn next(&mut self) -> Option<Incoming<'a>> {
        loop {
            let index = self.message;
            let meta = self.batch.meta[..self.batch.filled].get(index)?;
            let length = meta.len.min(MESSAGE);
            let Some(local) = meta.dst_ip.filter(|_| self.offset < length) else {
                if meta.dst_ip.is_none() && length > 0 {
                    // Without it the path of the datagram is unknown. spec: platform 7.1
                    tracing::debug!("Datagram without a destination address");
                }
                self.message += 1;
                self.offset = 0;
                continue;
            };
            // A stride of 0 would never end; the kernel reports none for an unmerged datagram.
            let stride = if meta.stride == 0 {
                length
            } else {
                meta.stride
            };
            let end = length.min(self.offset + stride);
            let start = index * MESSAGE;
            let payload = &self.batch.buffer[start + self.offset..start + end];
            self.offset = end;
            return Some(Incoming {
                local: SocketAddr::new(local, self.batch.local_port),
                remote: comparable(meta.addr),
                ecn: meta.ecn.map_or(0, ecn_bits),
                payload,
            });
        }
    }
}

fn ecn_bits(code: quinn_udp::EcnCodepoint) -> u8 {
    match code {
        quinn_udp::EcnCodepoint::Ect1 => 0b01,
        quinn_udp::EcnCodepoint::Ect0 => 0b10,
        quinn_udp::EcnCodepoint::Ce => 0b11,
    }
}

/// Drops the flow label and, for global addresses, the scope: both would break comparisons.
fn comparable(address: SocketAddr) -> SocketAddr {
    let SocketAddr::V6(mut v6) = address else {
        return address;
    };
    v6.set_flowinfo(0);
    if !v6.ip().is_unicast_link_local() {
        v6.set_scope_id(0);
    }
    v6.into()
}
