//! Sockets that stay outside of a tunnel.
//!
//! One UDP and one TCP factory serve a whole process. Sockets carry the mark that keeps them out of
//! the tunnel's routing tables, send whole batches with one system call (GSO), receive whole batches
//! with one (`recvmmsg` and GRO), and know ECN and their own address per datagram.
//!
//! What it is not: no protocol is known here, nothing is retried and nothing is queued.
//!
//! # Contract
//!
//! * A factory is shared by reference between all who need sockets. [`UdpSocketFactory::reset`] is
//!   called on every change of network, *before* sockets are bound again.
//! * [`UdpSocket::try_send`] and [`UdpSocket::try_recv`] never wait. After
//!   [`std::io::ErrorKind::WouldBlock`] await [`UdpSocket::writable`] or [`UdpSocket::readable`].
//! * A failed send concerns the datagrams of that call only; the socket stays usable.
//!   [`SendFault::of`] says what kind of failure it was.
//!
//! ```
//! use socket_factory::{Family, Options, Outgoing, RecvBatch, SystemSockets, bind_preferred};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let factory = SystemSockets::new(Options::default());
//! let socket = bind_preferred(&factory, Family::V4, 52625)?;
//! let to_self = std::net::SocketAddr::from(([127, 0, 0, 1], socket.local_port()));
//! socket.try_send(&Outgoing {
//!     source: None,
//!     destination: to_self,
//!     ecn: 0,
//!     segment_size: 3,
//!     payload: b"onetwo",
//! })?;
//!
//! let mut batch = RecvBatch::default();
//! let mut received = Vec::new();
//! while received.len() < 2 {
//!     socket.readable().await?;
//!     if socket.try_recv(&mut batch).is_ok() {
//!         received.extend(batch.datagrams().map(|d| d.payload.to_vec()));
//!     }
//! }
//! assert_eq!(received, [b"one", b"two"]);
//! # Ok::<(), std::io::Error>(()) })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Decisions
//!
//! * **The way out lives in the factory.** DNS forwarding takes a fresh socket per query, so what is
//!   costly to find out (which interface and source reach a destination outside of the tunnel) must
//!   outlive the socket. One bounded cache is shared by all sockets of a factory, is emptied by
//!   `reset`, and asks the resolver of [`Options`] on a miss. Without a resolver the kernel decides.
//! * **An egress is a source and an interface.** Sockets for one destination are bound to both;
//!   those for many give each datagram its source.
//! * **A stale entry repairs itself.** A send that fails because the source or the route is gone
//!   forgets the entry and asks once more.
//! * **Receive buffers belong to the caller**, so that several sockets share one [`RecvBatch`].
//! * **Batches are an optimisation.** Where the system lacks what they need, datagrams go one by one.
//! * **GSO is an optimisation.** When a path refuses it, the rest of that batch goes out one by one
//!   and the socket does without from then on.

#![deny(unsafe_op_in_unsafe_fn)]

mod egress_cache;
mod exchange;
mod factory;
mod fault;
mod plain;
mod receive;
mod sys;
mod udp;

#[cfg(test)]
mod tests;

pub use egress_cache::{Egress, EgressResolver};
pub use exchange::exchange;
pub use factory::{
    BoxFuture, Family, Options, SystemSockets, TcpSocketFactory, UdpSocketFactory, bind_preferred,
};
pub use fault::{LoopPrevention, SendFault};
pub use receive::{Datagrams, Incoming, RecvBatch};
pub use udp::{Outgoing, UdpSocket};
