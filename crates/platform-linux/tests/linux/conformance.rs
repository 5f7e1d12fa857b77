//! The suite that every platform passes.

use crate::namespace::{Etc, inside, network_fingerprint, read, run, table};
use ipnet::IpNet;
use platform::conformance::{self, Observed, Subject};
use platform_linux::{LinuxOptions, LinuxPlatform};
use std::{collections::BTreeSet, net::IpAddr};

struct Linux {
    etc: Etc,
    offload: bool,
}

const TABLES: [u32; 2] = [0x2021_fd00, 0x2021_fd02];

impl Subject for Linux {
    type Platform = LinuxPlatform;

    fn platform(&mut self) -> LinuxPlatform {
        LinuxPlatform::new(LinuxOptions {
            offload: self.offload,
            ..self.etc.options()
        })
        .unwrap()
    }

    fn observe(&mut self) -> Observed {
        let file = read(&self.etc.file());
        let is_ours = file.starts_with("# BEGIN Firezone DNS configuration");
        let values = |directive: &str| {
            let lines = file.lines().filter(move |_| is_ours);
            let words = lines.filter_map(|line| line.split_once(' '));
            words
                .filter(|(first, _)| *first == directive)
                .map(|(_, value)| value.to_owned())
                .collect::<Vec<_>>()
        };
        Observed {
            addresses: addresses(),
            routes: routes(),
            dns_servers: values("nameserver")
                .iter()
                .map(|text| text.parse().unwrap())
                .collect(),
            search_domain: values("search").first().map(|text| text.parse().unwrap()),
            fingerprint: format!("{}\n{file}", network_fingerprint()),
        }
    }

    fn lose_routes(&mut self) {
        lose_routes();
    }

    fn replace_resolvers(&mut self, addresses: &[IpAddr]) {
        let lines = addresses
            .iter()
            .map(|address| format!("nameserver {address}\n"));
        self.etc.replace(&lines.collect::<String>());
    }
}

pub(crate) fn lose_routes() {
    for table in TABLES {
        for family in ["-4", "-6"] {
            if !crate::namespace::table(family, table).is_empty() {
                run("ip", &format!("{family} route flush table {table}"));
            }
        }
    }
}

pub(crate) fn addresses() -> BTreeSet<IpAddr> {
    let lines = run("ip", "-o address show");
    let ours = lines.lines().filter(|line| line.contains("tun-firezone"));
    let with_prefix = ours.filter_map(|line| line.split_whitespace().nth(3));
    with_prefix
        .map(|text| {
            let network: IpNet = text.parse().unwrap();
            assert_eq!(network.prefix_len(), network.max_prefix_len(), "{text}");
            network.addr()
        })
        .collect()
}

pub(crate) fn routes() -> BTreeSet<IpNet> {
    let mut routes = BTreeSet::new();
    for (family, any) in [("-4", "0.0.0.0/0"), ("-6", "::/0")] {
        for number in TABLES {
            for text in table(family, number) {
                let text = if text == "default" { any } else { &text };
                let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
                routes.insert(text.parse().ok().or_else(host).unwrap());
            }
        }
    }
    routes
}

#[test]
fn linux_with_offload_conforms() {
    inside(|| async {
        conformance::run(|| Linux {
            etc: Etc::new(),
            offload: true,
        })
        .await;
    });
}

#[test]
fn linux_without_offload_conforms() {
    inside(|| async {
        conformance::run(|| Linux {
            etc: Etc::new(),
            offload: false,
        })
        .await;
    });
}
