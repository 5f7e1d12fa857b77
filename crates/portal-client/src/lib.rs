//! The control plane of a Firezone network, seen from whoever dials it: client, gateway, relay.
//!
//! A [`Channel`] keeps one Phoenix channel to the portal alive over a websocket: it connects,
//! joins, sends heartbeats, tries again with growing pauses, and turns JSON into messages made of
//! `model` values. Which messages these are, a marker type says: [`v1::Client`], [`v1::Gateway`]
//! or [`v1::Relay`]; every message also goes the other way round, for whoever plays the portal.
//!
//! What it is not: it opens no sockets and resolves no names (a [`Dialer`] does), spawns no tasks,
//! and knows nothing about tunnels. It does read the clock of the tokio runtime.
//!
//! # Contract
//!
//! Make a [`Login`], make a [`Channel`], call [`Channel::connect`] and then [`Channel::next`] in a
//! loop. `next` may be dropped at any time, so it fits into a `select!`. An error of `next` is the
//! end of the session. [`Channel::send`] never waits. [`Channel::connect`] may be called again at
//! any time, for example with a new key after a change of networks.
//!
//! ```no_run
//! # use portal_client::{Channel, ChannelEvent, ChannelError, Dialer, Login, Party, RetryPolicy, v1};
//! # async fn run(dialer: std::sync::Arc<dyn Dialer>, seed: model::Seed, key: model::PublicKey)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let login = Login::new(
//!     &"wss://portal.example.test".parse()?,
//!     Party::Client,
//!     &"token".into(),
//!     &portal_client::external_id("my-box"),
//!     "Ubuntu/24.4.0 connlib/1.5.2 (x86_64)",
//! )?;
//! let mut channel = Channel::<v1::Client>::new(login, dialer, RetryPolicy::default(), seed);
//! channel.connect(Some(key));
//! loop {
//!     match channel.next().await? {
//!         ChannelEvent::Joined => {}
//!         ChannelEvent::Message(v1::client::FromPortal::Init(init)) => println!("{init:?}"),
//!         ChannelEvent::Message(_) => {}
//!         ChannelEvent::Reconnecting { error, retry_in } => println!("{error}, again in {retry_in:?}"),
//!     }
//! }
//! # }
//! ```
//!
//! # Decisions
//!
//! * On the wire this is generation `[2025-07]`; the life cycle is that of `[2026-08]`: heartbeats
//!   every 10 s of which more than three unanswered ones are a failure, 5 s for a join, all
//!   addresses dialled at once, only 401 and 403 fatal, backoff forgotten when joined.
//! * Messages are read more leniently than the originals read them, where that harms nobody: bad
//!   relays, resources, candidates and resolvers are left out one by one. A resource with filters
//!   that are not understood is left out whole, and an `authorize_flow` must say when it ends:
//!   leniency must not widen access.
//! * A malformed frame, truncated or not, is dropped and counted ([`Drops`]) without being quoted;
//!   only an empty one is taken for a sign to connect anew.
//! * Frames and messages may have [`MAX_MESSAGE`] bytes; every list and queue has a bound.
//! * The token travels in the query of the URL, so no error, log line or `Debug` of this crate
//!   contains a URL. The websocket library logs the request at trace level through the `log`
//!   crate: whoever bridges `log` must leave out the target `tungstenite`.

mod backoff;
mod channel;
mod connection;
mod dial;
mod error;
pub mod frame;
mod identity;
mod login;
mod message;
mod outbox;
mod retry_after;
pub mod v1;
mod wire;

pub use backoff::{InitialRetries, RetryPolicy};
pub use channel::{Channel, ChannelEvent, Sent};
pub use connection::Drops;
pub use dial::{Dialer, MAX_MESSAGE, Stream};
pub use error::{ChannelError, ConnectError, Stage, TokenError};
pub use identity::{external_id, user_agent};
pub use login::{Login, LoginError, Party};
pub use message::{DecodeError, Delivery, Message, Messages};
