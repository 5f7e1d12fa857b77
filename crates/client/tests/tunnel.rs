//! A client and a gateway with a portal and a relay between them, all in this process: packets
//! go in at one in-memory device and come out of the other.

#![expect(clippy::unwrap_used, reason = "what cannot go on fails the test")]

use client::{Event, Session, Settings};
use devnet::{gateway, portal, relay};
use ip_packet::{IpPacket, Transport, emit_udp};
use model::{Seed, limits};
use platform::memory::{MemoryControl, MemoryPlatform};
use serde_json::json;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    task::{LocalSet, spawn_local},
    time::timeout,
};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays harms nobody.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Starts a portal; its address.
async fn start_portal(folder: &Folder) -> SocketAddr {
    fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join("portal.json");
    let text = json!({
        "sites": [{ "name": "site" }],
        "tokens": [
            { "token": "client-token", "kind": "client", "actor": "anna" },
            { "token": "gateway-token", "kind": "gateway", "site": "site" },
            { "token": "relay-token", "kind": "relay" },
        ],
        "resources": [
            { "name": "net", "type": "cidr", "address": "10.20.0.0/16", "sites": ["site"],
              "filters": [{ "protocol": "udp", "ports": ["7"] }] },
        ],
    });
    fs::write(&path, text.to_string()).unwrap();
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = portal::Options {
        settings: path,
        state: None,
        control: None,
    };
    spawn_local(async move {
        portal::run(options, vec![listener], std::future::pending::<()>())
            .await
            .unwrap();
    });
    address
}

/// Starts a relay on a port that was free a moment ago.
async fn start_relay(portal: SocketAddr) -> mpsc::Sender<()> {
    let port = {
        let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
        socket.local_addr().unwrap().port()
    };
    let config = relay::Config {
        api_url: format!("ws://{portal}/").parse().unwrap(),
        token: "relay-token".into(),
        name: "relay".into(),
        ipv4: Some(LOOPBACK),
        ipv6: None,
        port,
        user_agent: "relay/1.0.0".into(),
        seed: Seed::from_bytes([1; 32]),
    };
    let (stop, stopped) = mpsc::channel(2);
    spawn_local(async move { relay::run(config, stopped).await.unwrap() });
    stop
}

fn start_gateway(portal: SocketAddr) -> (MemoryControl, mpsc::Sender<()>) {
    let config = gateway::Config {
        api_url: format!("ws://{portal}/").parse().unwrap(),
        token: "gateway-token".into(),
        name: "gateway".into(),
        external_id: "gateway-box".into(),
        user_agent: user_agent(),
        seed: Seed::from_bytes([2; 32]),
    };
    let (platform, control) = MemoryPlatform::new();
    let (stop, stopped) = mpsc::channel(1);
    spawn_local(async move { gateway::run(config, platform, stopped).await.unwrap() });
    (control, stop)
}

fn user_agent() -> String {
    let (name, version) = ("Ubuntu".into(), "24.4.0".into());
    let os = model::OsInfo {
        name,
        version,
        arch: None,
        kernel: None,
    };
    portal_client::user_agent("connlib", "1.5.2", &os)
}

fn datagram(from: &str, to: &str) -> Vec<u8> {
    let mut bytes = vec![0; limits::MTU];
    let length = emit_udp(
        &mut bytes,
        from.parse().unwrap(),
        to.parse().unwrap(),
        b"hello",
    );
    bytes.truncate(length.unwrap());
    bytes
}

async fn received(control: &MemoryControl) -> Vec<u8> {
    timeout(LIMIT, control.recv())
        .await
        .expect("a packet in time")
}

#[tokio::test]
async fn packets_cross_the_tunnel_and_what_is_not_granted_is_answered() {
    LocalSet::new().run_until(cross()).await;
}

async fn cross() {
    let name = format!("tunnel-{}", std::process::id());
    let folder = Folder(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name));
    let portal = start_portal(&folder).await;
    let _relay = start_relay(portal).await;
    let (behind, _gateway) = start_gateway(portal);

    let (platform, control) = MemoryPlatform::new();
    let url = format!("ws://{portal}/").parse().unwrap();
    let mut settings = Settings::new(
        url,
        "client-token".into(),
        "client-box".into(),
        user_agent(),
    );
    settings.preferred_port = 0;
    let (session, mut events) = Session::connect(settings, platform).unwrap();
    let plan = loop {
        match timeout(LIMIT, events.next()).await.unwrap().unwrap() {
            Event::InterfaceChanged(plan) => break plan,
            Event::Disconnected(reason) => panic!("{reason:?}"),
            _ => {}
        }
    };
    let ours = format!("{}:4000", plan.ipv4);

    // The first packet asks for the connection; more of it may be needed until everybody is there.
    let there = async {
        loop {
            control.send(&datagram(&ours, "10.20.0.9:7"));
            let patience = Duration::from_millis(500);
            if let Ok(bytes) = timeout(patience, behind.recv()).await {
                return bytes;
            }
        }
    };
    let there = timeout(LIMIT, there).await.expect("a connection in time");
    assert_eq!(there, datagram(&ours, "10.20.0.9:7"));
    let back = datagram("10.20.0.9:7", &ours);
    behind.send(&back);
    assert_eq!(received(&control).await, back);

    // Another port is filtered by the client itself or by the gateway: an ICMP error or nothing,
    // but it never reaches the network behind.
    control.send(&datagram(&ours, "10.20.0.9:8"));
    // A spoofed answer of another port is dropped on the way back.
    behind.send(&datagram("10.20.0.9:8", &ours));
    control.send(&datagram(&ours, "10.20.0.10:7"));
    let next = loop {
        let bytes = received(&behind).await;
        // Repetitions of the first packet may still be on their way.
        if bytes != there {
            break bytes;
        }
    };
    assert_eq!(next, datagram(&ours, "10.20.0.10:7"));
    behind.send(&datagram("10.20.0.10:7", &ours));
    loop {
        let bytes = received(&control).await;
        let packet = IpPacket::parse(&bytes[..]).unwrap();
        match packet.transport() {
            Transport::IcmpError { .. } => {}
            _ => {
                assert_eq!(bytes, datagram("10.20.0.10:7", &ours));
                break;
            }
        }
    }
    assert_eq!(session.status().await.unwrap().connections.len(), 1);
    session.disconnect().await;
}
