//! The platform with a real `systemd-resolved`. spec: platform 4.1, 5, 6, 16, 20

use crate::{
    daemons::{Daemons, call, link_property, property},
    leftovers::hold,
    namespace::{
        Etc, PATIENCE, Peer, RESOLV_CONF, connect, inside, network_fingerprint, notified, plan,
        read, run, until,
    },
};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use platform::{
    NetworkEvent, PacketBatch, Platform, PlatformFault, ResolverTransport, SystemResolver,
    Tun as _,
    conformance::{self, Observed, Subject},
};
use platform_linux::{DnsControl, LinuxOptions, LinuxPlatform};
use rustix::mount::{MountFlags, mount};
use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    os::unix::fs::symlink,
    rc::Rc,
};

const SERVER: &str = "192.0.2.53";

type Servers = Vec<(i32, i32, Vec<u8>, u16, String)>;
type Domains = Vec<(i32, String, bool)>;

/// A network with a DNS server and `systemd-resolved` that uses it.
struct Network {
    daemons: Daemons,
    etc: Etc,
    peer: Peer,
    near: u32,
}

impl Network {
    async fn new() -> Self {
        let etc = Etc::new();
        let daemons = Daemons::start(&etc).await;
        let peer = Peer::new();
        connect(&peer, "near", "far");
        peer.run(|| run("ip", &format!("address add {SERVER}/24 dev far")));
        run("ip", "address add 192.0.2.1/24 dev near");
        let near = index_of("near").unwrap();
        set_servers(near, &[(SERVER, 0, "")]);
        Self {
            daemons,
            etc,
            peer,
            near,
        }
    }

    fn platform(&self, dns_control: DnsControl) -> LinuxPlatform {
        LinuxPlatform::new(LinuxOptions {
            dns_control,
            ..self.etc.options()
        })
        .unwrap()
    }
}

fn index_of(interface: &str) -> Option<u32> {
    let links = run("ip", "-o link show");
    let mut links = links.lines().filter_map(|line| {
        let (index, rest) = line.split_once(": ")?;
        let name = rest.split(['@', ':']).next()?;
        Some((index.parse().ok()?, name.to_owned()))
    });
    links
        .find(|(_, name)| name == interface)
        .map(|(index, _)| index)
}

fn bytes(address: IpAddr) -> (i32, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    }
}

/// Servers of a link: address, port, name.
fn set_servers(link: u32, servers: &[(&str, u16, &str)]) {
    let servers = servers.iter().map(|&(address, port, name)| {
        let (family, bytes) = bytes(address.parse().unwrap());
        (family, bytes, port, name.to_owned())
    });
    let servers: Vec<_> = servers.collect();
    call("SetLinkDNSEx", (i32::try_from(link).unwrap(), servers));
}

/// Addresses that a link has servers at.
fn servers_of(link: u32) -> Vec<IpAddr> {
    let servers = Servers::try_from(property("DNSEx")).unwrap();
    let of_link = servers
        .into_iter()
        .filter(|s| u32::try_from(s.0) == Ok(link));
    of_link.map(|(_, _, bytes, _, _)| address(&bytes)).collect()
}

fn address(bytes: &[u8]) -> IpAddr {
    match <[u8; 4]>::try_from(bytes) {
        Ok(v4) => v4.into(),
        Err(_) => <[u8; 16]>::try_from(bytes).unwrap().into(),
    }
}

/// Everything about DNS that must be as before.
fn fingerprint() -> String {
    let values = ["DNSEx", "Domains"].map(|name| format!("{:?}", property(name)));
    let files = [
        "/run/systemd/resolve/resolv.conf",
        "/run/systemd/resolve/stub-resolv.conf",
    ];
    let files = files.map(|file| fs::read_to_string(file).unwrap());
    format!(
        "{}{}{}",
        values.concat(),
        files.concat(),
        network_fingerprint()
    )
}

fn resolver(address: &str) -> SystemResolver {
    SystemResolver::do53(address.parse().unwrap())
}

