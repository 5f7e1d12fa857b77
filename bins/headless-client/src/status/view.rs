//! The report for a person, 80 columns wide.

use super::report::{Gateway, Report, Resource};

/// The report as text. `now` is in seconds since 1970.
pub(super) fn text(report: &Report, now: u64) -> String {
    let mut lines = overview(report);
    lines.push(String::new());
    lines.extend(gateways(&report.gateways, now));
    lines.push(String::new());
    lines.extend(resources(&report.resources));
    if !report.drops.is_empty() {
        lines.extend([String::new(), "Dropped packets".to_owned()]);
        let drops = report.drops.iter();
        lines.extend(drops.map(|(reason, count)| format!("  {:<40}{count:>12}", cut(reason, 39))));
    }
    lines.join("\n")
}

fn overview(report: &Report) -> Vec<String> {
    let line = |label: &str, value: &str| format!("{label:<11}{}", cut(value, 69));
    let program = &report.program;
    let state = if report.ready { "ready" } else { "not ready" };
    let client = format!(
        "{state}, version {}, process {}, for {}",
        program.version,
        program.pid,
        duration(program.uptime_seconds)
    );
    let portal = format!("{}, {}", report.portal.state, report.portal.url);
    let mut lines = vec![line("Client", &client), line("Portal", &portal)];
    if let Some(interface) = &report.interface {
        let addresses = format!("{}, {}", interface.ipv4, interface.ipv6);
        lines.push(line("Addresses", &addresses));
        let search = interface.search_domain.as_deref();
        lines.extend(search.map(|domain| line("Search", domain)));
    }
    for (n, upstream) in report.dns.iter().enumerate() {
        let label = if n == 0 { "DNS" } else { "" };
        let value = format!("{} asks {}", upstream.address, upstream.server);
        lines.push(line(label, &value));
    }
    lines
}

fn gateways(gateways: &[Gateway], now: u64) -> Vec<String> {
    if gateways.is_empty() {
        return vec!["No gateway is connected: that happens once a resource is used.".to_owned()];
    }
    let mut lines = vec![format!(
        "{:<38}{:<9}{:>8}{:>8}{:>8}{:>8}",
        "Gateway", "Path", "RTT", "Key age", "Sent", "Recv."
    )];
    for gateway in gateways {
        let path = match gateway.path.as_str() {
            "direct" | "connecting" => gateway.path.as_str(),
            _ => "relayed",
        };
        let rtt = gateway.rtt_ms.map(|rtt| format!("{rtt:.1} ms"));
        let age = gateway.last_handshake.map(|at| now.saturating_sub(at));
        lines.push(format!(
            "{:<38}{:<9}{:>8}{:>8}{:>8}{:>8}",
            cut(&gateway.id, 37),
            cut(path, 8),
            rtt.unwrap_or_default(),
            age.map_or_else(String::new, duration),
            bytes(gateway.sent_bytes),
            bytes(gateway.received_bytes),
        ));
        if path == "relayed" {
            let relay = gateway.relay.as_deref().unwrap_or_default();
            lines.push(cut(&format!("  {} {relay}", gateway.path), 80));
        }
    }
    lines
}

fn resources(resources: &[Resource]) -> Vec<String> {
    if resources.is_empty() {
        return vec!["There are no resources.".to_owned()];
    }
    let row = |name: &str, address: &str, sites: &str, state: &str| {
        let (name, address, sites) = (cut(name, 23), cut(address, 29), cut(sites, 17));
        format!("{name:<24}{address:<30}{sites:<18}{:>8}", cut(state, 8))
    };
    let mut lines = vec![row("Resource", "Address", "Site", "State")];
    lines.extend(resources.iter().map(|resource| {
        let sites = resource.sites.join(", ");
        row(&resource.name, &resource.address, &sites, &resource.state)
    }));
    lines
}

/// At most `width` characters, none of which moves the cursor: names come from elsewhere.
fn cut(text: &str, width: usize) -> String {
    let printable = |c: char| if c.is_control() { '?' } else { c };
    let mut kept: String = text.chars().take(width).map(printable).collect();
    if text.chars().nth(width).is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// A number of bytes with a unit, at most six characters.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut rest = count;
    let mut tenths = 0;
    let mut unit = 0;
    while rest >= 1000 && unit < UNITS.len() - 1 {
        tenths = rest % 1000 / 100;
        rest /= 1000;
        unit += 1;
    }
    match (unit, rest) {
        (0, _) | (_, 100..) => format!("{rest} {}", UNITS[unit]),
        _ => format!("{rest}.{tenths} {}", UNITS[unit]),
    }
}

/// The two largest units of a number of seconds at most.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::report::{Interface, Portal, Program, Upstream},
        *,
    };

    fn report() -> Report {
        Report {
            version: 1,
            program: Program {
                version: "0.1.0".into(),
                pid: 4711,
                uptime_seconds: 90_000,
            },
            portal: Portal {
                url: "wss://api.firezone.dev/".into(),
                state: "connected".into(),
            },
            ready: true,
            interface: Some(Interface {
                ipv4: "100.64.0.1".into(),
                ipv6: "fd00:2021:1111::1".into(),
                search_domain: None,
            }),
            dns: vec![Upstream {
                address: "100.100.111.1".into(),
                server: "192.0.2.53:53".parse().unwrap(),
            }],
            gateways: vec![Gateway {
                id: "f7ea7adf-4a5b-4e8e-a0f1-3d2a3a4d5e6f".into(),
                path: "through our relay".into(),
                relay: Some("6534c72e-c57d-4161-8f81-2528dcba0015".into()),
                rtt_ms: Some(12.34),
                last_handshake: Some(1000),
                sent_bytes: 1_234_567,
                received_bytes: 999,
                idle: false,
            }],
            resources: vec![Resource {
                id: "r".into(),
                name: "A resource with a long name \x1b[31m".into(),
                address: "*.corp.example.com".into(),
                sites: vec!["Berlin".into(), "Hamburg and more".into()],
                state: "online".into(),
                gateway: None,
            }],
            drops: [("no-resource".to_owned(), 3)].into(),
        }
    }

    #[test]
    fn it_fits_a_terminal_and_moves_no_cursor() {
        let text = text(&report(), 1075);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert!(!line.contains('\x1b'), "{line}");
        }
        for part in [
            "ready, version 0.1.0, process 4711, for 1d 1h",
            "connected, wss://api.firezone.dev/",
            "100.100.111.1 asks 192.0.2.53:53",
            "relayed   12.3 ms  1m 15s  1.2 MB   999 B",
            "through our relay 6534c72e-",
            "no-resource",
            "Berlin, Hamburg …",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }

    #[test]
    fn amounts_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (123_456, "123 kB"),
            (u64::MAX, "18446 PB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [(5, "5 s"), (65, "1m 5s"), (3700, "1h 1m")] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn the_report_survives_the_socket() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report());
    }
}
