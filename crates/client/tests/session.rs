//! Whole sessions on the in-memory platform, against a portal on the loopback address.

#![expect(clippy::unwrap_used, reason = "what cannot go on fails the test")]

use client::{ConnectFault, Disconnected, Event, EventStream, PortalState, Session, Settings};
use devnet::portal::LocalPortal;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RData, Record, RecordType, rdata},
};
use ip_packet::{IpPacket, Transport, emit_udp};
use model::{InterfacePlan, limits, ranges};
use platform::{
    NetworkEvent, PlatformFault, SystemResolver, TunFault,
    memory::{MemoryControl, MemoryPlatform},
};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    time::timeout,
};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A portal with a resource of each kind.
struct Portal(LocalPortal);

impl Portal {
    async fn start(upstream_dns: &[SocketAddr]) -> Self {
        let settings = json!({
            "account": { "slug": "dev", "upstream_dns": upstream_dns },
            "sites": [{ "name": "site" }],
            "tokens": [{ "token": "right", "kind": "client", "actor": "anna" }],
            "resources": [
                { "name": "net", "type": "cidr", "address": "10.20.0.0/16", "sites": ["site"] },
                { "name": "wiki", "type": "dns", "address": "*.wiki.test", "sites": ["site"] },
                { "name": "all", "type": "internet", "sites": ["site"] },
            ],
        });
        Self(LocalPortal::start(&settings).await.unwrap())
    }

    fn settings(&self, token: &str) -> Settings {
        settings(self.0.address(), token)
    }

    async fn say(&self, command: Value) -> Value {
        let said = timeout(LIMIT, self.0.say(&command)).await;
        said.expect("an answer in time").unwrap()
    }

    /// The key under which our client is connected, as soon as it is another one.
    async fn key_other_than(&self, old: &Value) -> Value {
        let search = async {
            loop {
                let status = self.say(json!({ "cmd": "status" })).await;
                let client = find(&status, "clients")[0].clone();
                let key = &client["public_key"];
                if client["online"] == json!(true) && key.is_string() && key != old {
                    return key.clone();
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, search)
            .await
            .expect("the client connects with a new key")
    }
}

/// The member of that name, wherever it is in the answer.
fn find<'a>(value: &'a Value, name: &str) -> &'a Value {
    match value.get(name) {
        Some(found) => found,
        None => value
            .as_object()
            .unwrap()
            .values()
            .find_map(|inner| inner.get(name))
            .unwrap(),
    }
}

fn settings(portal: SocketAddr, token: &str) -> Settings {
    let url = format!("ws://{portal}/").parse().unwrap();
    let os = model::OsInfo {
        name: "Ubuntu".into(),
        version: "24.4.0".into(),
        arch: None,
        kernel: None,
    };
    let agent = portal_client::user_agent("connlib", "1.5.2", &os);
    let mut settings = Settings::new(url, token.into(), "my-box".into(), agent);
    settings.preferred_port = 0;
    settings
}

async fn next(events: &mut EventStream) -> Event {
    timeout(LIMIT, events.next())
        .await
        .expect("an event in time")
        .expect("the session goes on")
}

/// The next plan that fulfils the condition.
async fn plan_where(
    events: &mut EventStream,
    condition: impl Fn(&InterfacePlan) -> bool,
) -> InterfacePlan {
    loop {
        match next(events).await {
            Event::InterfaceChanged(plan) if condition(&plan) => return plan,
            Event::Disconnected(reason) => panic!("{reason:?}"),
            _ => {}
        }
    }
}

async fn disconnected(events: &mut EventStream) -> Disconnected {
    loop {
        if let Event::Disconnected(reason) = next(events).await {
            assert!(events.next().await.is_none(), "nothing follows");
            return reason;
        }
    }
}

async fn eventually(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, wait).await.expect("it never came to that");
}

fn plain(address: &str) -> SystemResolver {
    SystemResolver::do53(address.parse().unwrap())
}

/// A session that is ready, with its platform and the plan in force.
async fn ready(portal: &Portal) -> (Session, EventStream, MemoryControl, InterfacePlan) {
    let (platform, control) = MemoryPlatform::new();
    control.set_resolvers(vec![plain("192.0.2.53:53")]);
    let (session, mut events) = Session::connect(portal.settings("right"), platform).unwrap();
    let plan = plan_where(&mut events, |_| true).await;
    loop {
        if let Event::Ready(after) = next(&mut events).await {
            assert!(after < LIMIT);
            break;
        }
    }
    (session, events, control, plan)
}

