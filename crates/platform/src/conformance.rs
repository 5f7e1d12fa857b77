//! What every platform must do, as tests that take the platform as an argument.
//!
//! Each function takes a fresh [`Subject`] and panics where the contract is broken. [`run`] runs
//! them all, each on a subject of its own.

use crate::{
    DnsMethod as _, InterfacePlan, NetworkEvent, Platform, PlatformFault, Tun as _, TunFault,
};
use ipnet::{IpNet, Ipv4Net};
use model::DomainName;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

/// How often a device is made and dropped in a row.
const RECREATIONS: usize = 50;

/// Upper bound for what others do to the system to be noticed and mended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two looks at the system.
const PAUSE: Duration = Duration::from_millis(20);

/// A system under test: makes platforms, and looks at the system behind their back.
pub trait Subject {
    /// The platform under test.
    type Platform: Platform;

    /// Another platform on the same system.
    fn platform(&mut self) -> Self::Platform;

    /// What the system looks like at the moment.
    fn observe(&mut self) -> Observed;

    /// Takes away all routes into the tunnel, as systems sometimes do on their own.
    fn lose_routes(&mut self);

    /// Replaces the system's own resolvers, as another program or the administrator does.
    fn replace_resolvers(&mut self, addresses: &[IpAddr]);
}

/// The state of a system, as far as a platform may change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Addresses of the TUN interface.
    pub addresses: BTreeSet<IpAddr>,
    /// Destinations that lead into the TUN interface.
    pub routes: BTreeSet<IpNet>,
    /// Resolvers that the platform set; empty if the system's own are in force.
    pub dns_servers: Vec<IpAddr>,
    /// Search domain that the platform set.
    pub search_domain: Option<DomainName>,
    /// Everything that must be as before after a revert, in any form that can be compared.
    pub fingerprint: String,
}

/// A plan for tests; plans of different numbers have different addresses, routes and resolvers.
pub fn plan(number: u8) -> InterfacePlan {
    let v4 = |a, b| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, number, 0), 24));
    let v6 = format!("fd00:2021:1111:{number:x}::/64");
    let v6: IpNet = v6.parse().expect("a formatted network is one");
    InterfacePlan {
        ipv4: Ipv4Addr::new(100, 64, 0, number),
        ipv6: Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, number.into()),
        routes: [v4(100, 64), v4(10, 0), v6].into(),
        dns_servers: vec![Ipv4Addr::new(100, 100, 111, number).into()],
        search_domain: format!("net{number}.example").parse().ok(),
    }
}

/// Runs the whole suite.
///
/// # Panics
///
/// If the contract is broken.
pub async fn run<S: Subject>(mut subject: impl FnMut() -> S) {
    methods_of_dns_control_are_told_apart::<S::Platform>();
    revert_of_a_clean_system_changes_nothing(subject());
    apply_needs_a_tun(subject()).await;
    apply_does_what_is_planned(subject()).await;
    apply_twice_is_like_once(subject()).await;
    apply_replaces_the_previous_plan(subject()).await;
    apply_brings_back_lost_routes(subject()).await;
    empty_plan_cleans_up(subject()).await;
    revert_leaves_nothing_behind(subject()).await;
    revert_may_be_followed_by_apply(subject()).await;
    drop_reverts(subject()).await;
    next_platform_cleans_up_after_a_dropped_device(subject()).await;
    held_device_is_refused(subject());
    device_can_be_recreated(subject()).await;
    sockets_work_outside_of_the_tunnel(subject()).await;
    own_resolvers_are_known_in_every_state(subject()).await;
    resolvers_that_others_set_become_the_upstreams(subject()).await;
    nobody_is_asked_at_a_link_that_does_not_exist(subject()).await;
}

