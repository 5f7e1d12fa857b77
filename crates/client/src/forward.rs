//! Asks DNS servers outside the tunnel for programs on this host. spec: data-plane 12.5

use socket_factory::exchange;
use std::{io, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tunnel_core::{DnsFailure, DnsQuery, DnsTransport, QueryId};

/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the server and returns what the tunnel is to be told.
pub(crate) async fn forward(
    sockets: platform::Sockets,
    query: DnsQuery,
) -> (QueryId, Result<Vec<u8>, DnsFailure>) {
    let answer = match query.transport {
        DnsTransport::Udp => {
            exchange(sockets.udp.as_ref(), query.server, &query.message, TIMEOUT).await
        }
        DnsTransport::Tcp => tokio::time::timeout(TIMEOUT, over_tcp(&sockets, &query))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    };
    let answer = answer.map_err(|error| {
        tracing::debug!(%error, "A DNS server gave no answer");
        match error.kind() {
            io::ErrorKind::TimedOut => DnsFailure::TimedOut,
            _ => DnsFailure::Failed,
        }
    });
    (query.id, answer)
}

/// One query over a connection of its own, RFC 1035 section 4.2.2.
async fn over_tcp(sockets: &platform::Sockets, query: &DnsQuery) -> io::Result<Vec<u8>> {
    let mut stream = sockets.tcp.connect(query.server).await?;
    let length = u16::try_from(query.message.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&query.message);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
