//! A program with the client inside: no rights, no TUN device, no account.
//!
//! ```console
//! $ cargo run --package client --example embed
//! ```
//!
//! It starts a development portal, relay and gateway in this process, connects to them, and sends a
//! datagram to a resource and an answer back, over an in-memory device. What another program needs
//! is `embed`; the rest is what would be elsewhere.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use client::{Event, Session, Settings};
use devnet::{gateway, portal::LocalPortal, relay};
use ip_packet::{IpPacket, emit_udp};
use model::{Seed, limits};
use platform::memory::{MemoryControl, MemoryPlatform};
use serde_json::json;
use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{LocalSet, spawn_local},
    time::timeout,
};
use url::Url;

type Fault = Box<dyn Error>;

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Somebody in the network behind the gateway.
const RESOURCE: &str = "10.20.0.9:7";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    LocalSet::new().run_until(run()).await
}

async fn run() -> Result<(), Fault> {
    let network = Network::start().await?;
    embed(network.portal.url().parse()?, &network.behind).await
}

/// All that a program does to have a client inside.
async fn embed(portal: Url, behind: &MemoryControl) -> Result<(), Fault> {
    // On a real host: `platform_linux::LinuxPlatform::open(Default::default())?`.
    let (platform, device) = MemoryPlatform::new();
    let mut settings = Settings::new(
        portal,
        "client-token".into(),
        portal_client::external_id("the example"),
        user_agent(),
    );
    // Any port will do: another client may have the usual one.
    settings.preferred_port = 0;
    let (session, mut events) = Session::connect(settings, platform)?;

    while let Some(event) = events.next().await {
        match event {
            Event::InterfaceChanged(plan) => println!("our address is {}", plan.ipv4),
            Event::Ready(after) => {
                println!("ready after {after:?}");
                break;
            }
            Event::Disconnected(reason) => return Err(reason.into()),
            _ => {}
        }
    }
    let status = session.status().await.ok_or("the session is over")?;
    for resource in &status.resources {
        println!("may use {}", resource.resource.name());
    }
    let plan = status.plan.ok_or("there is no interface")?;
    let ours = SocketAddr::from((plan.ipv4, 4000));

    // What an application on a real host would do with a socket.
    let query = datagram(ours, RESOURCE.parse()?, b"hello?")?;
    let arrived = loop {
        device.send(&query);
        // The first one asks for the connection; before the gateway is there it is in vain.
        if let Ok(packet) = timeout(Duration::from_millis(500), behind.recv()).await {
            break packet;
        }
    };
    println!("behind the gateway: {}", text(&arrived)?);
    behind.send(&datagram(RESOURCE.parse()?, ours, b"hello!")?);
    println!("back at the client: {}", text(&device.recv().await)?);

    for (gateway, peer) in session
        .status()
        .await
        .into_iter()
        .flat_map(|s| s.connections)
    {
        println!("{gateway}: {:?}, {} bytes sent", peer.path, peer.sent);
    }
    session.disconnect().await;
    Ok(())
}

fn user_agent() -> String {
    // On a real host: `host::os_info()`.
    let os = model::OsInfo {
        name: "Example".into(),
        version: "1.0.0".into(),
        arch: Some(std::env::consts::ARCH.into()),
        kernel: None,
    };
    client::user_agent(&os)
}

fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut packet = vec![0; limits::MTU];
    let length = emit_udp(&mut packet, from, to, payload).ok_or("it does not fit")?;
    packet.truncate(length);
    Ok(packet)
}

fn text(packet: &[u8]) -> Result<String, Fault> {
    let packet = IpPacket::parse(packet)?;
    let payload = String::from_utf8_lossy(packet.udp_payload()).into_owned();
    Ok(format!("{payload:?} from {}", packet.source()))
}

/// What would be elsewhere: a portal, a relay and a gateway. They end with the value.
struct Network {
    portal: LocalPortal,
    /// The network behind the gateway.
    behind: MemoryControl,
    _stop: [mpsc::Sender<()>; 2],
}

impl Network {
    async fn start() -> Result<Self, Fault> {
        let portal = start_portal().await?;
        let url: Url = portal.url().parse()?;
        let relay = start_relay(url.clone()).await?;
        let (behind, gateway) = start_gateway(url);
        Ok(Self {
            portal,
            behind,
            _stop: [relay, gateway],
        })
    }
}

async fn start_portal() -> Result<LocalPortal, Fault> {
    let config = json!({
        "sites": [{ "name": "site" }],
        "tokens": [
            { "token": "client-token", "kind": "client", "actor": "somebody" },
            { "token": "gateway-token", "kind": "gateway", "site": "site" },
            { "token": "relay-token", "kind": "relay" },
        ],
        "resources": [
            { "name": "a network", "type": "cidr", "address": "10.20.0.0/16", "sites": ["site"] },
        ],
    });
    Ok(LocalPortal::start(&config).await?)
}

async fn start_relay(api_url: Url) -> Result<mpsc::Sender<()>, Fault> {
    let free = UdpSocket::bind((LOOPBACK, 0)).await?.local_addr()?.port();
    let config = relay::Config {
        api_url,
        token: "relay-token".into(),
        name: "relay".into(),
        ipv4: Some(LOOPBACK),
        ipv6: None,
        port: free,
        user_agent: "relay/1.0.0".into(),
        seed: Seed::from_bytes([1; 32]),
    };
    let (stop, stopped) = mpsc::channel(1);
    spawn_local(async move {
        let ended = relay::run(config, stopped).await;
        println!("the relay ended: {ended:?}");
    });
    Ok(stop)
}

fn start_gateway(api_url: Url) -> (MemoryControl, mpsc::Sender<()>) {
    let config = gateway::Config {
        api_url,
        token: "gateway-token".into(),
        name: "gateway".into(),
        external_id: "a gateway".into(),
        user_agent: user_agent(),
        seed: Seed::from_bytes([2; 32]),
    };
    let (platform, behind) = MemoryPlatform::new();
    let (stop, stopped) = mpsc::channel(1);
    spawn_local(async move {
        let ended = gateway::run(config, platform, stopped).await;
        println!("the gateway ended: {ended:?}");
    });
    (behind, stop)
}
