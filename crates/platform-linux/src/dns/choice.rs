//! Chooses the method of DNS control by what the system uses.
//!
//! What counts is where `resolv.conf` leads, because that is whom programs ask.

use super::{
    Method,
    config::ResolvConf,
    file::ResolvConfPaths,
    resolved::{self, Bus},
};
use platform::PlatformFault;
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::{Component, Path, PathBuf},
};

const CHOICES: &str = "name a DNS control method: systemd-resolved (where it runs), \
                       etc-resolv-conf (after the file was replaced by a regular one) or disabled";

/// Addresses of `systemd-resolved` itself.
const STUBS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54)),
];

/// Files of `systemd-resolved`; the first leads to its stub, the second past it.
const STUB_FILES: [&str; 3] = [
    "/run/systemd/resolve/stub-resolv.conf",
    "/usr/lib/systemd/resolv.conf",
    "/lib/systemd/resolv.conf",
];
const UPLINK_FILE: &str = "/run/systemd/resolve/resolv.conf";

/// Programs that are recognised by where the file leads.
const BY_PLACE: [(&str, &str); 5] = [
    ("/run/NetworkManager/", "NetworkManager"),
    ("/run/resolvconf/", "resolvconf"),
    ("/etc/resolvconf/run/", "resolvconf"),
    ("/run/connman/", "ConnMan"),
    ("/run/netconfig/", "netconfig"),
];

/// Programs that are recognised by a comment in the file.
const BY_COMMENT: [(&str, &str); 6] = [
    ("NetworkManager", "NetworkManager"),
    ("resolvconf", "resolvconf"),
    ("dhclient", "dhclient"),
    ("dhcpcd", "dhcpcd"),
    ("udhcpc", "udhcpc"),
    ("netconfig", "netconfig"),
];

/// What is known of `resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    kind: Kind,
    /// The content without us, symbolic links followed; empty if there is none.
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// A symbolic link, and where it leads in the end.
    Link(PathBuf),
    Missing,
    Other,
    Regular,
}

/// What the facts say before anybody is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// `systemd-resolved`, if it answers.
    Resolved {
        reason: &'static str,
        else_file: bool,
    },
    /// The file, which another program may manage.
    File { manager: Option<&'static str> },
    /// Neither.
    Neither { problem: String },
}

/// Chooses a method and logs which one and why.
pub(super) async fn choose(
    paths: &ResolvConfPaths,
    bus: &mut Bus,
) -> Result<Method, PlatformFault> {
    let facts = Facts::gather(paths);
    match facts.judge(&paths.file) {
        Verdict::Resolved { reason, else_file } => match answers(bus).await {
            Ok(()) => {
                tracing::info!(
                    method = "systemd-resolved",
                    reason,
                    "Chose how to control DNS"
                );
                if matches!(&facts.kind, Kind::Link(target) if target == Path::new(UPLINK_FILE)) {
                    tracing::warn!(
                        link_to = STUB_FILES[0],
                        "The file resolv.conf leads past systemd-resolved: programs that read it \
                         may ask others first"
                    );
                }
                Ok(Method::SystemdResolved)
            }
            Err(fault) if else_file => {
                let reason = "resolv.conf names systemd-resolved, which does not answer here";
                tracing::info!(method = "etc-resolv-conf", reason, error = %fault, "Chose how to control DNS");
                Ok(Method::EtcResolvConf)
            }
            Err(fault) => Err(fault),
        },
        Verdict::File { manager } => {
            let reason = "resolv.conf is a regular file";
            tracing::info!(
                method = "etc-resolv-conf",
                reason,
                manager,
                "Chose how to control DNS"
            );
            Ok(Method::EtcResolvConf)
        }
        Verdict::Neither { problem } => Err(PlatformFault::Dns {
            problem,
            remedy: CHOICES,
        }),
    }
}

async fn answers(bus: &mut Bus) -> Result<(), PlatformFault> {
    let connection = bus.connection().await;
    let connection = connection.map_err(|error| resolved::no_bus(&error))?;
    resolved::answers(&connection).await
}

impl Facts {
    fn gather(paths: &ResolvConfPaths) -> Self {
        let kind = match fs::symlink_metadata(&paths.file) {
            Ok(metadata) if metadata.is_symlink() => Kind::Link(destination(&paths.file)),
            Ok(metadata) if metadata.is_file() => Kind::Regular,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kind::Missing,
            _ => Kind::Other,
        };
        let text = paths.original().unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        Self { kind, text }
    }

    fn judge(&self, file: &Path) -> Verdict {
        let file = file.display();
        let only_stub = self.names_only_the_stub();
        match &self.kind {
            Kind::Link(target) if is_of_resolved(target) => Verdict::Resolved {
                reason: "resolv.conf is its file",
                else_file: false,
            },
            Kind::Link(_) if only_stub => Verdict::Resolved {
                reason: "resolv.conf names nobody else",
                else_file: false,
            },
            Kind::Regular if only_stub => Verdict::Resolved {
                reason: "resolv.conf names nobody else",
                else_file: true,
            },
            Kind::Regular => Verdict::File {
                manager: self.manager(),
            },
            Kind::Link(target) => {
                let by = self.manager().map(|name| format!(" of {name}"));
                let (target, by) = (target.display(), by.unwrap_or_default());
                Verdict::Neither {
                    problem: format!("{file} is a symbolic link to {target}{by}"),
                }
            }
            Kind::Missing => Verdict::Neither {
                problem: format!("there is no {file}"),
            },
            Kind::Other => Verdict::Neither {
                problem: format!("{file} is no regular file"),
            },
        }
    }

