//! Finds the portal outside the tunnel: its name is looked up at the system's own resolvers, over
//! sockets that never enter the tunnel, so that a tunnel cannot lock itself out.
//! spec: portal 2.10, platform 8

use crate::direct::DirectExchange;
use dns_message::{Response, compose_query, is_truncated, rcode, rtype};
use parking_lot::Mutex;
use platform::{HostTable, ResolverTransport, SystemResolver};
use portal_client::{Dialer, Stream};
use socket_factory::BoxFuture;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};
use tunnel_core::{DnsAccess, DnsServer, DnsTransport};

/// How long a resolver may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long the addresses of one family wait for those of the other. RFC 8305 section 3
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// The system's resolvers, kept up to date by the control task.
pub(crate) type Resolvers = Arc<Mutex<Vec<SystemResolver>>>;

/// Resolvers without those that are our own: asking them would lead into the tunnel.
pub(crate) fn without_our_own(mut resolvers: Vec<SystemResolver>) -> Vec<SystemResolver> {
    resolvers.retain(|resolver| !model::ranges::is_sentinel(resolver.address.ip()));
    resolvers
}

/// What the tunnel has to know of the system's resolvers.
pub(crate) fn servers(resolvers: &[SystemResolver]) -> Vec<DnsServer> {
    let server = |resolver: &SystemResolver| DnsServer {
        address: resolver.address,
        access: match resolver.transport {
            ResolverTransport::Do53 => DnsAccess::Plain,
            ResolverTransport::Managed { .. } => DnsAccess::Managed,
        },
    };
    resolvers.iter().map(server).collect()
}

/// Dials the portal outside the tunnel.
pub(crate) struct DirectDialer {
    pub(crate) direct: DirectExchange,
    pub(crate) resolvers: Resolvers,
    pub(crate) hosts: HostTable,
}

impl Dialer for DirectDialer {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            if let Ok(address) = host.parse() {
                return Ok(vec![address]);
            }
            let known = (self.hosts)(host);
            if !known.is_empty() {
                return Ok(known);
            }
            let resolvers = self.resolvers.lock().clone();
            look_up(&self.direct, resolvers, host).await
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        let stream = self.direct.sockets.tcp.connect(address);
        Box::pin(async move { Ok(Box::new(stream.await?) as Box<dyn Stream>) })
    }
}

/// What a resolver knows about a name.
#[derive(Debug)]
enum Known {
    /// Some addresses.
    Addresses(Vec<IpAddr>),
    /// That it does not exist or has no address.
    Nothing,
}

/// Asks all resolvers at once for both families; the first one that knows the name decides. Those
/// that did not answer are asked again over TCP, in case that datagrams do not come through.
async fn look_up(
    direct: &DirectExchange,
    mut resolvers: Vec<SystemResolver>,
    host: &str,
) -> io::Result<Vec<IpAddr>> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no resolver is configured");
    for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
        let mut failed = vec![];
        let mut lookups = JoinSet::new();
        for resolver in std::mem::take(&mut resolvers) {
            let (direct, host) = (direct.clone(), host.to_owned());
            let _abort = lookups.spawn(async move {
                let known = ask_both(&direct, resolver, transport, &host).await;
                (resolver, known)
            });
        }
        while let Some(lookup) = lookups.join_next().await {
            let (resolver, known) = lookup.map_err(io::Error::other)?;
            match known {
                Ok(Known::Addresses(addresses)) => return Ok(addresses),
                Ok(Known::Nothing) => {
                    last = io::Error::new(io::ErrorKind::NotFound, "the name does not exist");
                }
                Err(error) => {
                    tracing::debug!(server = %resolver.address, %error, "No answer about the portal");
                    failed.push(resolver);
                    last = error;
                }
            }
        }
        resolvers = failed;
    }
    Err(last)
}

/// Asks one resolver for both families. Whichever has addresses waits for the other only briefly,
/// because some resolvers never answer about one of them.
async fn ask_both(
    direct: &DirectExchange,
    resolver: SystemResolver,
    transport: DnsTransport,
    host: &str,
) -> io::Result<Known> {
    let mut v4 = pin!(ask(direct, resolver, transport, (host, rtype::A)));
    let mut v6 = pin!(ask(direct, resolver, transport, (host, rtype::AAAA)));
    let nothing = |_| Ok(vec![]);
    let (v4, v6) = tokio::select! {
        v4 = &mut v4 => match &v4 {
            Ok(found) if !found.is_empty() => {
                let v6 = timeout(RESOLUTION_DELAY, v6).await;
                (v4, v6.unwrap_or_else(nothing))
            }
            _ => (v4, v6.await),
        },
        v6 = &mut v6 => match &v6 {
            Ok(found) if !found.is_empty() => {
                let v4 = timeout(RESOLUTION_DELAY, v4).await;
                (v4.unwrap_or_else(nothing), v6)
            }
            _ => (v4.await, v6),
        },
    };
    let addresses = match (v4, v6) {
        (Ok(v4), Ok(v6)) => [v4, v6].concat(),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => found,
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    Ok(match addresses[..] {
        [] => Known::Nothing,
        [..] => Known::Addresses(addresses),
    })
}

async fn ask(
    direct: &DirectExchange,
    resolver: SystemResolver,
    transport: DnsTransport,
    (host, rtype): (&str, u16),
) -> io::Result<Vec<IpAddr>> {
    let query = query(host, rtype)?;
    let mut answer = direct.ask(resolver, transport, &query, TIMEOUT).await?;
    if transport == DnsTransport::Udp && is_truncated(&answer) {
        let whole = direct.ask(resolver, DnsTransport::Tcp, &query, TIMEOUT);
        answer = whole.await?;
    }
    let response = Response::parse(&answer).map_err(io::Error::other)?;
    match response.rcode() {
        rcode::NOERROR | rcode::NXDOMAIN => Ok(response.addresses().collect()),
        rcode => Err(io::Error::other(format!("the response code is {rcode}"))),
    }
}

fn query(host: &str, rtype: u16) -> io::Result<Vec<u8>> {
    let mut id = [0; 2];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut id)
        .map_err(|_| io::Error::other("no entropy"))?;
    let host = host.trim_end_matches('.');
    compose_query(u16::from_be_bytes(id), host, rtype).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
