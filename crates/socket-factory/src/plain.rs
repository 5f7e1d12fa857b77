//! Datagrams one by one, where the system lacks what batches need (Wine does, for IPv4).
//!
//! Nothing is known about a datagram but its sender, so our own address is the one that an answer
//! would go out from.

use parking_lot::Mutex;
use quinn_udp::RecvMeta;
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket},
};
use tokio::{io::Interest, net::UdpSocket};

/// What a socket without batches remembers.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    // The last sender, and our address towards it.
    last: Mutex<Option<(IpAddr, IpAddr)>>,
}

impl Plain {
    /// Sends one datagram; its source address is the system's choice.
    pub(crate) fn send(io: &UdpSocket, datagram: &[u8], destination: SocketAddr) -> io::Result<()> {
        let send = || socket2::SockRef::from(io).send_to(datagram, &destination.into());
        let mut tried = false;
        let result = io.try_io(Interest::WRITABLE, || {
            tried = true;
            send()
        });
        // As for batches: a fresh socket has room, only the runtime has not heard of it yet.
        if tried { result } else { send() }.map(drop)
    }

    /// Receives one datagram.
    pub(crate) fn receive(
        &self,
        io: &UdpSocket,
        bound: SocketAddr,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> io::Result<usize> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Ok(0);
        };
        let (length, remote) = io.try_recv_from(buffer)?;
        *meta = RecvMeta::default();
        meta.addr = remote;
        meta.len = length;
        meta.stride = length;
        meta.dst_ip = self.local(bound, remote).ok();
        Ok(1)
    }

    /// Our address towards a peer.
    fn local(&self, bound: SocketAddr, remote: SocketAddr) -> io::Result<IpAddr> {
        if !bound.ip().is_unspecified() {
            return Ok(bound.ip());
        }
        let mut last = self.last.lock();
        match *last {
            Some((peer, local)) if peer == remote.ip() => Ok(local),
            _ => {
                // Connecting sends nothing, but makes the system choose.
                let probe = StdUdpSocket::bind(SocketAddr::new(bound.ip(), 0))?;
                probe.connect(remote)?;
                let local = probe.local_addr()?.ip();
                *last = Some((remote.ip(), local));
                Ok(local)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_address_is_remembered_for_the_last_sender_only() {
        let last = SocketAddr::from(([127, 0, 0, 9], 1));
        let told = IpAddr::from([192, 0, 2, 1]);
        let plain = Plain {
            last: Mutex::new(Some((last.ip(), told))),
        };
        let any = SocketAddr::from(([0, 0, 0, 0], 1));
        assert_eq!(plain.local(any, last).unwrap(), told);
        let other = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(plain.local(any, other).unwrap(), other.ip());
        assert_eq!(plain.local(any, other).unwrap(), other.ip());
    }
}
