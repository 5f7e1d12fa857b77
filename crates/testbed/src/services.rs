//! What the testbed serves: HTTP, echoes and names. The services run in this process, on threads
//! of their hosts.

mod dns;
mod echo;
mod http;

use super::{
    fault::{Context as _, Fault},
    host::Host,
    layout,
};
use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    thread::JoinHandle,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::oneshot,
};

pub(crate) use http::{block, digest_of_stream, hex};

/// Services of one host; they end with the value.
#[derive(Debug)]
pub(crate) struct Service {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// HTTP, echoes and the names of the resource network.
    pub(crate) fn resource(host: &Host) -> Result<Self, Fault> {
        Self::start(host, || async {
            let http = TcpListener::bind(any(layout::HTTP_PORT)).await?;
            let echo = UdpSocket::bind(any(layout::ECHO_PORT)).await?;
            let dns = UdpSocket::bind(any(dns::PORT)).await?;
            let dns_tcp = TcpListener::bind(any(dns::PORT)).await?;
            Ok(async move {
                let zone = dns::Zone::Internal;
                let (udp, tcp) = (dns::serve(dns, zone), dns::serve_tcp(dns_tcp, zone));
                tokio::join!(http::serve(http), echo::serve(echo), udp, tcp);
            })
        })
    }

    /// The public resolver.
    pub(crate) fn resolver(host: &Host) -> Result<Self, Fault> {
        Self::start(host, || async {
            let dns = UdpSocket::bind(any(dns::PORT)).await?;
            let dns_tcp = TcpListener::bind(any(dns::PORT)).await?;
            Ok(async move {
                let zone = dns::Zone::Public;
                tokio::join!(dns::serve(dns, zone), dns::serve_tcp(dns_tcp, zone));
            })
        })
    }

    /// Binds on the host, and serves from then on until the value is dropped.
    fn start<B, S>(host: &Host, bind: impl FnOnce() -> B + Send + 'static) -> Result<Self, Fault>
    where
        B: Future<Output = io::Result<S>>,
        S: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let (report, bound) = std::sync::mpsc::channel();
        let thread = host.start(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => return drop(report.send(Err(error))),
            };
            runtime.block_on(async move {
                let serving = match bind().await {
                    Ok(serving) => serving,
                    Err(error) => return drop(report.send(Err(error))),
                };
                drop(report.send(Ok(())));
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        })?;
        let bound = bound
            .recv()
            .map_err(io::Error::other)
            .and_then(|result| result);
        bound.context(|| format!("start the services of {}", host.name()))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic was already reported where it happened.
            drop(thread.join());
        }
    }
}

/// Every address of both families.
fn any(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}
