//! Routers with address translation, and how much of what goes through them is whose.

use super::{
    fault::{Context as _, Fault},
    host::Host,
    layout::{RELAY_ADDRESSES, RELAY_ADDRESSES6},
};
use std::{
    io::Write as _,
    ops::Sub,
    process::{Command, Stdio},
};

/// How a router translates addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nat {
    /// Not at all: the network behind it is reachable from outside.
    None,
    /// It keeps the source port where it can, so a socket has one public address for everybody.
    #[default]
    Cone,
    /// Every destination sees another port, so nobody can tell others where a socket is.
    Symmetric,
}

/// Bytes of datagrams that went through a router, in both directions, with IP headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Between the network behind it and anybody but the relays.
    pub direct: u64,
    /// Between the network behind it and the relays.
    pub relayed: u64,
}

impl Counters {
    /// The way that most of it went; nothing if there was nothing.
    pub fn path(self) -> Option<Path> {
        match self {
            Self {
                direct: 0,
                relayed: 0,
            } => None,
            Self { direct, relayed } if direct > relayed => Some(Path::Direct),
            Self { .. } => Some(Path::Relayed),
        }
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            direct: self.direct.saturating_sub(earlier.direct),
            relayed: self.relayed.saturating_sub(earlier.relayed),
        }
    }
}

/// The way that packets take between client and gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// From router to router.
    Direct,
    /// Through a relay.
    Relayed,
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
        })
    }
}

/// The rules of a router whose link to the internet is `wan0` and whose network is `inside`.
pub(crate) fn rules(nat: Nat, inside: &str) -> String {
    let how = match nat {
        Nat::None => None,
        Nat::Cone => Some(""),
        Nat::Symmetric => Some(" random,fully-random"),
    };
    let translation = how.map(|how| {
        format!(
            "chain post {{ type nat hook postrouting priority srcnat;
                ip saddr {inside} oifname \"wan0\" masquerade{how}
            }}"
        )
    });
    let unsolicited = match nat {
        Nat::None => "",
        _ => "iifname \"wan0\" ct state new drop",
    };
    let (relays4, relays6) = (RELAY_ADDRESSES.join(", "), RELAY_ADDRESSES6.join(", "));
    format!(
        "table inet router {{
            counter direct {{ }}
            counter relayed {{ }}
            {translation}
            chain input {{ type filter hook input priority filter;
                ct state established,related accept
                iifname \"wan0\" meta l4proto {{ tcp, udp }} drop
            }}
            chain forward {{ type filter hook forward priority filter;
                jump account
                ct state established,related accept
                {unsolicited}
            }}
            chain account {{
                ip daddr {{ {relays4} }} meta l4proto udp counter name relayed return
                ip saddr {{ {relays4} }} meta l4proto udp counter name relayed return
                ip6 daddr {{ {relays6} }} meta l4proto udp counter name relayed return
                ip6 saddr {{ {relays6} }} meta l4proto udp counter name relayed return
                meta l4proto udp th dport != 53 th sport != 53 counter name direct
            }}
        }}",
        translation = translation.unwrap_or_default(),
    )
}

/// What an operator sets up on a gateway's host: packets out of the tunnel leave with the host's
/// address. spec: data-plane 15
pub(crate) const GATEWAY_RULES: &str = "table inet gateway {
    chain post { type nat hook postrouting priority srcnat;
        ip saddr 100.64.0.0/11 oifname \"eth*\" masquerade
        ip6 saddr fd00:2021:1111::/107 oifname \"eth*\" masquerade
    }
}";

/// Loads rules on a host.
pub(crate) fn load(host: &Host, rules: String) -> Result<(), Fault> {
    let mut command = Command::new("nft");
    command
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = host.spawn(command).map_err(missing)?;
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(rules.as_bytes())
            .context(|| "give nft its rules".to_owned())?;
    }
    let output = child
        .wait_with_output()
        .context(|| "wait for nft".to_owned())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Fault::Check(format!(
            "nft refuses the rules of {}: {}",
            host.name(),
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

/// What went through a router since it was made.
pub(crate) fn counters(router: &Host) -> Result<Counters, Fault> {
    let mut command = Command::new("nft");
    command
        .args(["-j", "list", "counters", "table", "inet", "router"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let child = router.spawn(command).map_err(missing)?;
    let output = child
        .wait_with_output()
        .context(|| "wait for nft".to_owned())?;
    let answer: serde_json::Value =
        serde_json::from_slice(&output.stdout).context(|| "understand nft".to_owned())?;
    let bytes = |name: &str| {
        let objects = answer["nftables"].as_array().into_iter().flatten();
        objects
            .map(|object| &object["counter"])
            .find(|counter| counter["name"] == name)
            .and_then(|counter| counter["bytes"].as_u64())
            .ok_or_else(|| Fault::Check(format!("{} does not count {name} bytes", router.name())))
    };
    Ok(Counters {
        direct: bytes("direct")?,
        relayed: bytes("relayed")?,
    })
}

fn missing(fault: Fault) -> Fault {
    match fault {
        Fault::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Fault::Missing {
                what: "the program nft",
                remedy: "install the package nftables".to_owned(),
            }
        }
        fault => fault,
    }
}
