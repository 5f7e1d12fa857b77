//! The gateway's core as far as no tunnel is needed. spec: data-plane 15.1 to 15.3

use super::*;
use ip_packet::emit_udp;
use model::{CidrResource, DnsResource, IceCredentials, IpStack, PresharedKey};
use portal_client::v1::{
    RelaysPresence,
    gateway::{Authorization as Listed, ClientPeer, GatewayInterface, Init, Masquerade},
};
use std::net::SocketAddr;

const CLIENT: ClientId = ClientId::from_bytes([7; 16]);
const NET: ResourceId = ResourceId::from_bytes([1; 16]);
const PROXIES: [&str; 4] = ["100.96.0.1", "100.96.0.2", "100.96.0.3", "100.96.0.4"];
const WIKI: ResourceId = ResourceId::from_bytes([2; 16]);

fn core() -> Core {
    let seed = Seed::from_bytes([5; 32]);
    let mut core = Core::new(seed, Duration::from_secs(1_800_000_000), Instant::now());
    core.handle_portal(FromPortal::Init(init(vec![])), Instant::now());
    core
}

fn init(authorizations: Vec<Listed>) -> Init {
    Init {
        interface: GatewayInterface {
            ipv4: Ipv4Addr::new(100, 64, 0, 1),
            ipv6: "fd00:2021:1111::1".parse().unwrap(),
        },
        config: Masquerade {
            ipv4: true,
            ipv6: true,
        },
        account_slug: None,
        relays: vec![],
        authorizations,
    }
}

fn listed(client_id: ClientId, resource_id: ResourceId) -> Listed {
    Listed {
        client_id,
        resource_id,
        expires_at: None,
    }
}

fn net() -> Resource {
    Resource::Cidr(CidrResource {
        id: NET,
        name: "net".into(),
        address: "10.0.0.0/8".parse().unwrap(),
        address_description: None,
        sites: vec![],
        filters: vec![],
    })
}

fn wiki(address: &str) -> Resource {
    Resource::Dns(DnsResource {
        id: WIKI,
        name: "wiki".into(),
        address: address.into(),
        address_description: None,
        ip_stack: IpStack::Dual,
        sites: vec![],
        filters: vec![],
    })
}

/// A core that has let a client in, as if a tunnel existed.
fn with_client(resources: &[Resource]) -> Core {
    let mut core = core();
    let (ipv4, ipv6) = (
        Ipv4Addr::new(100, 64, 0, 7),
        "fd00:2021:1111::7".parse().unwrap(),
    );
    let mut client = Client::new(ipv4, ipv6);
    for resource in resources {
        client.access.grant(resource.clone(), None);
    }
    core.clients.insert(CLIENT, client);
    core.by_address.insert(ipv4.into(), CLIENT);
    core.by_address.insert(ipv6.into(), CLIENT);
    core
}

fn outputs(core: &mut Core) -> Vec<Output> {
    let mut outputs = vec![];
    loop {
        match core.poll() {
            Output::Idle(_) => return outputs,
            output => outputs.push(output),
        }
    }
}

fn delivers(core: &mut Core, from: &str, to: &str) -> bool {
    let mut bytes = [0; 100];
    let length = emit_udp(&mut bytes, from.parse().unwrap(), to.parse().unwrap(), b"x").unwrap();
    let packet = IpPacket::parse(&mut bytes[..length]).unwrap();
    core.admit(CLIENT, packet, Instant::now())
}

fn assigned(domain: &str, proxy_ips: &[&str]) -> Control {
    Control::AssignedIps {
        resource: WIKI,
        domain: domain.parse().unwrap(),
        proxy_ips: proxy_ips.iter().map(|ip| ip.parse().unwrap()).collect(),
    }
}

/// Sends a control message through the rules for packets.
fn control(core: &mut Core, control: &Control) -> Vec<Output> {
    let mut bytes = [0; MAX_CONTROL];
    let length = control.emit(&mut bytes).unwrap();
    let packet = IpPacket::parse(&mut bytes[..length]).unwrap();
    assert!(
        !core.admit(CLIENT, packet, Instant::now()),
        "control messages go no further"
    );
    outputs(core)
}

#[test]
fn packets_are_checked_by_source_and_destination() {
    let mut core = with_client(&[net()]);
    let ours = "100.64.0.7:9";
    for (from, to, delivered, why) in [
        (ours, "10.1.1.1:80", true, "a granted network"),
        (ours, "11.1.1.1:80", false, "another network"),
        (
            "100.64.0.8:9",
            "10.1.1.1:80",
            false,
            "another client's source",
        ),
        (
            "10.9.9.9:9",
            "10.1.1.1:80",
            false,
            "a source outside of the tunnel",
        ),
        (ours, "100.64.0.1:53535", true, "our own address"),
        (
            "[fd00:2021:1111::7]:9",
            "[fd00:2021:1111::1]:53535",
            true,
            "our other address",
        ),
        (
            "100.64.0.8:9",
            "100.64.0.1:53535",
            false,
            "another client's source to us",
        ),
        (ours, "100.64.0.9:80", false, "another client"),
        (
            ours,
            "100.96.0.1:80",
            false,
            "a proxy address that stands for nothing",
        ),
    ] {
        assert_eq!(delivers(&mut core, from, to), delivered, "{why}");
    }
}