#[test]
fn settings_reach_resolved_and_vanish() {
    inside(|| async {
        let network = Network::new().await;
        let before = fingerprint();
        let mut platform = network.platform(DnsControl::SystemdResolved);
        platform.revert().unwrap();
        let tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        let link = index_of("tun-firezone").unwrap();
        assert_eq!(servers_of(link), plan().dns_servers);
        let domains = Domains::try_from(property("Domains")).unwrap();
        let domains: BTreeSet<_> = domains.into_iter().map(|(_, d, r)| (d, r)).collect();
        let search = plan().search_domain.unwrap().to_string();
        assert_eq!(domains, [(".".to_owned(), true), (search, false)].into());
        for (name, value) in [
            ("LLMNR", "yes"),
            ("MulticastDNS", "no"),
            ("DNSSEC", "no"),
            ("DNSOverTLS", "no"),
        ] {
            assert_eq!(link_property(link, name), value, "{name}");
        }
        assert!(link_property(link, "DefaultRoute").contains("true"));
        assert_eq!(
            platform.system_resolvers().unwrap(),
            [resolver("192.0.2.53:53")]
        );
        platform.flush_dns_cache();
        platform.revert().unwrap();
        assert_eq!(servers_of(link), Vec::<IpAddr>::new());
        drop(tun);
        until("everything is as before", || fingerprint() == before).await;
    });
}