/// Each method of DNS control has a name and a help text of its own, and one of them does nothing.
///
/// # Panics
///
/// If the contract is broken.
pub fn methods_of_dns_control_are_told_apart<P: Platform>() {
    let all = P::DnsControl::ALL;
    for (index, method) in all.iter().enumerate() {
        assert_eq!(method.to_string(), method.name());
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        assert!(!method.name().is_empty() && method.name().chars().all(is_word));
        for other in &all[..index] {
            assert_ne!(method.name(), other.name());
            assert_ne!(method.help(), other.help(), "{method}");
        }
    }
    for method in [P::DnsControl::DISABLED, P::DnsControl::default()] {
        assert!(all.contains(&method), "{method} is none of them");
    }
    assert_eq!(P::DnsControl::DISABLED.name(), "disabled");
    assert!(!P::CAPABILITY.is_empty() && !P::CAPABILITY.contains('\n'));
}

/// Reverting when there is nothing to revert is fine, any number of times.
///
/// # Panics
///
/// If the contract is broken.
pub fn revert_of_a_clean_system_changes_nothing<S: Subject>(mut subject: S) {
    let before = subject.observe();
    let mut platform = subject.platform();
    for _ in 0..3 {
        succeed(platform.revert());
    }
    assert_eq!(subject.observe(), before);
}

/// Without a device there is nothing to give addresses to.
///
/// # Panics
///
/// If the contract is broken.
pub async fn apply_needs_a_tun<S: Subject>(mut subject: S) {
    let before = subject.observe();
    let mut platform = subject.platform();
    let result = platform.apply(&plan(1)).await;
    assert!(matches!(result, Err(PlatformFault::NoTun)), "{result:?}");
    assert_eq!(subject.observe(), before);
}

/// Addresses, routes, resolvers and search domain are those of the plan.
///
/// # Panics
///
/// If the contract is broken.
pub async fn apply_does_what_is_planned<S: Subject>(mut subject: S) {
    let mut platform = subject.platform();
    let _tun = succeed(platform.create_tun());
    let mut with_host_bits = plan(1);
    let network: IpNet = Ipv4Net::new_assert(Ipv4Addr::new(10, 9, 8, 7), 16).into();
    with_host_bits.routes.insert(network);
    for plan in [plan(1), with_host_bits] {
        succeed(platform.apply(&plan).await);
        assert_matches(&subject.observe(), &plan);
    }
}

/// Applying the same plan again leaves everything as it is.
///
/// # Panics
///
/// If the contract is broken.
pub async fn apply_twice_is_like_once<S: Subject>(mut subject: S) {
    let mut platform = subject.platform();
    let _tun = succeed(platform.create_tun());
    succeed(platform.apply(&plan(1)).await);
    let once = subject.observe();
    succeed(platform.apply(&plan(1)).await);
    assert_eq!(subject.observe(), once);
}

/// A plan says everything: what the previous one had and this one does not is gone.
///
/// # Panics
///
/// If the contract is broken.
pub async fn apply_replaces_the_previous_plan<S: Subject>(mut subject: S) {
    let mut platform = subject.platform();
    let _tun = succeed(platform.create_tun());
    for number in [1, 2, 1] {
        succeed(platform.apply(&plan(number)).await);
        assert_matches(&subject.observe(), &plan(number));
    }
}

/// Systems drop routes on their own, so applying must not trust its memory. spec: platform 1
///
/// # Panics
///
/// If the contract is broken.
pub async fn apply_brings_back_lost_routes<S: Subject>(mut subject: S) {
    let mut platform = subject.platform();
    let _tun = succeed(platform.create_tun());
    succeed(platform.apply(&plan(1)).await);
    subject.lose_routes();
    assert_eq!(
        subject.observe().routes,
        BTreeSet::new(),
        "nothing was lost"
    );
    succeed(platform.apply(&plan(1)).await);
    assert_matches(&subject.observe(), &plan(1));
}

/// A plan without routes and resolvers removes those of the previous one.
///
/// # Panics
///
/// If the contract is broken.
pub async fn empty_plan_cleans_up<S: Subject>(mut subject: S) {
    let mut platform = subject.platform();
    let _tun = succeed(platform.create_tun());
    succeed(platform.apply(&plan(1)).await);
    let mut empty = plan(1);
    empty.routes.clear();
    empty.dns_servers.clear();
    empty.search_domain = None;
    succeed(platform.apply(&empty).await);
    assert_matches(&subject.observe(), &empty);
}

