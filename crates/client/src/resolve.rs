//! Finds the portal outside the tunnel: its name is looked up at the system's own resolvers, over
//! sockets that never enter the tunnel, so that a tunnel cannot lock itself out.
//! spec: portal 2.10

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use parking_lot::Mutex;
use platform::HostTable;
use portal_client::{Dialer, Stream};
use socket_factory::{BoxFuture, exchange};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// Port of DNS.
const DNS_PORT: u16 = 53;

/// How long a resolver may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The system's resolvers, kept up to date by the control task.
pub(crate) type Resolvers = Arc<Mutex<Vec<SocketAddr>>>;

/// Resolvers without those that are our own: asking them would lead into the tunnel.
pub(crate) fn outside(mut servers: Vec<SocketAddr>) -> Vec<SocketAddr> {
    servers.retain(|server| !model::ranges::is_sentinel(server.ip()));
    servers
}

/// Resolvers at the port of DNS.
pub(crate) fn on_port_53(servers: Vec<IpAddr>) -> Vec<SocketAddr> {
    let at = |server| SocketAddr::new(server, DNS_PORT);
    servers.into_iter().map(at).collect()
}

/// Dials the portal outside the tunnel.
pub(crate) struct OutsideDialer {
    pub(crate) sockets: platform::Sockets,
    pub(crate) resolvers: Resolvers,
    pub(crate) hosts: HostTable,
}

impl Dialer for OutsideDialer {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            if let Ok(address) = host.parse() {
                return Ok(vec![address]);
            }
            let known = (self.hosts)(host);
            if !known.is_empty() {
                return Ok(known);
            }
            let servers = self.resolvers.lock().clone();
            look_up(&self.sockets, &servers, host).await
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        let stream = self.sockets.tcp.connect(address);
        Box::pin(async move { Ok(Box::new(stream.await?) as Box<dyn Stream>) })
    }
}

/// Asks all servers at once for both families; the first one that knows the name decides.
async fn look_up(
    sockets: &platform::Sockets,
    servers: &[SocketAddr],
    host: &str,
) -> io::Result<Vec<IpAddr>> {
    let mut lookups = tokio::task::JoinSet::new();
    for &server in servers {
        let (sockets, host) = (sockets.clone(), host.to_owned());
        lookups.spawn(async move {
            let (v4, v6) = tokio::join!(
                ask(&sockets, server, &host, RecordType::A),
                ask(&sockets, server, &host, RecordType::AAAA),
            );
            match (v4, v6) {
                (Err(error), Err(_)) => Err(error),
                (v4, v6) => Ok([v4.unwrap_or_default(), v6.unwrap_or_default()].concat()),
            }
        });
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no resolver is configured");
    while let Some(result) = lookups.join_next().await {
        match result.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
            Ok(_) => last = io::Error::new(io::ErrorKind::NotFound, "the name does not exist"),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask(
    sockets: &platform::Sockets,
    server: SocketAddr,
    host: &str,
    kind: RecordType,
) -> io::Result<Vec<IpAddr>> {
    let mut id = [0; 2];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut id)
        .map_err(|_| io::Error::other("no entropy"))?;
    let mut query = Message::new(u16::from_be_bytes(id), MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    let name = Name::from_ascii(format!("{}.", host.trim_end_matches('.')));
    query.add_query(Query::query(name.map_err(io::Error::other)?, kind));
    let bytes = query.to_vec().map_err(io::Error::other)?;
    let answer = exchange(sockets.udp.as_ref(), server, &bytes, TIMEOUT).await?;
    let answer = Message::from_vec(&answer).map_err(io::Error::other)?;
    if answer.metadata.id != query.metadata.id || answer.queries != query.queries {
        return Err(io::Error::other("the answer belongs to another question"));
    }
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(addresses(&answer)),
        code => Err(io::Error::other(code.to_str())),
    }
}

fn addresses(answer: &Message) -> Vec<IpAddr> {
    let address = |data: &RData| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    };
    answer
        .answers
        .iter()
        .filter_map(|record| address(&record.data))
        .collect()
}

#[cfg(test)]
mod tests;
