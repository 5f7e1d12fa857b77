//! A Firezone client to embed.
//!
//! One [`Session`] drives [`tunnel_core`] with sockets, a TUN device, the portal and the operating
//! system. It is what the headless client and the tunnel service use, and any other program may.
//!
//! What it is not: it reads no file, no environment and no command line, handles no signal, sets
//! up no logging and chooses no platform. All of that is the embedding program's.
//!
//! # Contract
//!
//! [`Session::connect`] starts a session, [`EventStream::next`] tells what happens, until
//! [`Event::Disconnected`] or [`Session::disconnect`]. Everything that was changed on the host is
//! undone at the end, and whatever a crashed run left behind at the next start.
//!
//! ```no_run
//! use client::{Event, Session, Settings};
//!
//! # async fn run<P: platform::Platform>(platform: P) -> Result<(), Box<dyn std::error::Error>> {
//! let os = model::OsInfo {
//!     name: "Ubuntu".into(),
//!     version: "24.4.0".into(),
//!     arch: Some("x86_64".into()),
//!     kernel: Some("6.12".into()),
//! };
//! let settings = Settings::new(
//!     "wss://api.example.test/".parse()?,
//!     std::fs::read_to_string("token")?.trim().to_owned().into(),
//!     portal_client::external_id("my-box"),
//!     client::user_agent(&os),
//! );
//! let (session, mut events) = Session::connect(settings, platform)?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Ready(after) => println!("ready after {after:?}"),
//!         Event::Disconnected(reason) => return Err(reason.into()),
//!         _ => {}
//!     }
//! }
//! session.disconnect().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Design
//!
//! * One thread owns TUN device, UDP sockets and tunnel; packets never change threads.
//! * Portal, DNS forwarding and the operating system are handled by one task on the embedding
//!   program's runtime. It talks to the thread by a bounded queue; what the thread tells it is
//!   merged, so that the thread never waits and nothing that changes state is lost.
//! * The portal's name is resolved at the system's own resolvers over sockets that stay outside
//!   the tunnel, at every attempt.

mod candidates;
mod control;
mod data_plane;
mod direct;
mod entropy;
mod error;
mod event;
mod forward;
mod health;
mod portal;
mod reports;
mod resolve;
mod session;
mod settings;
mod status;
#[cfg(test)]
mod testing;

pub use error::{ConnectFault, Disconnected};
pub use event::{Event, EventStream};
pub use session::Session;
pub use settings::{Settings, user_agent};
pub use status::{PortalState, Status};
pub use tunnel_core::{
    DropCounters, DropReason, Event as GatewayEvent, PathKind, PeerStatus, Reason, ResourceStatus,
    SiteState,
};
