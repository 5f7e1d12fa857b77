//! The fake against the conformance suite, and its test-only abilities.

use super::*;
use crate::ResolverTransport;
use crate::conformance::{self, Observed, Subject};
use std::net::{IpAddr, SocketAddr};

struct Fake(MemoryControl, Option<MemoryPlatform>);

impl Fake {
    fn new() -> Self {
        let (platform, control) = MemoryPlatform::new();
        Self(control, Some(platform))
    }
}

impl Subject for Fake {
    type Platform = MemoryPlatform;

    fn platform(&mut self) -> MemoryPlatform {
        self.1.take().unwrap_or(MemoryPlatform {
            shared: Arc::clone(&self.0.shared),
        })
    }

    fn observe(&mut self) -> Observed {
        let state = self.0.shared.state.lock();
        let plan = state.plan.as_ref().filter(|_| state.has_tun);
        let addresses = |p: &InterfacePlan| [p.ipv4.into(), p.ipv6.into()].into();
        let applied = state.plan.as_ref();
        Observed {
            addresses: plan.map(addresses).unwrap_or_default(),
            routes: state.routes.clone(),
            dns_servers: applied.map(|p| p.dns_servers.clone()).unwrap_or_default(),
            search_domain: applied.and_then(|p| p.search_domain.clone()),
            fingerprint: format!("{:?} {:?} {}", state.plan, state.routes, state.has_tun),
        }
    }

    fn lose_routes(&mut self) {
        self.0.lose_routes();
    }

    fn replace_resolvers(&mut self, addresses: &[IpAddr]) {
        let plain = |&address: &IpAddr| SystemResolver::do53(SocketAddr::new(address, 53));
        self.0.set_resolvers(addresses.iter().map(plain).collect());
        self.0.notify(NetworkEvent::ResolversChanged);
    }
}

#[tokio::test]
async fn fake_conforms() {
    conformance::run(Fake::new).await;
}

#[tokio::test]
async fn packets_cross_the_device_in_order() {
    let (mut platform, control) = MemoryPlatform::new();
    let mut tun = platform.create_tun().unwrap();
    let mut batch = PacketBatch::new(2);
    assert_eq!(
        tun.try_read(&mut batch).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    for packet in [b"a", b"b", b"c"] {
        control.send(packet);
    }
    tun.readable().await.unwrap();
    tun.try_read(&mut batch).unwrap();
    assert_eq!(batch.iter().collect::<Vec<_>>(), [b"a", b"b"]);
    tun.try_write(&mut batch).unwrap();
    assert!(batch.is_empty());
    assert_eq!(control.recv().await, b"a");
    assert_eq!(control.recv().await, b"b");
    assert_eq!(control.try_recv(), None);
    tun.try_read(&mut batch).unwrap();
    assert_eq!(batch.iter().collect::<Vec<_>>(), [b"c"]);
}

#[tokio::test]
async fn injected_faults_come_once_and_in_order() {
    let (mut platform, control) = MemoryPlatform::new();
    control.fail_tun(TunFault::Permission { remedy: "be root" });
    control.fail_apply(PlatformFault::NoTun);
    control.fail_revert(PlatformFault::NoTun);
    let fault = platform.create_tun().unwrap_err();
    assert_eq!(
        fault.to_string(),
        "not permitted to create a TUN device: be root"
    );
    let _tun = platform.create_tun().unwrap();
    let plan = conformance::plan(1);
    assert!(platform.apply(&plan).await.is_err());
    assert_eq!(control.plan(), None);
    platform.apply(&plan).await.unwrap();
    assert!(platform.revert().is_err());
    assert_eq!(control.plan(), Some(plan));
    platform.revert().unwrap();
    assert_eq!(control.plan(), None);
    let counts = control.counts();
    assert_eq!((counts.tuns, counts.applies, counts.reverts), (1, 2, 1));
}

#[tokio::test]
async fn events_reach_every_watch() {
    let (mut platform, control) = MemoryPlatform::new();
    let (mut first, mut second) = (platform.watch(), platform.watch());
    control.notify(NetworkEvent::ResolversChanged);
    assert_eq!(first.next().await, NetworkEvent::ResolversChanged);
    assert_eq!(second.next().await, NetworkEvent::ResolversChanged);
}

#[test]
fn resolvers_are_those_set() {
    let (platform, control) = MemoryPlatform::new();
    assert_eq!(platform.system_resolvers().unwrap(), []);
    let resolver = SystemResolver::do53(SocketAddr::from(([192, 0, 2, 53], 53)));
    control.set_resolvers(vec![resolver]);
    assert_eq!(platform.system_resolvers().unwrap(), [resolver]);
    assert_eq!(resolver.transport, ResolverTransport::Do53);
}

#[tokio::test]
async fn the_system_answers_as_told_and_nothing_by_default() {
    let (platform, control) = MemoryPlatform::new();
    let ask = platform.system_exchange();
    let error = ask(3, b"a question".to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    control.set_exchange(Arc::new(|link, query| {
        Box::pin(async move { Ok([&query[..], &link.to_be_bytes()].concat()) })
    }));
    let ask = platform.system_exchange();
    assert_eq!(ask(3, b"?".to_vec()).await.unwrap(), b"?\0\0\0\x03");
}