#[tokio::test]
async fn a_session_gets_ready_and_leaves_nothing_behind() {
    let portal = Portal::start(&[]).await;
    let (session, mut events, control, plan) = ready(&portal).await;
    assert_eq!(control.plan(), Some(plan.clone()));
    assert!(ranges::is_tunnel(plan.ipv4.into()) && ranges::is_tunnel(plan.ipv6.into()));
    assert!(plan.routes.contains(&"10.20.0.0/16".parse().unwrap()));
    assert!(
        !plan.routes.contains(&"0.0.0.0/0".parse().unwrap()),
        "not switched on"
    );
    assert_eq!(plan.dns_servers.len(), 1);
    assert!(
        plan.dns_servers
            .iter()
            .all(|server| ranges::is_sentinel(*server))
    );

    let status = session.status().await.unwrap();
    assert_eq!(status.portal, PortalState::Connected);
    assert_eq!(status.resources.len(), 3);
    assert!(status.connections.is_empty());

    let reverts = control.counts().reverts;
    session.disconnect().await;
    assert!(control.counts().reverts > reverts);
    assert_eq!((control.plan(), control.has_tun()), (None, false));
    while let Some(event) = events.next().await {
        assert!(
            !matches!(event, Event::Disconnected(_)),
            "it was asked for: {event:?}"
        );
    }
}

#[tokio::test]
async fn dropping_a_session_ends_it() {
    let portal = Portal::start(&[]).await;
    let (session, events, control, _) = ready(&portal).await;
    drop((session, events));
    eventually(|| control.plan().is_none() && !control.has_tun()).await;
}

#[tokio::test]
async fn a_wrong_token_needs_a_new_sign_in_and_the_session_is_over() {
    let portal = Portal::start(&[]).await;
    let (platform, control) = MemoryPlatform::new();
    let (session, mut events) = Session::connect(portal.settings("wrong"), platform).unwrap();
    let reason = disconnected(&mut events).await;
    assert!(reason.needs_sign_in(), "{reason:?}");
    eventually(|| !control.has_tun()).await;
    assert!(session.status().await.is_none(), "it is over");
    session.disconnect().await;
}

#[tokio::test(start_paused = true)]
async fn a_portal_that_stays_away_ends_the_session() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let (platform, _control) = MemoryPlatform::new();
    let mut settings = settings(nobody, "right");
    settings.max_partition_time = Some(Duration::from_millis(1));
    let (_session, mut events) = Session::connect(settings, platform).unwrap();
    let reason = disconnected(&mut events).await;
    assert!(
        matches!(reason, Disconnected::Portal(_)) && !reason.needs_sign_in(),
        "{reason:?}"
    );
}

#[tokio::test]
async fn a_host_that_refuses_the_plan_ends_the_session() {
    let portal = Portal::start(&[]).await;
    let (platform, control) = MemoryPlatform::new();
    control.fail_apply(PlatformFault::NoTun);
    let (_session, mut events) = Session::connect(portal.settings("right"), platform).unwrap();
    let reason = disconnected(&mut events).await;
    assert!(
        matches!(reason, Disconnected::Platform(PlatformFault::NoTun)),
        "{reason:?}"
    );
}

#[tokio::test]
async fn a_tolerant_session_outlives_such_a_host() {
    let portal = Portal::start(&[]).await;
    let (platform, control) = MemoryPlatform::new();
    control.fail_apply(PlatformFault::NoTun);
    control.fail_apply(PlatformFault::NoTun);
    let mut settings = portal.settings("right");
    settings.tolerate_interface_faults = true;
    let (session, mut events) = Session::connect(settings, platform).unwrap();
    for attempts in 1..=2 {
        eventually(|| control.counts().applies == attempts).await;
        assert!(control.plan().is_none());
        control.notify(NetworkEvent::ResolversChanged);
    }
    let plan = plan_where(&mut events, |_| true).await;
    assert_eq!(control.plan(), Some(plan));
    session.disconnect().await;
    assert!(control.plan().is_none());
}

#[tokio::test]
async fn what_an_earlier_run_left_is_removed_first() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let (platform, control) = MemoryPlatform::new();
    control.fail_tun(TunFault::Permission { remedy: "be root" });
    let fault = Session::connect(settings(nobody, "right"), platform).unwrap_err();
    assert!(
        matches!(fault, ConnectFault::Tun(TunFault::Permission { .. })),
        "{fault:?}"
    );
    // Once at the start, once when the platform went.
    assert_eq!(control.counts().reverts, 2);

    let (platform, control) = MemoryPlatform::new();
    control.fail_revert(PlatformFault::NoTun);
    let fault = Session::connect(settings(nobody, "right"), platform).unwrap_err();
    assert!(matches!(fault, ConnectFault::Revert(_)), "{fault:?}");
    assert_eq!(control.counts().tuns, 0);
}

#[tokio::test]
async fn resets_connect_with_a_new_key_whoever_asks() {
    let portal = Portal::start(&[]).await;
    let (session, mut events, control, plan) = ready(&portal).await;
    let first = portal.key_other_than(&Value::Null).await;
    session.reset("test").await;
    let second = portal.key_other_than(&first).await;
    control.notify(NetworkEvent::NetworkChanged);
    let third = portal.key_other_than(&second).await;
    assert_ne!(third, first);
    // The addresses stay, and nothing is reported twice.
    assert_eq!(control.plan(), Some(plan));
    session.disconnect().await;
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::Ready(_)), "ready comes once");
    }
}