/// After reverting and dropping the device, the system is as before. Twice is like once.
///
/// # Panics
///
/// If the contract is broken.
pub async fn revert_leaves_nothing_behind<S: Subject>(mut subject: S) {
    let before = subject.observe();
    let mut platform = subject.platform();
    let tun = succeed(platform.create_tun());
    succeed(platform.apply(&plan(1)).await);
    assert_ne!(subject.observe(), before, "nothing was applied");
    succeed(platform.revert());
    assert_eq!(subject.observe().routes, BTreeSet::new());
    assert_eq!(subject.observe().dns_servers, Vec::<IpAddr>::new());
    succeed(platform.revert());
    drop(tun);
    assert_eq!(subject.observe(), before);
}

/// Reverting ends nothing: the same device can be used again.
///
/// # Panics
///
/// If the contract is broken.
pub async fn revert_may_be_followed_by_apply<S: Subject>(mut subject: S) {
    let mut platform = subject.platform();
    let _tun = succeed(platform.create_tun());
    succeed(platform.apply(&plan(1)).await);
    succeed(platform.revert());
    succeed(platform.apply(&plan(2)).await);
    assert_matches(&subject.observe(), &plan(2));
}

/// Dropping platform and device, in either order, is as good as reverting.
///
/// # Panics
///
/// If the contract is broken.
pub async fn drop_reverts<S: Subject>(mut subject: S) {
    let before = subject.observe();
    for device_first in [true, false] {
        let mut platform = subject.platform();
        let tun = succeed(platform.create_tun());
        succeed(platform.apply(&plan(1)).await);
        if device_first {
            drop(tun);
            drop(platform);
        } else {
            drop(platform);
            drop(tun);
        }
        assert_eq!(subject.observe(), before, "device first: {device_first}");
    }
}

/// A device that went away takes nothing with it that another one needs.
///
/// # Panics
///
/// If the contract is broken.
pub async fn next_platform_cleans_up_after_a_dropped_device<S: Subject>(mut subject: S) {
    let before = subject.observe();
    let mut platform = subject.platform();
    drop(succeed(platform.create_tun()));
    let tun = succeed(platform.create_tun());
    succeed(platform.apply(&plan(1)).await);
    drop(tun);
    let result = platform.apply(&plan(1)).await;
    assert!(matches!(result, Err(PlatformFault::NoTun)), "{result:?}");
    drop(platform);
    succeed(subject.platform().revert());
    assert_eq!(subject.observe(), before);
}

/// While a device exists, a second one of the same name is refused and the first keeps working.
///
/// # Panics
///
/// If the contract is broken.
pub fn held_device_is_refused<S: Subject>(mut subject: S) {
    let mut platform = subject.platform();
    let tun = succeed(platform.create_tun());
    match platform.create_tun() {
        Err(TunFault::Held { name }) => assert_eq!(name, tun.name()),
        Err(fault) => panic!("the wrong fault: {fault}"),
        Ok(_) => panic!("two devices of one name"),
    }
    drop(tun);
    drop(succeed(platform.create_tun()));
}

/// Creating and dropping devices over and over leaves nothing behind. spec: platform 20
///
/// # Panics
///
/// If the contract is broken.
pub async fn device_can_be_recreated<S: Subject>(mut subject: S) {
    let before = subject.observe();
    let mut platform = subject.platform();
    for _ in 0..RECREATIONS {
        let _tun = succeed(platform.create_tun());
        succeed(platform.apply(&plan(1)).await);
    }
    succeed(platform.revert());
    assert_eq!(subject.observe(), before);
}