#[test]
fn programs_that_ask_resolved_reach_the_tunnel() {
    inside(|| async {
        let network = Network::new().await;
        let mut platform = network.platform(DnsControl::SystemdResolved);
        let mut tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        let program = UdpSocket::bind("127.0.0.1:0").unwrap();
        program
            .send_to(&query("wiki.example.", RecordType::A), "127.0.0.53:53")
            .unwrap();
        let mut batch = PacketBatch::new(16);
        let asked = async {
            loop {
                tun.readable().await.unwrap();
                if tun.try_read(&mut batch).is_ok()
                    && batch
                        .iter()
                        .any(|p| p[0] >> 4 == 4 && p[16..20] == [100, 100, 111, 1])
                {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .expect("nothing reaches the tunnel");
    });
}

#[test]
fn restarted_resolved_gets_the_settings_again() {
    inside(|| async {
        let mut network = Network::new().await;
        let mut platform = network.platform(DnsControl::SystemdResolved);
        let mut watch = platform.watch();
        let _tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        let link = index_of("tun-firezone").unwrap();
        for _ in 0..2 {
            network.daemons.stop_resolved();
            network.daemons.start_resolved().await;
            until("the settings are back", || {
                servers_of(link) == plan().dns_servers
            })
            .await;
            assert!(link_property(link, "DNSSEC").contains("no"));
        }
        // It forgot its own servers as well, which is news.
        notified(&mut watch, NetworkEvent::ResolversChanged).await;
        set_servers(network.near, &[("192.0.2.54", 0, "")]);
        notified(&mut watch, NetworkEvent::ResolversChanged).await;
        assert_eq!(
            platform.system_resolvers().unwrap(),
            [resolver("192.0.2.54:53")]
        );
    });
}

#[test]
fn restarted_bus_is_found_again() {
    inside(|| async {
        let mut network = Network::new().await;
        let mut platform = network.platform(DnsControl::SystemdResolved);
        let _tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        let link = index_of("tun-firezone").unwrap();
        network.daemons.restart_bus().await;
        assert_eq!(servers_of(link), Vec::<IpAddr>::new());
        until("the settings are back", || {
            servers_of(link) == plan().dns_servers
        })
        .await;
    });
}

#[test]
fn settings_that_somebody_reverts_come_back() {
    inside(|| async {
        let network = Network::new().await;
        let mut platform = network.platform(DnsControl::SystemdResolved);
        let _tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        let link = index_of("tun-firezone").unwrap();
        call("RevertLink", i32::try_from(link).unwrap());
        until("the settings are back", || {
            servers_of(link) == plan().dns_servers
        })
        .await;
        platform.revert().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert_eq!(servers_of(link), Vec::<IpAddr>::new());
        drop(network);
    });
}

#[test]
fn change_of_servers_is_noticed_within_a_second() {
    inside(|| async {
        let network = Network::new().await;
        let mut platform = network.platform(DnsControl::SystemdResolved);
        let mut watch = platform.watch();
        let _tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        let changed_at = std::time::Instant::now();
        set_servers(
            network.near,
            &[
                (SERVER, 5353, ""),
                ("1.1.1.1", 0, "cloudflare-dns.com"),
                ("fe80::1", 0, ""),
                ("2001:db8::1", 53, "a.example"),
            ],
        );
        notified(&mut watch, NetworkEvent::ResolversChanged).await;
        assert!(
            changed_at.elapsed().as_secs() < 1,
            "{:?}",
            changed_at.elapsed()
        );
        let scoped = format!("[fe80::1%{}]:53", network.near);
        let expected = ["192.0.2.53:5353", "1.1.1.1:53", &scoped, "[2001:db8::1]:53"];
        assert_eq!(platform.system_resolvers().unwrap(), expected.map(resolver));
    });
}

#[test]
fn servers_for_tls_only_are_asked_by_resolved() {
    inside(|| async {
        let network = Network::new().await;
        let near = i32::try_from(network.near).unwrap();
        call("SetLinkDNSOverTLS", (near, "yes"));
        let platform = network.platform(DnsControl::SystemdResolved);
        let expected = SystemResolver {
            address: "192.0.2.53:853".parse().unwrap(),
            transport: ResolverTransport::Managed { link: network.near },
        };
        assert_eq!(platform.system_resolvers().unwrap(), [expected]);
    });
}

#[test]
fn question_to_a_link_goes_to_its_server_and_never_to_the_tunnel() {
    inside(|| async {
        let network = Network::new().await;
        network.peer.run(|| {
            let server = UdpSocket::bind((SERVER, 53)).unwrap();
            std::thread::spawn(move || serve(&server));
        });
        let mut platform = network.platform(DnsControl::SystemdResolved);
        let _tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        let ask = |name: &'static str, kind| {
            let asked = platform.system_exchange()(network.near, query(name, kind));
            async move {
                let answer = tokio::time::timeout(PATIENCE, asked).await.expect(name);
                Message::from_vec(&answer.unwrap()).unwrap()
            }
        };
        let answer = ask("www.example.", RecordType::A).await;
        let owners: Vec<_> = answer.answers.iter().map(|r| r.name.to_ascii()).collect();
        assert_eq!(owners, ["www.example.", "host.example."], "{answer}");
        assert_eq!(answer.metadata.id, 0x1234);
        assert_eq!(
            answer.answers[1].data,
            RData::A(rdata::A::new(192, 0, 2, 80))
        );
        let answer = ask("host.example.", RecordType::TXT).await;
        assert!(answer.answers.is_empty());
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        let answer = ask("nobody.example.", RecordType::A).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
        let answer = ask("broken.example.", RecordType::A).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    });
}

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut query = Message::new(0x1234, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query.to_vec().unwrap()
}

/// A server that knows two names of `example`.
fn serve(server: &UdpSocket) {
    let mut buffer = [0; 1500];
    while let Ok((length, from)) = server.recv_from(&mut buffer) {
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let asked = query.queries[0].clone();
        let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.add_query(asked.clone());
        let (www, host) = ("www.example.", "host.example.");
        let mut add = |owner: &str, data| {
            let owner = Name::from_ascii(owner).unwrap();
            answer.add_answer(Record::from_rdata(owner, 60, data));
        };
        let name = asked.name().to_ascii().to_lowercase();
        let kind = asked.query_type();
        if name == www {
            add(
                www,
                RData::CNAME(rdata::CNAME(Name::from_ascii(host).unwrap())),
            );
        }
        if (name == www || name == host) && kind == RecordType::A {
            add(host, RData::A(rdata::A::new(192, 0, 2, 80)));
        }
        answer.metadata.response_code = match name.as_str() {
            "www.example." | "host.example." | "." | "example." => ResponseCode::NoError,
            "broken.example." => ResponseCode::ServFail,
            _ => ResponseCode::NXDomain,
        };
        server.send_to(&answer.to_vec().unwrap(), from).unwrap();
    }
}

#[test]
fn killed_client_leaves_resolved_as_it_was() {
    inside(|| async {
        let network = Network::new().await;
        let before = fingerprint();
        for phase in ["created", "applied", "changed"] {
            let mut client = hold(&network.etc, "systemd-resolved", phase);
            client.process.kill().unwrap();
            client.process.wait().unwrap();
            let mut platform = network.platform(DnsControl::SystemdResolved);
            platform.revert().unwrap();
            until("everything is as before", || fingerprint() == before).await;
            let tun = platform.create_tun().unwrap();
            platform.apply(&plan()).await.unwrap();
            let link = index_of("tun-firezone").unwrap();
            assert_eq!(servers_of(link), plan().dns_servers, "killed when {phase}");
            drop(platform);
            drop(tun);
            until("everything is as before", || fingerprint() == before).await;
        }
        let mut client = hold(&network.etc, "systemd-resolved", "changed");
        drop(client.process.stdin.take());
        assert!(client.process.wait().unwrap().success());
        until("everything is as before", || fingerprint() == before).await;
    });
}

#[test]
fn method_is_chosen_by_where_the_file_leads() {
    inside(|| async {
        let network = Network::new().await;
        let etc = &network.etc;
        let link_to = |target: &str| {
            fs::remove_file(etc.file()).unwrap();
            symlink(target, etc.file()).unwrap();
        };
        link_to("/run/systemd/resolve/stub-resolv.conf");
        for text in [None, Some("nameserver 127.0.0.53\n"), Some(RESOLV_CONF)] {
            if let Some(text) = text {
                etc.replace(text);
            }
            let mut platform = network.platform(DnsControl::Auto);
            platform.revert().unwrap();
            let tun = platform.create_tun().unwrap();
            platform.apply(&plan()).await.unwrap();
            let link = index_of("tun-firezone").unwrap();
            let is_file = text == Some(RESOLV_CONF);
            assert_eq!(servers_of(link).is_empty(), is_file, "{text:?}");
            assert_eq!(
                read(&etc.file()).contains("100.100.111.1"),
                is_file,
                "{text:?}"
            );
            drop((platform, tun));
        }
        link_to("/run/resolvconf/resolv.conf");
        let fault = auto(etc).unwrap_err().to_string();
        for part in [
            "of resolvconf",
            "systemd-resolved",
            "etc-resolv-conf",
            "disabled",
        ] {
            assert!(fault.contains(part), "{part}: {fault}");
        }
    });
}

fn auto(etc: &Etc) -> Result<LinuxPlatform, PlatformFault> {
    LinuxPlatform::new(LinuxOptions {
        dns_control: DnsControl::Auto,
        ..etc.options()
    })
}

#[test]
fn absent_resolved_is_explained() {
    inside(|| async {
        let etc = Etc::new();
        let _daemons = Daemons::bus(&etc).await;
        let named = LinuxOptions {
            dns_control: DnsControl::SystemdResolved,
            ..etc.options()
        };
        let mut platform = LinuxPlatform::new(named).unwrap();
        platform.revert().unwrap();
        let _tun = platform.create_tun().unwrap();
        for fault in [
            platform.apply(&plan()).await.unwrap_err(),
            platform.system_resolvers().unwrap_err(),
        ] {
            let text = fault.to_string();
            assert!(text.contains("systemd-resolved does not run"), "{text}");
            assert!(text.contains("systemctl enable --now"), "{text}");
        }
        platform.flush_dns_cache();
        platform.revert().unwrap();
        // A file that names it would leave programs without an answer anyway.
        etc.replace("nameserver 127.0.0.53\n");
        let stub: IpAddr = Ipv4Addr::new(127, 0, 0, 53).into();
        let found = auto(&etc).unwrap().system_resolvers().unwrap();
        assert_eq!(found, [SystemResolver::do53((stub, 53).into())]);
    });
}

#[test]
fn absent_bus_is_explained() {
    inside(|| async {
        let etc = Etc::new();
        mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
        fs::remove_file(etc.file()).unwrap();
        symlink("/run/systemd/resolve/stub-resolv.conf", etc.file()).unwrap();
        let fault = auto(&etc).unwrap_err().to_string();
        assert!(
            fault.contains("system bus") && fault.contains("start"),
            "{fault}"
        );
    });
}

#[test]
fn refusal_by_polkit_names_the_action() {
    inside(|| async {
        let network = Network::new().await;
        // Somebody else than root may change the network, but not DNS.
        let output = crate::leftovers::hold_as_nobody(&network.etc, "systemd-resolved");
        assert!(
            output.contains("polkit denies org.freedesktop.resolve1."),
            "{output}"
        );
        assert!(output.contains("polkit rule"), "{output}");
    });
}

struct Resolved(Rc<Network>);

impl Subject for Resolved {
    type Platform = LinuxPlatform;

    fn platform(&mut self) -> LinuxPlatform {
        self.0.platform(DnsControl::SystemdResolved)
    }

    fn observe(&mut self) -> Observed {
        let link = index_of("tun-firezone");
        let domains = Domains::try_from(property("Domains")).unwrap();
        let search = domains.into_iter().find(|(_, domain, _)| domain != ".");
        Observed {
            addresses: crate::conformance::addresses(),
            routes: crate::conformance::routes(),
            dns_servers: link.map(servers_of).unwrap_or_default(),
            search_domain: search.map(|(_, domain, _)| domain.parse().unwrap()),
            fingerprint: format!("{}{}", network_fingerprint(), read(&self.0.etc.file())),
        }
    }

    fn lose_routes(&mut self) {
        crate::conformance::lose_routes();
    }

    fn replace_resolvers(&mut self, addresses: &[IpAddr]) {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let servers: Vec<_> = texts.iter().map(|text| (text.as_str(), 0, "")).collect();
        set_servers(self.0.near, &servers);
    }
}

#[test]
fn linux_with_resolved_conforms() {
    inside(|| async {
        // One system is enough: the tests of the suite leave nothing behind.
        let network = Rc::new(Network::new().await);
        conformance::run(|| Resolved(Rc::clone(&network))).await;
    });
}