#[tokio::test]
async fn other_resolvers_get_other_sentinels() {
    let portal = Portal::start(&[]).await;
    let (session, mut events, control, first) = ready(&portal).await;
    let servers = |texts: &[&str]| texts.iter().map(|text| plain(text)).collect::<Vec<_>>();
    // Sentinels among them are our own.
    control.set_resolvers(servers(&[
        "192.0.2.53:53",
        "100.100.111.1:53",
        "[2001:db8::53]:53",
    ]));
    control.notify(NetworkEvent::ResolversChanged);
    let second = plan_where(&mut events, |plan| *plan != first).await;
    assert_eq!(second.dns_servers.len(), 2);
    assert!(
        second
            .dns_servers
            .iter()
            .all(|server| ranges::is_sentinel(*server))
    );
    assert!(
        !second.dns_servers.contains(&first.dns_servers[0]),
        "caches notice the change"
    );

    session
        .set_dns(vec!["192.0.2.54:53".parse().unwrap()])
        .await;
    let third = plan_where(&mut events, |plan| plan.dns_servers.len() == 1).await;
    eventually(|| control.plan().as_ref() == Some(&third)).await;
    session.disconnect().await;
}

#[tokio::test]
async fn resources_come_and_the_internet_is_switched() {
    let portal = Portal::start(&[]).await;
    let (session, mut events, control, _) = ready(&portal).await;
    let flushes = control.counts().flushes;
    let resource =
        json!({ "name": "more", "type": "cidr", "address": "10.30.0.0/16", "sites": ["site"] });
    portal
        .say(json!({ "cmd": "resource_add", "resource": resource }))
        .await;
    let more = "10.30.0.0/16".parse().unwrap();
    plan_where(&mut events, |plan| plan.routes.contains(&more)).await;
    eventually(|| control.counts().flushes > flushes).await;
    assert_eq!(session.status().await.unwrap().resources.len(), 4);

    let all = "0.0.0.0/0".parse().unwrap();
    session.set_internet_resource(true).await;
    plan_where(&mut events, |plan| plan.routes.contains(&all)).await;
    session.set_internet_resource(false).await;
    plan_where(&mut events, |plan| !plan.routes.contains(&all)).await;
    session.disconnect().await;
}

/// A resolver that answers every question with one address.
async fn resolver(address: &str) -> SocketAddr {
    let socket = UdpSocket::bind(address).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
            let question = query.queries[0].clone();
            let data = RData::A(rdata::A::new(192, 0, 2, 80));
            reply.add_answer(Record::from_rdata(question.name().clone(), 60, data));
            reply.add_query(question);
            socket
                .send_to(&reply.to_vec().unwrap(), from)
                .await
                .unwrap();
        }
    });
    address
}

/// Asks a sentinel like a program on this host; the addresses of the answer.
async fn ask(
    control: &MemoryControl,
    plan: &InterfacePlan,
    sentinel: IpAddr,
    (name, kind): (&str, RecordType),
) -> Vec<IpAddr> {
    let mut query = Message::new(4711, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    let ours: IpAddr = if sentinel.is_ipv4() {
        plan.ipv4.into()
    } else {
        plan.ipv6.into()
    };
    let (from, to) = (SocketAddr::new(ours, 40_000), SocketAddr::new(sentinel, 53));
    let mut buffer = [0; limits::MTU];
    let length = emit_udp(&mut buffer, from, to, &query.to_vec().unwrap()).unwrap();
    control.send(&buffer[..length]);
    let answer = timeout(LIMIT, control.recv())
        .await
        .expect("an answer in time");
    let packet = IpPacket::parse(&answer[..]).unwrap();
    assert_eq!((packet.source(), packet.destination()), (sentinel, ours));
    assert_eq!(
        packet.transport(),
        Transport::Udp {
            source: 53,
            destination: 40_000
        }
    );
    let answer = Message::from_vec(packet.udp_payload()).unwrap();
    assert_eq!(answer.metadata.id, 4711);
    let address = |record: &Record| match &record.data {
        RData::A(address) => IpAddr::V4(address.0),
        RData::AAAA(address) => IpAddr::V6(address.0),
        other => panic!("{other:?}"),
    };
    answer.answers.iter().map(address).collect()
}

#[tokio::test]
async fn names_of_resources_get_proxy_addresses_and_others_are_forwarded() {
    let servers = [resolver("127.0.0.1:0").await, resolver("[::1]:0").await];
    let portal = Portal::start(&servers).await;
    let (session, _events, control, plan) = ready(&portal).await;
    assert_eq!(
        plan.dns_servers.len(),
        2,
        "those of the portal, not of the system"
    );
    for &sentinel in &plan.dns_servers {
        let elsewhere = ask(
            &control,
            &plan,
            sentinel,
            ("elsewhere.test.", RecordType::A),
        )
        .await;
        assert_eq!(elsewhere, [IpAddr::from([192, 0, 2, 80])]);
        for kind in [RecordType::A, RecordType::AAAA] {
            let addresses = ask(&control, &plan, sentinel, ("a.wiki.test.", kind)).await;
            assert!(!addresses.is_empty());
            for address in addresses {
                assert!(ranges::is_proxy(address), "{address}");
                assert_eq!(address.is_ipv4(), kind == RecordType::A, "{address}");
            }
        }
    }
    session.disconnect().await;
}
