//! What a GUI and the tunnel service say to each other, and how it gets across.
//!
//! The service runs the tunnel with the rights of the system; a GUI, which has none, tells it over
//! a local socket to connect and disconnect, and is told what happens. Programs that want to be
//! such a GUI embed [`Client`]; the service uses [`Server`].
//!
//! What it is not: it starts no session, keeps no settings, and decides on nobody's rights. It
//! spawns no task.
//!
//! # Contract
//!
//! * Frames are a length of four bytes and JSON of at most [`MAX_PAYLOAD`] bytes.
//! * `say` never waits; what is said goes out while `next` or `flush` is waited for. `next` and
//!   `flush` may be dropped at any time, so they fit into a `select!`. After an error the
//!   conversation is over.
//! * The service speaks first, and serves one GUI at a time. The session ends with the GUI.
//! * Nothing is trusted: an announced length allocates nothing, a frame has to be through within
//!   [`FRAME_TIME`], a GUI that does not read is not listened to.
//!
//! ```no_run
//! use service_ipc::{Client, Connect, SOCKET, ToGui, ToService};
//!
//! # async fn run(token: secrecy::SecretString) -> Result<(), Box<dyn std::error::Error>> {
//! let stream = service_ipc::connect(std::path::Path::new(SOCKET)).await?;
//! let mut service = Client::open(stream).await?;
//! service.say(&ToService::Connect(Connect::new(token)))?;
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
mod transport;

pub use client::{Client, HELLO_TIME};
pub use connection::FRAME_TIME;
pub use error::{Fault, Malformed};
pub use frame::MAX_PAYLOAD;
pub use resource::{Addressed, Device, Internet, Resource, ResourceStatus};
pub use server::{Server, receive_one, send_one};
pub use settings::{AdvancedSettings, MdmSettings};
pub use to_gui::{Generation, Hello, Resources, ToGui};
pub use to_service::{Connect, ToService};
pub use transport::{
    Access, BindFault, Claim, ConnectFault, Listener, Peer, Program, Socket, connect, group_id,
};

/// Where the service listens for GUIs. spec: client-app 7
pub const SOCKET: &str = "/run/dev.firezone.client/tunnel.sock";

/// Where the service listens for questions of administrators.
pub const CONTROL_SOCKET: &str = "/run/dev.firezone.client/control.sock";
