//! The vocabulary of a Firezone network.
//!
//! Plain data that every other crate speaks: ids, keys, resources, ICE candidates, relays, the
//! interface a portal assigns, the patterns of names, the address ranges and sizes everyone agrees
//! on, why packets are dropped, what a machine says about itself, and the seed all randomness of the
//! pure cores comes from.
//!
//! What it is not: there is no behaviour here beyond parsing, printing and comparing. No type
//! knows a socket, a clock or a wire message of a particular portal generation.
//!
//! ```
//! use model::{Candidate, CandidateKind};
//!
//! let candidate: Candidate = "candidate:77 1 udp 2130706175 203.0.113.30 52625 typ host".parse()?;
//! assert_eq!(candidate.kind, CandidateKind::Host);
//! # Ok::<(), model::CandidateFault>(())
//! ```

mod candidate;
mod drops;
mod host;
mod id;
mod interface;
mod key;
pub mod limits;
mod name;
mod pattern;
pub mod ranges;
mod relay;
mod resource;
mod seed;

pub use candidate::{Candidate, CandidateFault, CandidateKind};
pub use drops::{DropCounters, Reason};
pub use host::{DeviceIds, OsInfo};
pub use id::{ClientId, GatewayId, PeerId, RelayId, ResourceId, SiteId};
pub use interface::{Interface, InterfacePlan};
pub use key::{IceCredentials, KeyFault, PresharedKey, PublicKey};
pub use name::{DomainName, NameFault};
pub use pattern::{Pattern, PatternFault};
pub use relay::Relay;
pub use resource::{
    CidrResource, DnsResource, Filter, InternetResource, IpStack, PortRange, Resource, Site,
};
pub use seed::{Seed, SeedTree};
