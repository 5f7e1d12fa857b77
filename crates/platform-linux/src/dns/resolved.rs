//! DNS control through `systemd-resolved` over D-Bus. spec: platform 4.1, 5, 6
//!
//! All settings belong to the interface and vanish with it.

mod bus;
mod record;
mod servers;

pub(crate) use bus::Bus;
pub(crate) use record::ask;

use bus::{LINK, MANAGER, MANAGER_PATH, call, error_name, fault, look};
use model::DomainName;
use platform::{PlatformFault, SystemResolver};
use servers::{Link, Manager, Properties};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};
use zbus::{Connection, zvariant::OwnedObjectPath};

/// How long it may take `systemd-resolved` to hear of an interface that was just made.
const ACQUAINTANCE: Duration = Duration::from_secs(2);

/// Time between two tries until then.
const PAUSE: Duration = Duration::from_millis(50);

/// Links that are looked at in detail.
const MAX_LINKS: usize = 64;

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What `systemd-resolved` says about others' servers and about ours.
#[derive(Debug)]
pub(crate) struct View {
    /// Servers that it would use without us.
    pub(crate) upstreams: Vec<SystemResolver>,
    /// How many of them were left out, because nobody could ask them.
    pub(crate) left_out: usize,
    /// Servers of our own link, and whether all names are led there.
    pub(crate) own: (Vec<IpAddr>, bool),
}

/// Points the interface at our resolvers, which must be some.
///
/// With a search domain the catch-all route `~.` is set as well, so that other links' resolvers are
/// not asked for unrelated names in parallel. The client's stub resolver neither signs nor encrypts,
/// so DNSSEC and DNS over TLS are off for this link whatever is usual elsewhere.
pub(crate) async fn set(
    connection: &Connection,
    link: u32,
    servers: &[IpAddr],
    search: Option<&DomainName>,
) -> Result<(), PlatformFault> {
    let link = index(link)?;
    let fail = |action: &'static str| move |error| fault(&error, action);
    acquaint(connection, link)
        .await
        .map_err(fail("set-dnssec"))?;
    call(connection, "SetLinkDNSOverTLS", &(link, "no"))
        .await
        .map_err(fail("set-dns-over-tls"))?;
    // Single-label names reach the client by LLMNR. spec: data-plane 12.7
    for (method, value) in [("SetLinkLLMNR", "yes"), ("SetLinkMulticastDNS", "no")] {
        if let Err(error) = call(connection, method, &(link, value)).await {
            tracing::debug!(%error, method, "The resolver of the system keeps its own choice");
        }
    }
    let servers: Vec<(i32, Vec<u8>)> = servers.iter().copied().map(family_and_bytes).collect();
    call(connection, "SetLinkDNS", &(link, servers))
        .await
        .map_err(fail("set-dns-servers"))?;
    let search = search.map(|domain| (domain.to_string(), false));
    let domains: Vec<(String, bool)> = search.into_iter().chain([(".".into(), true)]).collect();
    call(connection, "SetLinkDomains", &(link, domains))
        .await
        .map_err(fail("set-domains"))?;
    call(connection, "SetLinkDefaultRoute", &(link, true))
        .await
        .map_err(fail("set-default-route"))
}

/// The first setting, tried until `systemd-resolved` knows the interface.
async fn acquaint(connection: &Connection, link: i32) -> zbus::Result<()> {
    let started_at = Instant::now();
    loop {
        match call(connection, "SetLinkDNSSEC", &(link, "no")).await {
            Err(error)
                if error_name(&error) == Some("org.freedesktop.resolve1.NoSuchLink")
                    && started_at.elapsed() < ACQUAINTANCE =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

/// Takes all settings from the interface, which may be gone.
pub(crate) async fn revert(connection: &Connection, link: u32) {
    let Ok(link) = index(link) else { return };
    let manager = (MANAGER_PATH, MANAGER);
    if let Err(error) = look::<_, ()>(connection, manager, "RevertLink", &link).await {
        tracing::debug!(%error, "Nothing to revert in systemd-resolved");
    }
}

/// Forgets cached answers.
pub(crate) async fn flush(connection: &Connection) {
    let manager = (MANAGER_PATH, MANAGER);
    if let Err(error) = look::<_, ()>(connection, manager, "FlushCaches", &()).await {
        tracing::warn!(%error, "Cannot flush the DNS cache of systemd-resolved");
    }
}

/// Looks at all servers. Starts the service if that is wanted.
pub(crate) async fn view(connection: &Connection, own: Option<u32>) -> Result<View, PlatformFault> {
    let fail = |error| fault(&error, "read");
    let manager = properties(connection, MANAGER_PATH, MANAGER)
        .await
        .map_err(fail)?;
    let manager = Manager::parse(&manager);
    let mut links = BTreeMap::new();
    for link in manager.links(own).into_iter().take(MAX_LINKS) {
        match examine(connection, link).await {
            Ok(details) => {
                links.insert(link, details);
            }
            // It may have gone meanwhile.
            Err(error) => tracing::debug!(%error, link, "Cannot look at a link"),
        }
    }
    let (upstreams, left_out) = manager.upstreams(&links, own);
    let own = own.map(|own| (manager.servers_of(own).collect(), manager.is_catch_all(own)));
    Ok(View {
        upstreams,
        left_out,
        own: own.unwrap_or_default(),
    })
}

/// Whether it answers; starts it if the system can.
pub(crate) async fn answers(connection: &Connection) -> Result<(), PlatformFault> {
    let peer = "org.freedesktop.DBus.Peer";
    connection
        .call_method(Some(bus::SERVICE), MANAGER_PATH, Some(peer), "Ping", &())
        .await
        .map(|_| ())
        .map_err(|error| fault(&error, "ping"))
}

/// The system bus cannot be reached.
pub(crate) fn no_bus(error: &zbus::Error) -> PlatformFault {
    fault(error, "connect")
}

async fn examine(connection: &Connection, link: u32) -> zbus::Result<Link> {
    let link = i32::try_from(link).map_err(|_| zbus::Error::InvalidField)?;
    let manager = (MANAGER_PATH, MANAGER);
    let path: OwnedObjectPath = look(connection, manager, "GetLink", &link).await?;
    let properties = properties(connection, path.as_str(), LINK).await?;
    Ok(Link::parse(&properties))
}

async fn properties(
    connection: &Connection,
    path: &str,
    interface: &str,
) -> zbus::Result<Properties> {
    look(connection, (path, PROPERTIES), "GetAll", &interface).await
}

fn index(link: u32) -> Result<i32, PlatformFault> {
    i32::try_from(link).map_err(|_| PlatformFault::NoTun)
}

fn family_and_bytes(address: IpAddr) -> (i32, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    }
}
