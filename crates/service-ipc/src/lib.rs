//! What a GUI and the tunnel service say to each other.
//!
//! The service runs the tunnel with the rights of the system; a GUI, which has none, tells it over
//! a local socket to connect and disconnect, and is told what happens. Programs that want to be
//! such a GUI embed [`Client`]; the service uses [`Server`]. Both work over any stream of bytes.
//!
//! What it is not: it opens no socket, starts no session, keeps no settings, and decides on nobody's rights. It
//! spawns no task.
//!
//! # Contract
//!
//! * Frames are a length of four bytes and JSON of at most [`MAX_PAYLOAD`] bytes.
//! * `send` never waits; messages go out while `next` or `flush` is waited for. `next` and `flush`
//!   may be dropped at any time, so they fit into a `select!`. After an error the conversation is
//!   over.
//! * The service speaks first, and serves one GUI at a time. The session ends with the GUI.
//! * Nothing is trusted: an announced length allocates nothing, a frame has to be through within
//!   [`FRAME_TIME`], nothing is read from a GUI that does not read.
//!
//! ```no_run
//! use service_ipc::{Client, Connect, ToGui, ToService};
//! use tokio::io::{AsyncRead, AsyncWrite};
//!
//! # async fn run<S: AsyncRead + AsyncWrite + Unpin>(
//! #     stream: S,
//! #     token: secrecy::SecretString,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! // `stream` comes from the service's socket, see `local_socket::connect`.
//! let mut service = Client::open(stream).await?;
//! service.send(&ToService::Connect(Connect::new(token)))?;
//! while let Some(message) = service.next().await? {
//!     match message {
//!         ToGui::ConnectResult(Ok(())) => println!("connecting"),
//!         ToGui::ConnectResult(Err(reason)) => return Err(reason.into()),
//!         ToGui::OnUpdateResources(all) => println!("{} resources", all.resources.len()),
//!         ToGui::OnDisconnect { error_msg, .. } => return Err(error_msg.into()),
//!         ToGui::TerminatingGracefully => break,
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Decisions
//!
//! * **Two generations.** They cannot be told apart before the service greets, and neither
//!   understands the greeting of the other. So the service is told which one to speak; it
//!   understands both, and [`Client`] learns from the greeting.
//! * **Errors never quote what was received**, because it may hold a token.
//! * **Tokens** are wiped from the buffers that this crate makes.

mod client;
mod connection;
pub mod control;
mod error;
mod frame;
mod resource;
mod server;
mod settings;
mod to_gui;
mod to_service;

pub use client::{Client, HELLO_TIME};
pub use connection::FRAME_TIME;
pub use error::{Fault, Malformed};
pub use frame::MAX_PAYLOAD;
pub use resource::{Addressed, Device, Internet, Resource, ResourceStatus};
pub use server::{Server, receive_one, send_one};
pub use settings::{AdvancedSettings, MdmSettings};
pub use to_gui::{Generation, Hello, Resources, ToGui};
pub use to_service::{Connect, ToService};

/// The name of the socket that the service has for GUIs, in the service's directory of sockets.
/// spec: client-app 7
pub const SOCKET: &str = "tunnel";

/// The name of the socket that the service has for questions of administrators, in the same place.
pub const CONTROL_SOCKET: &str = "control";

/// How often a GUI tries to connect to a service that may just be starting, 100 ms apart.
/// spec: client-app 13.3
pub const CONNECT_ATTEMPTS: u32 = 10;
