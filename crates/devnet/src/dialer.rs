//! How relay and gateway reach the portal: names are the system's business.

use portal_client::{Dialer, Stream};
use socket_factory::BoxFuture;
use std::{
    io,
    net::{IpAddr, SocketAddr},
};

/// Resolves and connects as any program does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemDialer;

impl Dialer for SystemDialer {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            Ok(tokio::net::lookup_host((host, 0))
                .await?
                .map(|address| address.ip())
                .collect())
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
