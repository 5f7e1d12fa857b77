//! The portal over real sockets, with our own channels as client, gateway and relay.

#![expect(clippy::unwrap_used, reason = "what cannot go on fails the test")]

use devnet::portal::{Options, control, run};
use futures_util::{FutureExt as _, future::BoxFuture};
use model::{Candidate, PublicKey, ResourceId, Seed};
use portal_client::{
    Channel, ChannelError, ChannelEvent, Dialer, Login, Messages, Party, RetryPolicy, Sent, Stream,
    TokenError, v1,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

const SETTINGS: &str = r#"{
    "sites": [{"name": "site-a"}],
    "tokens": [
        {"token": "client-token", "kind": "client", "actor": "anna"},
        {"token": "gateway-token", "kind": "gateway", "site": "site-a"},
        {"token": "relay-token", "kind": "relay"}
    ],
    "resources": [
        {"name": "net", "type": "cidr", "address": "10.20.0.0/16", "sites": ["site-a"]}
    ]
}"#;

struct Tcp;

impl Dialer for Tcp {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        async { Err(io::ErrorKind::Unsupported.into()) }.boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        }
        .boxed()
    }
}

/// A portal on both loopback addresses, with files of its own.
struct Running {
    folder: PathBuf,
    addresses: [SocketAddr; 2],
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("portal-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("portal.json"), SETTINGS).unwrap();
        Self::restart(folder).await
    }