#[test]
fn strangers_send_nothing() {
    let mut core = core();
    assert!(!delivers(&mut core, "100.64.0.7:9", "100.64.0.1:53535"));
}

#[test]
fn revoked_access_ends_and_the_last_one_ends_the_client() {
    let mut core = with_client(&[net(), wiki("wiki.test")]);
    let now = Instant::now();
    let reject = |client_id, resource_id| FromPortal::RejectAccess {
        client_id,
        resource_id,
    };
    core.handle_portal(reject(ClientId::from_bytes([8; 16]), NET), now);
    assert!(
        delivers(&mut core, "100.64.0.7:9", "10.1.1.1:80"),
        "it was another client's"
    );
    core.handle_portal(reject(CLIENT, NET), now);
    assert!(!delivers(&mut core, "100.64.0.7:9", "10.1.1.1:80"));
    core.handle_timeout(now + SWEEP, 0);
    assert!(
        core.clients.contains_key(&CLIENT),
        "there is another resource"
    );
    core.handle_portal(reject(CLIENT, WIKI), now);
    core.handle_timeout(now + 2 * SWEEP, 0);
    assert!(core.clients.is_empty() && core.by_address.is_empty());
}

#[test]
fn a_new_init_retains_what_it_lists() {
    let mut core = with_client(&[net(), wiki("wiki.test")]);
    let now = Instant::now();
    let other = ClientId::from_bytes([8; 16]);
    core.handle_portal(
        FromPortal::Init(init(vec![listed(CLIENT, NET), listed(other, WIKI)])),
        now,
    );
    let access = &core.clients[&CLIENT].access;
    assert!(access.get(NET).is_some() && access.get(WIKI).is_none());
}

#[test]
fn access_expires_by_the_wall_clock_within_a_second() {
    let mut core = with_client(&[net()]);
    let now = Instant::now();
    let of = Listed {
        expires_at: Some(500),
        ..listed(CLIENT, NET)
    };
    core.handle_portal(FromPortal::AccessAuthorizationExpiryUpdated(of), now);
    core.handle_timeout(now + SWEEP, 499);
    assert!(delivers(&mut core, "100.64.0.7:9", "10.1.1.1:80"));
    core.handle_timeout(now + 2 * SWEEP, 500);
    assert!(!delivers(&mut core, "100.64.0.7:9", "10.1.1.1:80"));
}

fn flow(ipv4: [u8; 4]) -> FromPortal {
    let ice = || IceCredentials {
        username: "abcd".into(),
        password: "0123456789012345678901".into(),
    };
    FromPortal::AuthorizeFlow(Box::new(AuthorizeFlow {
        reference: "ref".into(),
        resource: net(),
        client: ClientPeer {
            id: CLIENT,
            public_key: PublicKey::from_bytes([1; 32]),
            preshared_key: PresharedKey::from_bytes([2; 32]),
            ipv4: ipv4.into(),
            ipv6: "fd00:2021:1111::7".parse().unwrap(),
        },
        client_ice_credentials: ice(),
        gateway_ice_credentials: ice(),
        expires_at: Some(500),
    }))
}

#[test]
fn without_a_relay_a_client_is_not_let_in() {
    let mut core = core();
    core.handle_portal(flow([100, 64, 0, 7]), Instant::now());
    assert!(matches!(outputs(&mut core)[..], [Output::Reconnect]));
    assert!(core.clients.is_empty());
}

#[test]
fn clients_are_let_in_with_the_addresses_of_the_latest_authorization() {
    let mut core = core();
    let now = Instant::now();
    let relay = Relay {
        id: RelayId::from_bytes([3; 16]),
        v4: Some("203.0.113.21:3478".parse().unwrap()),
        v6: None,
        username: "1892160000:salt".into(),
        password: "password".into(),
    };
    let presence = RelaysPresence {
        disconnected_ids: vec![],
        connected: vec![relay],
    };
    core.handle_portal(FromPortal::RelaysPresence(presence), now);
    outputs(&mut core);
    for address in [[100, 64, 0, 7], [100, 64, 0, 8]] {
        core.handle_portal(flow(address), now);
        let told = outputs(&mut core);
        let is_agreed = |output: &Output| matches!(output, Output::Tell(ToPortal::FlowAuthorized { reference }) if reference == "ref");
        assert!(told.iter().any(is_agreed), "{told:?}");
        let from = SocketAddr::from((address, 9)).to_string();
        assert!(delivers(&mut core, &from, "10.1.1.1:80"));
        let known: Vec<IpAddr> = core.by_address.keys().copied().collect();
        assert_eq!(
            known,
            [IpAddr::from(address), "fd00:2021:1111::7".parse().unwrap()]
        );
    }
    assert!(!delivers(&mut core, "100.64.0.7:9", "10.1.1.1:80"));
    core.handle_timeout(now + SWEEP, 500);
    assert!(
        core.clients.is_empty() && core.by_address.is_empty(),
        "the access expired"
    );
}

