//! What goes into the tunnel from the portal, and what comes out besides packets.

use connectivity::{CloseReason, Transmit, Wakeup};
use model::{
    Candidate, GatewayId, IceCredentials, Interface, InterfacePlan, PresharedKey, PublicKey, Relay,
    RelayId, Resource, ResourceId, SiteId,
};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// What the portal tells a client.
#[derive(Debug, Clone)]
pub enum PortalUpdate {
    /// The complete state after a join; replaces all before.
    Init {
        /// Addresses and DNS settings.
        interface: Interface,
        /// All resources; those that are missing are gone.
        resources: Vec<Resource>,
        /// Relays to use.
        relays: Vec<Relay>,
    },
    /// Other addresses or DNS settings.
    Interface(Interface),
    /// A resource that is new or changed.
    Resource(Resource),
    /// A resource is gone, or no longer ours.
    ResourceRemoved(ResourceId),
    /// Relays come and go.
    Relays {
        /// Relays that are gone.
        disconnected: Vec<RelayId>,
        /// Relays to use.
        connected: Vec<Relay>,
    },
    /// A gateway accepted our request.
    Authorized(Box<Authorized>),
    /// A request was refused.
    Refused {
        /// The resource that was asked for.
        resource: ResourceId,
        /// Why.
        reason: Refusal,
    },
    /// Addresses under which a gateway may be reached.
    CandidatesAdded {
        /// The gateway.
        gateway: GatewayId,
        /// The addresses.
        candidates: Vec<Candidate>,
    },
    /// Addresses that no longer lead to a gateway.
    CandidatesRemoved {
        /// The gateway.
        gateway: GatewayId,
        /// The addresses.
        candidates: Vec<Candidate>,
    },
}

/// Why the portal refused a request. spec: portal 6.1
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It does not say more, or the user may not.
    Denied,
    /// No gateway of the resource's sites is online.
    Offline,
    /// Gateways are online, but none that understands this version.
    Incompatible,
}

/// How to reach a resource through a gateway. spec: portal 5.7
#[derive(Debug, Clone)]
pub struct Authorized {
    /// The resource that was asked for.
    pub resource: ResourceId,
    /// The gateway that accepted.
    pub gateway: GatewayId,
    /// The gateway's site.
    pub site: SiteId,
    /// The gateway's WireGuard key.
    pub public_key: PublicKey,
    /// The gateway's IPv4 address inside the tunnel.
    pub ipv4: Ipv4Addr,
    /// The gateway's IPv6 address inside the tunnel.
    pub ipv6: Ipv6Addr,
    /// Secret of the WireGuard session.
    pub preshared_key: PresharedKey,
    /// Our credentials for connectivity checks.
    pub client_ice: IceCredentials,
    /// The gateway's credentials for connectivity checks.
    pub gateway_ice: IceCredentials,
}

/// What the tunnel wants told to the portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortalRequest {
    /// Ask for access to a resource. Worthless when late: traffic repeats it.
    CreateFlow {
        /// The resource.
        resource: ResourceId,
        /// Gateways with a connection, now or recently.
        connected_gateways: BTreeSet<GatewayId>,
    },
    /// Addresses under which a gateway may reach us. Must not be lost.
    AddCandidates {
        /// The gateway.
        gateway: GatewayId,
        /// The addresses.
        candidates: Vec<Candidate>,
    },
    /// Addresses that no longer lead to us. Must not be lost.
    RemoveCandidates {
        /// The gateway.
        gateway: GatewayId,
        /// The addresses.
        candidates: Vec<Candidate>,
    },
    /// Connect anew: no relay is usable, and a new `init` brings some. spec: portal 4.6
    Reconnect,
}

/// Names a query that waits for its answer from a server outside the tunnel; not its ID in the
/// message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub(crate) u64);

/// How a query travels to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsTransport {
    /// Over TCP, RFC 7766.
    Tcp,
    /// Over UDP.
    Udp,
}

/// How a server outside the tunnel may be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DnsAccess {
    /// By anybody, with plain DNS.
    #[default]
    Plain,
    /// By the operating system alone, which protects its queries in a way of its own.
    Managed,
}

/// A resolver of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it may be asked.
    pub access: DnsAccess,
}

impl From<SocketAddr> for DnsServer {
    /// A server that anybody may ask.
    fn from(address: SocketAddr) -> Self {
        let access = DnsAccess::Plain;
        Self { address, access }
    }
}

/// A query that is to be answered by a server outside the tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsQuery {
    /// To hand in with the answer.
    pub id: QueryId,
    /// The server to ask.
    pub server: SocketAddr,
    /// How to ask it.
    pub transport: DnsTransport,
    /// How it may be asked, as far as was known when the query was made. What is known when the
    /// query goes out may only be stricter.
    pub access: DnsAccess,
    /// The DNS message.
    pub message: Vec<u8>,
}

/// Why a server outside the tunnel gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsFailure {
    /// The server cannot be reached or answered nonsense.
    Failed,
    /// The server did not answer in time.
    TimedOut,
}

/// What is known of a site, the best last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SiteState {
    /// Nothing is known.
    #[default]
    Unknown,
    /// No gateway is online.
    Offline,
    /// A gateway is connected.
    Online,
}

/// A resource as an application shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceStatus {
    /// The resource.
    pub resource: Resource,
    /// The best state among its sites.
    pub state: SiteState,
    /// The gateway that carries its traffic.
    pub gateway: Option<GatewayId>,
}

/// What the application is told; never on the path of packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A connection to a gateway ended.
    GatewayClosed {
        /// The gateway.
        gateway: GatewayId,
        /// Why.
        reason: CloseReason,
    },
    /// A connection to a gateway is up.
    GatewayConnected(GatewayId),
    /// The gateways of a resource understand only other versions of this program.
    NoCompatibleGateway(ResourceId),
    /// The list of resources or the state of one changed.
    ResourcesChanged,
}

/// What the tunnel wants done; see [`Tunnel::poll`](crate::Tunnel::poll).
#[derive(Debug)]
pub enum Output {
    /// Send datagrams; give the buffer back with [`crate::Tunnel::recycle`].
    Send(Transmit),
    /// Write a packet that the tunnel itself made to the TUN device: an answer of the stub
    /// resolver. Packets of gateways come as [`Received::Deliver`](crate::Received::Deliver), in
    /// the buffer of the caller.
    Deliver(Vec<u8>),
    /// Tell the portal.
    Request(PortalRequest),
    /// Configure the interface like this.
    Plan(InterfacePlan),
    /// Ask a DNS server outside the tunnel.
    Query(DnsQuery),
    /// Tell the application.
    Event(Event),
    /// Nothing more. Call [`Tunnel::handle_timeout`](crate::Tunnel::handle_timeout) at this
    /// instant, then poll again. This replaces what an earlier `Idle` said; `None` means that
    /// nothing happens by itself, so that only the next input leads on.
    Idle(Option<Wakeup>),
}