    async fn restart(folder: PathBuf) -> Self {
        let v4 = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let v6 = TcpListener::bind("[::1]:0").await.unwrap();
        let addresses = [v4.local_addr().unwrap(), v6.local_addr().unwrap()];
        let options = Options {
            settings: folder.join("portal.json"),
            state: Some(folder.join("state.json")),
            control: Some(folder.join("control")),
        };
        let (shutdown, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            run(options, vec![v4, v6], stopped).await.unwrap();
        });
        Self {
            folder,
            addresses,
            shutdown,
            task,
        }
    }

    async fn stop(self) -> PathBuf {
        self.shutdown.send(()).unwrap();
        timeout(LIMIT, self.task).await.unwrap().unwrap();
        self.folder
    }

    fn channel<M: Messages>(&self, family: usize, party: Party, token: &str) -> Channel<M> {
        let url = format!("ws://{}/", self.addresses[family]);
        let agent = match party {
            Party::Relay { .. } => "relay/1.0.0",
            _ => "Ubuntu/24.4.0 connlib/1.5.2 (x86_64)",
        };
        let login = Login::new(&url.parse().unwrap(), party, &token.into(), "my-box", agent);
        let login = login.unwrap().named("box").unwrap();
        let seed = Seed::from_bytes([1; 32]);
        Channel::new(login, Arc::new(Tcp), RetryPolicy::default(), seed)
    }

    async fn say(&self, command: Value) -> Value {
        let path = self.folder.join("control");
        // The socket may not be there yet right after the start.
        let answer = async {
            loop {
                match control(&path, &command).await {
                    Ok(answer) => return answer,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        timeout(LIMIT, answer).await.unwrap()
    }
}

async fn message<M: Messages>(channel: &mut Channel<M>) -> M::Incoming {
    loop {
        match timeout(LIMIT, channel.next()).await.unwrap().unwrap() {
            ChannelEvent::Message(message) => return message,
            ChannelEvent::Joined => {}
            ChannelEvent::Reconnecting { error, .. } => panic!("{error:?}"),
        }
    }
}

fn client(running: &Running) -> Channel<v1::Client> {
    let mut channel = running.channel(0, Party::Client, "client-token");
    channel.connect(Some(PublicKey::from_bytes([1; 32])));
    channel
}

fn gateway(running: &Running) -> Channel<v1::Gateway> {
    let mut channel = running.channel(1, Party::Gateway, "gateway-token");
    channel.connect(Some(PublicKey::from_bytes([2; 32])));
    channel
}

fn relay(running: &Running) -> Channel<v1::Relay> {
    let party = Party::Relay {
        ipv4: Some([127, 0, 0, 1].into()),
        ipv6: Some("::1".parse().unwrap()),
        port: 3478,
        stamp_secret: "stamp".into(),
    };
    let mut channel = running.channel(0, party, "relay-token");
    channel.connect(None);
    channel
}

fn candidate(port: u16) -> Vec<Candidate> {
    let text = format!("candidate:77 1 udp 5 203.0.113.30 {port} typ host");
    vec![text.parse().unwrap()]
}

/// Lets the client through to `net`; what each side was told.
async fn introduce(
    client: &mut Channel<v1::Client>,
    gateway: &mut Channel<v1::Gateway>,
    resource_id: ResourceId,
) -> (v1::gateway::AuthorizeFlow, v1::client::FlowCreated) {
    let wish = v1::client::ToPortal::CreateFlow {
        resource_id,
        connected_gateway_ids: BTreeSet::new(),
    };
    assert_eq!(client.send(wish), Sent::Queued);
    let asking = tokio::select! {
        asked = message(gateway) => asked,
        told = message(client) => panic!("told too early: {told:?}"),
    };
    let v1::gateway::FromPortal::AuthorizeFlow(asked) = asking else {
        panic!("{asking:?}")
    };
    let agreed = v1::gateway::ToPortal::FlowAuthorized {
        reference: asked.reference.clone(),
    };
    assert_eq!(gateway.send(agreed), Sent::Queued);
    let told = tokio::select! {
        told = message(client) => told,
        more = message(gateway) => panic!("{more:?}"),
    };
    let v1::client::FromPortal::FlowCreated(told) = told else {
        panic!("{told:?}")
    };
    (*asked, *told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_gateway_and_relay_meet() {
    let running = Running::start("meet").await;
    let mut relay = relay(&running);
    assert_eq!(message(&mut relay).await, v1::relay::FromPortal::Init);
    let mut gateway = gateway(&running);
    let v1::gateway::FromPortal::Init(gateway_init) = message(&mut gateway).await else {
        panic!()
    };
    let mut client = client(&running);
    let v1::client::FromPortal::Init(init) = message(&mut client).await else {
        panic!()
    };
    assert_eq!(init.relays.len(), 1);
    assert_eq!(init.relays[0].id, gateway_init.relays[0].id);
    assert_ne!(init.relays[0].username, gateway_init.relays[0].username);
    assert_eq!(init.relays[0].addresses().count(), 2);

    let (asked, told) = introduce(&mut client, &mut gateway, init.resources[0].id()).await;
    assert_eq!(asked.client.preshared_key, told.preshared_key);
    assert_eq!(asked.client.ipv4, init.interface.ipv4);
    assert_eq!(told.gateway_ipv6, gateway_init.interface.ipv6);

    let ours = v1::client::CandidatesForGateways {
        gateway_ids: vec![told.gateway_id],
        candidates: candidate(1),
    };
    client.send(v1::client::ToPortal::BroadcastIceCandidates(ours));
    let theirs = v1::gateway::CandidatesForClients {
        client_ids: vec![asked.client.id],
        candidates: candidate(2),
    };
    gateway.send(v1::gateway::ToPortal::BroadcastIceCandidates(theirs));
    let (at_client, at_gateway) = tokio::join!(message(&mut client), message(&mut gateway));
    assert!(
        matches!(at_client, v1::client::FromPortal::IceCandidates(of) if of.candidates == candidate(2))
    );
    assert!(
        matches!(at_gateway, v1::gateway::FromPortal::IceCandidates(of) if of.candidates == candidate(1))
    );

    let folder = running.stop().await;
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_change_a_running_portal() {
    let running = Running::start("operate").await;
    let mode = |name: &str| {
        let metadata = fs::metadata(running.folder.join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    let status = running.say(json!({"cmd": "status"})).await;
    assert_eq!(
        (status["ok"].as_bool(), mode("control")),
        (Some(true), 0o600)
    );

    let mut client = client(&running);
    message(&mut client).await;
    let added = json!({"cmd": "resource_add", "resource":
        {"name": "wiki", "type": "dns", "address": "wiki.test", "sites": ["site-a"]}});
    assert_eq!(running.say(added.clone()).await["ok"], true);
    let news = message(&mut client).await;
    assert!(
        matches!(news, v1::client::FromPortal::ResourceCreatedOrUpdated(r) if r.name() == "wiki")
    );
    assert_eq!(running.say(added).await["ok"], false);
    assert_eq!(running.say(json!({"cmd": "no such"})).await["ok"], false);
    assert_eq!(running.say(json!({"cmd": "reload"})).await["ok"], true);

    let revoked = running
        .say(json!({"cmd": "token_revoke", "actor": "anna"}))
        .await;
    assert_eq!(revoked["ok"], true);
    let end = timeout(LIMIT, client.next()).await.unwrap();
    assert!(matches!(
        end,
        Err(ChannelError::TokenInvalid(TokenError::Expired))
    ));
    let mut client = self::client(&running);
    let end = timeout(LIMIT, client.next()).await.unwrap();
    let Err(ChannelError::TokenInvalid(TokenError::Rejected(Some(detail)))) = end else {
        panic!("{:?}", end.err())
    };
    assert_eq!(detail, "Invalid token");

    let folder = running.stop().await;
    let written = fs::read_to_string(folder.join("portal.json")).unwrap();
    assert!(written.contains("wiki.test") && !written.contains("client-token"));
    assert!(!folder.join("control").exists());
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_cuts_no_tunnel() {
    let running = Running::start("restart").await;
    let mut gateway = gateway(&running);
    message(&mut gateway).await;
    let mut client = client(&running);
    let v1::client::FromPortal::Init(before) = message(&mut client).await else {
        panic!()
    };
    let (asked, _) = introduce(&mut client, &mut gateway, before.resources[0].id()).await;
    drop((client, gateway));

    let running = Running::restart(running.stop().await).await;
    let mut gateway = self::gateway(&running);
    let v1::gateway::FromPortal::Init(init) = message(&mut gateway).await else {
        panic!()
    };
    assert_eq!(init.authorizations.len(), 1);
    assert_eq!(init.authorizations[0].client_id, asked.client.id);
    let mut client = self::client(&running);
    let v1::client::FromPortal::Init(after) = message(&mut client).await else {
        panic!()
    };
    assert_eq!(after.interface, before.interface);
    let folder = running.stop().await;
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_portal_does_not_take_the_control_socket() {
    let running = Running::start("twice").await;
    running.say(json!({"cmd": "status"})).await;
    let options = Options {
        settings: running.folder.join("portal.json"),
        state: None,
        control: Some(running.folder.join("control")),
    };
    let second = run(options, vec![], std::future::pending());
    let fault = timeout(LIMIT, second).await.unwrap();
    assert!(matches!(
        fault,
        Err(devnet::portal::PortalFault::Control(_))
    ));
    assert_eq!(running.say(json!({"cmd": "status"})).await["ok"], true);
    fs::remove_dir_all(running.stop().await).unwrap();
}

/// What the portal answers to these bytes, until it hangs up.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is as good an end as any.
    drop(
        timeout(LIMIT, stream.read_to_end(&mut answer))
            .await
            .unwrap(),
    );
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_plain_http_and_garbage_is_survived() {
    let running = Running::start("raw").await;
    let request = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             User-Agent: relay/1.0.0\r\n\r\n"
        )
    };
    for address in running.addresses {
        for (path, status, text) in [
            ("/client/v2/websocket", "404 Not Found", "Not Found"),
            ("/client/websocket", "401 Unauthorized", "Missing token"),
            (
                "/relay/websocket?token=x",
                "401 Unauthorized",
                "Invalid token",
            ),
            (
                "/relay/websocket?token=relay-token",
                "422 Unprocessable Entity",
                "A relay needs",
            ),
        ] {
            let answer = raw(address, request(path).as_bytes()).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{answer}"
            );
            assert!(answer.contains("content-type: text/plain\r\n"), "{answer}");
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(body.starts_with(text), "{answer}");
        }
        for garbage in [
            &b"\0\xff garbage\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(!raw(address, garbage).await.contains(" 101 "));
        }
    }
    let mut client = client(&running);
    message(&mut client).await;
    fs::remove_dir_all(running.stop().await).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_may_say_many_things_and_nonsense() {
    let running = Running::start("nonsense").await;
    running.say(json!({"cmd": "status"})).await;
    let stream = tokio::net::UnixStream::connect(running.folder.join("control"))
        .await
        .unwrap();
    let mut stream = tokio::io::BufReader::new(stream);
    for (line, ok) in [
        ("nonsense", false),
        (r#"{"cmd": "status"}"#, true),
        (r#"{"cmd": "drop", "party": "x", "loudly": true}"#, false),
        ("[]", false),
        ("", false),
        (r#"{"cmd": "relay_present", "relay": "x"}"#, false),
        (r#"{"cmd": "account", "slug": "renamed"}"#, true),
    ] {
        stream
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        timeout(LIMIT, stream.read_line(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["ok"], ok, "{line}: {answer}");
        assert_eq!(answer["error"].is_string(), !ok, "{line}");
    }
    fs::remove_dir_all(running.stop().await).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_state_file_is_no_obstacle_and_a_broken_configuration_is() {
    let folder = Running::start("broken").await.stop().await;
    fs::write(folder.join("state.json"), "{").unwrap();
    let running = Running::restart(folder).await;
    let mut client = client(&running);
    message(&mut client).await;
    let folder = running.stop().await;
    let state = fs::read_to_string(folder.join("state.json")).unwrap();
    assert!(state.contains("my-box"), "{state}");
    let mode = fs::metadata(folder.join("state.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let options = |settings: &str| Options {
        settings: folder.join(settings),
        state: None,
        control: None,
    };
    fs::write(
        folder.join("broken.json"),
        r#"{"tokens": [{"token": "very-secret"}]}"#,
    )
    .unwrap();
    for (file, expected) in [("broken.json", "Settings"), ("missing.json", "File")] {
        let fault = run(options(file), vec![], std::future::pending())
            .await
            .unwrap_err();
        let text = format!("{fault:?}");
        assert!(
            text.starts_with(expected) && !text.contains("very-secret"),
            "{text}"
        );
    }
    fs::remove_dir_all(folder).unwrap();
}