    fn names_only_the_stub(&self) -> bool {
        let servers = ResolvConf::parse(self.text.as_bytes()).nameservers;
        !servers.is_empty() && servers.iter().all(|s| STUBS.contains(&s.address))
    }

    /// The program that writes the file, as far as it says so.
    fn manager(&self) -> Option<&'static str> {
        let find = |table: &[(&str, &'static str)], fits: &dyn Fn(&str) -> bool| {
            let found = table.iter().find(|(sign, _)| fits(sign));
            found.map(|(_, name)| *name)
        };
        if let Kind::Link(target) = &self.kind
            && let Some(name) = find(&BY_PLACE, &|place| target.starts_with(place))
        {
            return Some(name);
        }
        let is_comment = |line: &&str| line.starts_with(['#', ';']);
        let mut comments = self.text.lines().map(str::trim_start).filter(is_comment);
        comments.find_map(|line| {
            let line = line.to_lowercase();
            let says = line.contains("generated by") || line.contains("written by");
            let fits = |sign: &str| line.contains(&sign.to_lowercase());
            says.then(|| find(&BY_COMMENT, &fits)).flatten()
        })
    }
}

fn is_of_resolved(target: &Path) -> bool {
    let is = |file: &str| target == Path::new(file);
    STUB_FILES.iter().copied().any(is) || is(UPLINK_FILE)
}

/// Where a link leads; if that does not exist, what the link says.
fn destination(link: &Path) -> PathBuf {
    let said = || {
        let target = fs::read_link(link).unwrap_or_default();
        normal(&link.parent().unwrap_or(Path::new("/")).join(target))
    };
    fs::canonicalize(link).unwrap_or_else(|_| said())
}

/// The path without detours, as far as its text tells.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            component => normal.push(component),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(kind: Kind, text: &str) -> Facts {
        Facts {
            kind,
            text: text.into(),
        }
    }

    fn link(target: &str, text: &str) -> Facts {
        facts(Kind::Link(target.into()), text)
    }

    fn judge(facts: &Facts) -> Verdict {
        facts.judge(Path::new("/etc/resolv.conf"))
    }

    #[test]
    fn files_of_resolved_lead_to_it() {
        let stub = "nameserver 127.0.0.53\noptions edns0\n";
        for (facts, expected) in [
            (link("/run/systemd/resolve/stub-resolv.conf", stub), false),
            (
                link("/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1"),
                false,
            ),
            (link("/usr/lib/systemd/resolv.conf", stub), false),
            (link("/run/systemd/resolve/stub-resolv.conf", ""), false),
            (link("/etc/static/resolv.conf", stub), false),
            (facts(Kind::Regular, stub), true),
            (facts(Kind::Regular, "nameserver 127.0.0.54\n"), true),
        ] {
            match judge(&facts) {
                Verdict::Resolved { else_file, .. } => assert_eq!(else_file, expected, "{facts:?}"),
                verdict => panic!("{facts:?}: {verdict:?}"),
            }
        }
    }

    #[test]
    fn regular_files_are_rewritten_whoever_manages_them() {
        for (text, expected) in [
            ("nameserver 192.0.2.1\n", None),
            ("", None),
            ("nameserver 127.0.0.53\nnameserver 192.0.2.1\n", None),
            (
                "# Generated by NetworkManager\nnameserver 192.0.2.1\n",
                Some("NetworkManager"),
            ),
            ("# Generated by resolvconf\n", Some("resolvconf")),
            ("# Generated by dhcpcd from eth0.dhcp\n", Some("dhcpcd")),
            (
                "; generated by /usr/sbin/dhclient-script\n",
                Some("dhclient"),
            ),
            ("# I do not like NetworkManager\n", None),
        ] {
            let manager = expected;
            assert_eq!(
                judge(&facts(Kind::Regular, text)),
                Verdict::File { manager },
                "{text}"
            );
        }
    }

    #[test]
    fn links_of_others_and_missing_files_are_named() {
        let server = "nameserver 192.0.2.1\n";
        for (facts, expected) in [
            (
                link("/run/resolvconf/resolv.conf", server),
                "resolv.conf of resolvconf",
            ),
            (
                link("/run/NetworkManager/resolv.conf", server),
                "of NetworkManager",
            ),
            (
                link("/etc/static/resolv.conf", server),
                "link to /etc/static/resolv.conf",
            ),
            (facts(Kind::Missing, ""), "there is no /etc/resolv.conf"),
            (facts(Kind::Other, ""), "no regular file"),
        ] {
            match judge(&facts) {
                Verdict::Neither { problem } => assert!(problem.contains(expected), "{problem}"),
                verdict => panic!("{facts:?}: {verdict:?}"),
            }
        }
    }

    #[test]
    fn dangling_links_are_taken_at_their_word() {
        let said = Path::new("/etc/./../run/systemd/resolve/stub-resolv.conf");
        assert!(is_of_resolved(&normal(said)));
    }
}