#[test]
fn names_are_resolved_for_the_resource_whose_pattern_covers_them() {
    let proxy = &PROXIES;
    let real = &["100.96.0.1", "100.96.0.2", "100.96.0.3", "192.0.2.1"];
    for (pattern, domain, proxies, resolves, why) in [
        ("wiki.test", "wiki.test", proxy, true, "the name itself"),
        ("*.wiki.test", "a.wiki.test", proxy, true, "a name below"),
        ("wiki.test", "evil.test", proxy, false, "a foreign name"),
        (
            "db?.wiki.test",
            "evil.wiki.test",
            proxy,
            false,
            "a neighbour",
        ),
        (
            "wiki.*",
            "evil.test",
            proxy,
            false,
            "a foreign name behind a final wildcard",
        ),
        (
            "wiki.test",
            "wiki.test",
            real,
            false,
            "one is no proxy address",
        ),
    ] {
        let mut core = with_client(&[wiki(pattern)]);
        let told = control(&mut core, &assigned(domain, proxies));
        let resolve = matches!(&told[..], [Output::Resolve(it)] if it.domain.as_str() == domain);
        assert_eq!(resolve, resolves, "{why}: {told:?}");
    }
    for resources in [vec![], vec![net()]] {
        let mut core = with_client(&resources);
        assert!(
            control(&mut core, &assigned("wiki.test", proxy)).is_empty(),
            "not granted"
        );
    }
}

#[test]
fn lookups_at_a_time_are_bounded() {
    let mut core = with_client(&[wiki("wiki.test")]);
    let question = assigned("wiki.test", &PROXIES);
    let mut first = None;
    for _ in 0..MAX_LOOKUPS {
        let Some(Output::Resolve(lookup)) = control(&mut core, &question).pop() else {
            panic!("not resolved")
        };
        first = Some(lookup);
    }
    assert!(control(&mut core, &question).is_empty());
    core.handle_resolved(first.unwrap(), None, Instant::now());
    assert_eq!(control(&mut core, &question).len(), 1);
}

#[test]
fn a_resolved_name_is_reachable_until_its_resource_goes() {
    let mut core = with_client(&[wiki("wiki.test")]);
    let now = Instant::now();
    let told = control(&mut core, &assigned("wiki.test", &PROXIES)).pop();
    let Some(Output::Resolve(lookup)) = told else {
        panic!("{told:?}")
    };
    assert!(
        !delivers(&mut core, "100.64.0.7:9", "100.96.0.1:80"),
        "not yet"
    );
    core.handle_resolved(lookup.clone(), Some(&["192.0.2.1".parse().unwrap()]), now);
    assert!(delivers(&mut core, "100.64.0.7:9", "100.96.0.1:80"));
    core.handle_portal(
        FromPortal::RejectAccess {
            client_id: CLIENT,
            resource_id: WIKI,
        },
        now,
    );
    assert!(!delivers(&mut core, "100.64.0.7:9", "100.96.0.1:80"));
    // An answer that comes too late opens nothing.
    core.handle_resolved(lookup, Some(&["192.0.2.1".parse().unwrap()]), now);
    assert!(!delivers(&mut core, "100.64.0.7:9", "100.96.0.1:80"));
}

#[test]
fn goodbye_ends_a_client() {
    let mut core = with_client(&[net()]);
    control(&mut core, &Control::Goodbye);
    assert!(core.clients.is_empty() && core.by_address.is_empty());
}

#[test]
fn packets_of_the_device_that_are_for_nobody_are_dropped() {
    let mut core = with_client(&[net()]);
    let mut bytes = [0; 100];
    for to in ["100.64.0.7:9", "100.64.0.8:9"] {
        let from = "10.1.1.1:80".parse().unwrap();
        let length = emit_udp(&mut bytes, from, to.parse().unwrap(), b"x").unwrap();
        core.handle_tun(&mut bytes[..length], Instant::now());
        core.handle_tun(&mut bytes[..length - 1], Instant::now());
    }
    assert!(outputs(&mut core).is_empty());
}