/// Sockets of both kinds reach this machine.
///
/// # Panics
///
/// If the contract is broken.
pub async fn sockets_work_outside_of_the_tunnel<S: Subject>(mut subject: S) {
    let platform = subject.platform();
    let sockets = platform.sockets();
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let udp = succeed(sockets.udp.bind(loopback));
    succeed(udp.try_send(&socket_factory::Outgoing {
        source: None,
        destination: udp.local_addr(),
        ecn: 0,
        segment_size: 0,
        payload: b"hello",
    }));
    succeed(udp.readable().await);
    let listener = succeed(std::net::TcpListener::bind(loopback));
    let remote = succeed(listener.local_addr());
    let stream = succeed(sockets.tcp.connect(remote).await);
    assert_eq!(succeed(stream.peer_addr()), remote);
    sockets.reset();
}

/// What the system would use without us does not depend on whether we are there.
///
/// # Panics
///
/// If the contract is broken.
pub async fn own_resolvers_are_known_in_every_state<S: Subject>(mut subject: S) {
    let mut platform = subject.platform();
    let before = succeed(platform.system_resolvers());
    let tun = succeed(platform.create_tun());
    for number in [1, 2] {
        succeed(platform.apply(&plan(number)).await);
        assert_eq!(succeed(platform.system_resolvers()), before, "applied");
    }
    succeed(platform.revert());
    assert_eq!(succeed(platform.system_resolvers()), before, "reverted");
    drop(tun);
    assert_eq!(succeed(platform.system_resolvers()), before, "dropped");
}

/// Other programs may replace the system's resolvers while a plan is in force: theirs are the new
/// upstreams, ours come back in front, and theirs are what remains.
///
/// # Panics
///
/// If the contract is broken.
pub async fn resolvers_that_others_set_become_the_upstreams<S: Subject>(mut subject: S) {
    let mut platform = subject.platform();
    let mut watch = platform.watch();
    let tun = succeed(platform.create_tun());
    succeed(platform.apply(&plan(1)).await);
    let replaced: Vec<IpAddr> = vec![
        Ipv4Addr::new(198, 51, 100, 53).into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53).into(),
    ];
    subject.replace_resolvers(&replaced);
    let noticed = tokio::time::timeout(PATIENCE, async {
        while watch.next().await != NetworkEvent::ResolversChanged {}
    });
    assert!(noticed.await.is_ok(), "nobody noticed");
    assert_eq!(addresses(&platform), replaced);
    let deadline = Instant::now() + PATIENCE;
    while subject.observe().dns_servers != plan(1).dns_servers {
        assert!(Instant::now() < deadline, "ours are not put back");
        tokio::time::sleep(PAUSE).await;
    }
    succeed(platform.revert());
    drop(tun);
    assert_eq!(subject.observe().dns_servers, Vec::<IpAddr>::new());
    drop(platform);
    let platform = subject.platform();
    assert_eq!(addresses(&platform), replaced, "theirs are gone");
}

fn addresses(platform: &impl Platform) -> Vec<IpAddr> {
    let resolvers = succeed(platform.system_resolvers()).into_iter();
    resolvers.map(|resolver| resolver.address.ip()).collect()
}

/// Asking through the system fails, and does not hang, where there is nobody to ask.
///
/// # Panics
///
/// If the contract is broken.
pub async fn nobody_is_asked_at_a_link_that_does_not_exist<S: Subject>(mut subject: S) {
    let platform = subject.platform();
    // An id and one question: the addresses of `a.example`.
    let header = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    let query = [&header[..], b"\x01a\x07example\x00\x00\x01\x00\x01"].concat();
    for query in [&query[..], b"no query at all", b""] {
        let asked = platform.system_exchange()(i32::MAX.unsigned_abs(), query.to_vec());
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        assert!(answer.expect("it hangs").is_err());
    }
}

fn assert_matches(observed: &Observed, plan: &InterfacePlan) {
    let addresses = [plan.ipv4.into(), plan.ipv6.into()].into();
    assert_eq!(observed.addresses, addresses, "addresses");
    assert_eq!(observed.routes, plan.networks(), "routes");
    assert_eq!(observed.dns_servers, plan.dns_servers, "DNS servers");
    assert_eq!(observed.search_domain, plan.search_domain, "search domain");
}

/// Unwraps with the chain of causes, which is what one wants to read of a failed test.
#[track_caller]
fn succeed<T, E: std::error::Error>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            panic!("{text}");
        }
    }
}
